import type { InferenceRequest } from '../scheduling/inference-request.ts';
import type { PluginKind } from '../scheduling/scheduling-context.ts';
import type { SchedulingResult } from '../scheduling/scheduling-result.ts';
import type { Outcome } from './assignment.ts';
import type { PredictedDelays } from './predicted-delays.ts';

/** Everything about one served request, told once when it ends; log line and metrics are made from it. */
export interface FinishedRequest {
  readonly request: InferenceRequest;
  readonly record: SchedulingResult;
  /** Name of the endpoint that served it in the end (differs from the pick after a retry). */
  readonly endpoint: string;
  readonly outcome: Outcome;
  /** What the prefix index believed cached there; `outcome.usage.cachedTokens` says what really was. */
  readonly predictedCachedTokens: number;
  /** At the decision, of the endpoint that was chosen then; undefined while nothing is known of its speed. */
  readonly predicted: PredictedDelays | undefined;
  /** Connection failures before it was served. */
  readonly retries: number;
  /** Of the response's body, as far as it was seen. */
  readonly responseBytes: number;
  /** Of the two times below: spent waiting for an endpoint with room, milliseconds. */
  readonly queuedMs: number;
  /** From the request's arrival to its first token, milliseconds; undefined if none came. */
  readonly ttftMs: number | undefined;
  /** From the request's arrival to its end, milliseconds. */
  readonly durationMs: number;
}

/** A request that got no endpoint. */
export interface RejectedRequest {
  readonly request: InferenceRequest;
  /** Of the catalogue of errors. */
  readonly code: string;
  /** What it asked for cannot be, or it left; as against no room, no engine and faults of ours. */
  readonly isFaultOfClient: boolean;
  /** Of the decision that found no endpoint, if it came to one. */
  readonly record: SchedulingResult | undefined;
  /** From the request's arrival to its refusal, milliseconds. */
  readonly waitedMs: number;
}

/** Told of each end, and of each request that got no endpoint. Must not throw. */
export interface PickerObserver {
  onFinished(finished: FinishedRequest): void;
  onRejected(rejected: RejectedRequest): void;
  /** Asked once per request: who wants to know the milliseconds between this answer's further pieces. */
  pieceGaps?(request: InferenceRequest): ((gapMs: number) => void) | undefined;
  /** How long a plugin took; of some decisions only. */
  onPluginTime?(kind: PluginKind, name: string, durationMs: number): void;
}
