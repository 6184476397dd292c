import { clampScore } from './clamp-score.ts';
import type { Endpoint } from './endpoint.ts';
import type { EndpointList } from './endpoint-list.ts';
import type { Lead, ScoredEndpoint } from './plugins.ts';
import type { SchedulingContext } from './scheduling-context.ts';
import type {
  CandidateState,
  DecisionBrief,
  FilterStep,
  PluginFailure,
  SchedulingResult,
  ScoreStep,
} from './scheduling-result.ts';
import { seededRandom } from './seeded-random.ts';

/** What a decision by lead has found, and what the rest of its record follows from. */
export interface LedDecision {
  readonly profile: string;
  readonly picker: string;
  readonly scorer: string;
  readonly weight: number;
  readonly considered: number;
  readonly filters: readonly FilterStep[];
  readonly candidates: EndpointList;
  readonly choice: Endpoint;
  readonly tied: number;
  /** The scorer's, of all candidates. */
  readonly scoreAll: Lead['all'];
  readonly context: SchedulingContext;
  /** Of the random numbers that the picker would have drawn. */
  readonly seed: number;
  readonly stateOf: (endpoint: Endpoint, cachedTokens: number) => CandidateState;
  readonly rank: (context: SchedulingContext, scored: readonly ScoredEndpoint[]) => readonly ScoredEndpoint[];
}

/** What the profile cannot know of a decision. */
export interface DecisionOutcome {
  readonly failures: readonly PluginFailure[];
  /** 0 if the request did not wait. */
  readonly queuedMs: number;
  readonly durationMs: number;
}

const undecided: DecisionOutcome = Object.freeze({ failures: [], queuedMs: 0, durationMs: 0 });

/**
 * The record of a decision whose choice is known, and whose scores, totals and ranking are made when they are read:
 * the same as if they had been made then.
 */
export class LedResult implements SchedulingResult {
  readonly #decision: LedDecision;
  readonly #outcome: DecisionOutcome;
  #brief: DecisionBrief | undefined;
  #candidates: readonly CandidateState[] | undefined;
  #scores: readonly ScoreStep[] | undefined;
  #totals: readonly number[] | undefined;
  #ranking: readonly Endpoint[] | undefined;

  constructor(decision: LedDecision, outcome: DecisionOutcome = undecided) {
    this.#decision = decision;
    this.#outcome = outcome;
  }

  with(outcome: DecisionOutcome): LedResult {
    return new LedResult(this.#decision, outcome);
  }

  get brief(): DecisionBrief {
    const { candidates, choice, context, scorer, tied } = this.#decision;
    const told = tied > 1 ? 'tie' : scorer;
    this.#brief ??= {
      choice,
      cachedTokens: context.cachedTokens(choice),
      reason: candidates.length <= 1 ? 'only_one' : told,
    };
    return this.#brief;
  }

  get profile(): string {
    return this.#decision.profile;
  }

  get requestId(): string {
    return this.#decision.context.request.id;
  }

  get model(): string | undefined {
    return this.#decision.context.request.model;
  }

  get promptTokens(): number {
    return this.#decision.context.request.promptTokens;
  }

  get considered(): number {
    return this.#decision.considered;
  }

  get filters(): readonly FilterStep[] {
    return this.#decision.filters;
  }

  get tied(): number {
    return this.#decision.tied;
  }

  get picker(): string {
    return this.#decision.picker;
  }

  get failures(): readonly PluginFailure[] {
    return this.#outcome.failures;
  }

  get queuedMs(): number | undefined {
    const { queuedMs } = this.#outcome;
    return queuedMs > 0 ? queuedMs : undefined;
  }

  get durationMs(): number {
    return this.#outcome.durationMs;
  }

  get candidates(): readonly CandidateState[] {
    const { candidates, context, stateOf } = this.#decision;
    this.#candidates ??= candidates.flat.map((each) => stateOf(each, context.cachedTokens(each)));
    return this.#candidates;
  }

  get scores(): readonly ScoreStep[] {
    this.#scores ??= [this.#score()];
    return this.#scores;
  }

  get totals(): readonly number[] {
    const { weight } = this.#decision;
    this.#totals ??= this.scores[0]!.scores.map((score) => weight * score);
    return this.#totals;
  }

  get ranking(): readonly Endpoint[] {
    const { rank, context, seed, candidates } = this.#decision;
    this.#ranking ??= rank(
      { ...context, random: seededRandom(seed) },
      candidates.flat.map((endpoint, i) => ({ endpoint, total: this.totals[i]! })),
    ).map(({ endpoint }) => endpoint);
    return this.#ranking;
  }

  toJSON(): SchedulingResult {
    return spelledOut(this);
  }

  #score(): ScoreStep {
    const { scorer, weight, scoreAll } = this.#decision;
    const raw = scoreAll();
    const scores: number[] = [];
    for (let i = 0; i < raw.length; i++) scores.push(clampScore(raw[i]));
    return raw.terms === undefined
      ? { scorer, weight, scores }
      : { scorer, weight, scores, terms: raw.terms };
  }
}

/** The same record as a plain object. Field by field: a spread would cost as much as a scorer. */
export function spelledOut(
  result: SchedulingResult,
  {
    failures,
    queuedMs = 0,
    durationMs,
  }: Omit<DecisionOutcome, 'queuedMs'> & { readonly queuedMs?: number | undefined } = result,
): SchedulingResult {
  const plain: SchedulingResult = {
    profile: result.profile,
    requestId: result.requestId,
    model: result.model,
    promptTokens: result.promptTokens,
    considered: result.considered,
    filters: result.filters,
    candidates: result.candidates,
    scores: result.scores,
    totals: result.totals,
    tied: result.tied,
    picker: result.picker,
    failures,
    ranking: result.ranking,
    durationMs,
  };
  return queuedMs > 0 ? { ...plain, queuedMs } : plain;
}

/** The record with what the profile could not know. */
export function withOutcome(result: SchedulingResult, outcome: DecisionOutcome): SchedulingResult {
  if (result instanceof LedResult) return result.with(outcome);
  return spelledOut(result, outcome);
}

/** The first of the ranking, which need not be made for it. */
export function choiceOf(result: SchedulingResult): Endpoint | undefined {
  return result.brief === undefined ? result.ranking[0] : result.brief.choice;
}

/** Leading prompt tokens that were believed cached on the choice. */
export function cachedOnChoice(result: SchedulingResult): number {
  if (result.brief !== undefined) return result.brief.cachedTokens;
  const name = result.ranking[0]?.name;
  return result.candidates.find((each) => each.name === name)?.cachedTokens ?? 0;
}
