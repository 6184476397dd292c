import type { Endpoint } from './endpoint.ts';
import type { InferenceRequest } from './inference-request.ts';
import type { SeededRandom } from './seeded-random.ts';

/** A request plus the signals that filters, scorers and pickers may ask for. One per decision. */
export interface SchedulingContext {
  readonly request: InferenceRequest;
  /** Milliseconds of a monotonic clock, read once for the decision. */
  readonly nowMs: number;
  /** Uniform in [0, 1); seeded, so that a decision can be made again. */
  readonly random: (() => number) | SeededRandom;
  /** Leading prompt tokens believed to lie in this endpoint's KV cache; computed once, on first use. */
  cachedTokens(endpoint: Endpoint): number;
  /**
   * Slots of all endpoints for which `cachedTokens` is above 0. Where it tells them, `cachedTokens` stays what it was
   * when they were asked for, whatever is learned of caches later.
   */
  readonly holders?: (() => readonly number[] | undefined) | undefined;
  /** Prefill of the requests that wait for an endpoint with room, each at the one that suits it, milliseconds. */
  readonly waitingMs?: number | undefined;
  /** Set in decisions whose plugins are to be timed. */
  readonly pluginTimes?: PluginTimes | undefined;
}

export type PluginKind = 'filter' | 'scorer' | 'picker';

export interface PluginTimes {
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  readonly told: (kind: PluginKind, name: string, durationMs: number) => void;
}
