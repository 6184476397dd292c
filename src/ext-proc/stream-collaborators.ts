import type { RequestPlacer } from '../endpoint-picker/assignment.ts';
import type { HttpRequest } from '../endpoint-picker/http-request.ts';
import type { ParsedRequest } from '../endpoint-picker/inference-request.ts';
import type { Log } from '../telemetry/index.ts';
import type { PhaseTimerOptions } from './phase-timer.ts';
import type { ObserveResponse } from './response-phase.ts';

/** What all streams of a server share. */
export interface StreamCollaborators {
  readonly picker: RequestPlacer;
  /** Throws a `ServiceError` that tells the client what is wrong. Takes no body when only headers are known. */
  readonly parseRequest: (http: HttpRequest) => ParsedRequest;
  readonly observeResponse: ObserveResponse;
  readonly log: Log;
  readonly maxBodyBytes: number;
  /** Endpoints to name after the first, for data planes that read a list. */
  readonly fallbacks: number;
  /** Answers `x-pointsman-explain`. */
  readonly explains: boolean;
  /** Tells the scores of all candidates in the metadata of the pick. */
  readonly tellsScores?: boolean;
  readonly newRequestId: () => string;
  /** Told how long a stream and its parts took. */
  readonly phases?: PhaseTimerOptions | undefined;
  /** The deadline of our shutdown is over: streams that end now are cut by us. */
  readonly isCutting: () => boolean;
  /** Calls `task` once after `delayMs`, unless the returned function is called first. */
  readonly startTimer: (task: () => void, delayMs: number) => () => void;
}
