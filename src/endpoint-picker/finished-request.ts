import type { InferenceRequest } from '../scheduling/inference-request.ts';
import type { SchedulingResult } from '../scheduling/scheduling-result.ts';
import type { Outcome } from './assignment.ts';

/** Everything about one served request, told once when it ends; log line and metrics are made from it. */
export interface FinishedRequest {
  readonly request: InferenceRequest;
  readonly record: SchedulingResult;
  /** Name of the endpoint that served it in the end (differs from the pick after a retry). */
  readonly endpoint: string;
  readonly outcome: Outcome;
  /** What the prefix index believed cached there; `outcome.usage.cachedTokens` says what really was. */
  readonly predictedCachedTokens: number;
  /** Connection failures before it was served. */
  readonly retries: number;
  /** From the pick to the first token, milliseconds; undefined if none came. */
  readonly ttftMs: number | undefined;
  /** From the pick to the end, milliseconds. */
  readonly durationMs: number;
}

/** Told of each end, and of each request that got no endpoint. Must not throw. */
export interface PickerObserver {
  onFinished(finished: FinishedRequest): void;
  onRejected(request: InferenceRequest, code: string, record: SchedulingResult | undefined): void;
}
