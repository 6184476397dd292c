import type { Endpoint } from './endpoint.ts';
import type { ScoreTerm } from './plugins.ts';

/** Why one endpoint was left out. */
export interface FilterStep {
  readonly filter: string;
  /** Names of the endpoints that this filter removed. */
  readonly removed: readonly string[];
}

export interface ScoreStep {
  readonly scorer: string;
  readonly weight: number;
  /** In the order of `candidates`; clamped to [0, 1]. */
  readonly scores: readonly number[];
  /** What the scores are made of, from scorers that tell it. */
  readonly terms?: readonly ScoreTerm[];
}

/** A plugin, or a part of ours, that failed in this decision; the decision went on without it. */
export interface PluginFailure {
  readonly kind: 'filter' | 'scorer' | 'picker' | 'profile' | 'index' | 'parser';
  readonly name: string;
  readonly message: string;
}

/** Ages and load of one candidate as the decision saw them. */
export interface CandidateState {
  readonly name: string;
  readonly address: string;
  readonly metricsAgeMs: number;
  readonly queuedRequests: number;
  readonly runningRequests: number;
  readonly kvCacheUsage: number;
  readonly inFlightRequests: number;
  readonly cachedTokens: number;
}

/**
 * The decision record: enough to tell a person why this endpoint was chosen, and to replay the choice.
 * Logs, metrics, the debug header and the console read it; the core writes nothing else.
 */
export interface SchedulingResult {
  readonly profile: string;
  readonly requestId: string;
  readonly model: string | undefined;
  readonly promptTokens: number;
  /** Endpoints before filters. */
  readonly considered: number;
  readonly filters: readonly FilterStep[];
  /** Endpoints after filters. */
  readonly candidates: readonly CandidateState[];
  readonly scores: readonly ScoreStep[];
  /** Weighted sums, in the order of `candidates`. */
  readonly totals: readonly number[];
  /** How many candidates shared the best total. */
  readonly tied: number;
  readonly picker: string;
  /** Empty unless a plugin threw or answered with something unusable. */
  readonly failures: readonly PluginFailure[];
  /** Best first; the first is the choice. */
  readonly ranking: readonly Endpoint[];
  /** How long the request waited for an endpoint with room before this decision, milliseconds. */
  readonly queuedMs?: number | undefined;
  /** How long the decision took, milliseconds. */
  readonly durationMs: number;
  /** Of a record whose scores, totals and ranking are made when they are read: what needs none of them. */
  readonly brief?: DecisionBrief | undefined;
}

export interface DecisionBrief {
  /** The first of the ranking. */
  readonly choice: Endpoint;
  /** Leading prompt tokens believed cached there. */
  readonly cachedTokens: number;
  /** What told the choice from the others: a scorer, `tie`, or `only_one` if there were no others. */
  readonly reason: string;
}
