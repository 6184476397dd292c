import type { Endpoint } from '../scheduling/endpoint.ts';
import type { EndpointList } from '../scheduling/endpoint-list.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';
import type { SchedulingContext } from '../scheduling/scheduling-context.ts';
import type { SchedulingResult } from '../scheduling/scheduling-result.ts';

/** A decision with all that it was made from: enough to make it again with another profile. */
export interface DecisionRecord {
  /** Wall clock, milliseconds since 1970. */
  readonly timeMs: number;
  /** The context's clock. */
  readonly nowMs: number;
  /** Of the context's random numbers. */
  readonly seed: number;
  /** Own prefill of the requests that flow control held, milliseconds. */
  readonly waitingMs: number;
  readonly request: InferenceRequest;
  /** As the decision saw them, before filters; the caller's subset alone if it named one. */
  readonly endpoints: readonly Endpoint[];
  /** Leading prompt tokens believed cached, in the order of `endpoints`. */
  readonly cachedTokens: readonly number[];
  readonly result: SchedulingResult;
}

/** What a decision leaves for those who keep records. */
export interface MadeDecision {
  readonly seed: number;
  readonly context: SchedulingContext;
  readonly endpoints: EndpointList;
  readonly result: SchedulingResult;
}

/** What a decision leaves to be looked at. */
export class KeptDecision implements DecisionRecord {
  readonly timeMs: number;
  readonly nowMs: number;
  readonly seed: number;
  readonly waitingMs: number;
  readonly request: InferenceRequest;
  readonly result: SchedulingResult;
  readonly #list: EndpointList;
  readonly #context: SchedulingContext;
  #cachedTokens: readonly number[] | undefined;

  /** To be made in the decision itself: later the prefix index knows more. */
  constructor(timeMs: number, { seed, endpoints, result, context }: MadeDecision) {
    this.timeMs = timeMs;
    this.nowMs = context.nowMs;
    this.seed = seed;
    this.waitingMs = context.waitingMs ?? 0;
    this.request = context.request;
    this.#list = endpoints;
    this.result = result;
    this.#context = context;
    // What tells all holders will not change its mind.
    if (context.holders?.() === undefined) this.#cachedTokens = this.#ask();
  }

  get endpoints(): readonly Endpoint[] {
    return this.#list.flat;
  }

  get cachedTokens(): readonly number[] {
    this.#cachedTokens ??= this.#ask();
    return this.#cachedTokens;
  }

  #ask(): readonly number[] {
    return this.endpoints.map((endpoint) => this.#context.cachedTokens(endpoint));
  }
}
