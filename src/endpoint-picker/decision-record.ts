import type { Endpoint } from '../scheduling/endpoint.ts';
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

/** Must be called in the decision itself: later the prefix index knows more. */
export function cachedTokensOf(
  context: SchedulingContext,
  endpoints: readonly Endpoint[],
  { candidates }: SchedulingResult,
): readonly number[] {
  // Filters keep the order; mostly they keep all.
  if (candidates.length === endpoints.length) return candidates.map(({ cachedTokens }) => cachedTokens);
  return endpoints.map((endpoint) => context.cachedTokens(endpoint));
}
