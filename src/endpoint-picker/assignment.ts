import type { Usage } from '../protocol/response-observer.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';
import type { SchedulingResult } from '../scheduling/scheduling-result.ts';

/** How a request ended, as seen by the adapter that served it. */
export type Outcome =
  | { readonly kind: 'completed'; readonly status: number; readonly usage: Usage | undefined }
  /** The engine answered with an error status. */
  | { readonly kind: 'rejected_by_engine'; readonly status: number }
  | { readonly kind: 'client_aborted' }
  /** Cut by our own shutdown, at the end of its deadline. Says nothing about the endpoint. */
  | { readonly kind: 'cut_at_shutdown' }
  /** The process that served its stream has ended. Says nothing about the endpoint. */
  | { readonly kind: 'worker_lost' }
  /** No connection, or none in time. Counts against the endpoint. */
  | { readonly kind: 'connect_failed'; readonly reason: string }
  /** The connection broke, or went silent for too long. Counts against the endpoint. */
  | { readonly kind: 'upstream_failed'; readonly reason: string };

/**
 * A request that has its place, as a door sees it that does not send it there itself: the decision may have been
 * made in another process. The reservation of load on the endpoint holds until `finish`, which takes effect
 * exactly once; later calls do nothing.
 */
export interface Placement {
  /** Where the request goes now. */
  readonly endpoint: Pick<Endpoint, 'name' | 'address'>;
  /** Addresses of the next best endpoints that were ready, best first, `count` at most; to be asked for at once. */
  alternatives(count: number): readonly string[];
  /** Headers that tell the decision in short. Empty unless `SubmitOptions.explains` asked for it. */
  explanation(): readonly (readonly [name: string, value: string])[];
  /** Address and weighted sum of each candidate. Empty unless `SubmitOptions.explains` asked for it. */
  scores(): readonly (readonly [address: string, score: number])[];
  /**
   * Another endpoint than the current one has served, as a data plane reports it: load and prefix state follow.
   * `passedOver` are the addresses that it tried in vain before; each counts as a failure.
   */
  servedBy(address: string, passedOver: readonly string[]): void;
  /** The first token came: prompt tokens no longer count as waiting for prefill. Later calls do nothing. */
  firstToken(): void;
  /** A piece of the response's body went by; after `firstToken`, if that was in it. */
  passed(bytes: number): void;
  finish(outcome: Outcome): void;
}

/** A pick being served, with all that was decided. */
export interface Assignment extends Placement {
  readonly request: InferenceRequest;
  /** Where the request goes now: the pick, or the fallback that `retryNext` moved to. */
  readonly endpoint: Endpoint;
  /** The decision record. */
  readonly record: SchedulingResult;
  /** The gaps between the pieces are measured, so `passed` must be told of each when it goes by, not of their sum. */
  readonly timesPieces: boolean;
  /**
   * The current endpoint could not be reached: reports the failure to the pool, moves the reservation to the
   * next endpoint of the ranking that is still ready, and returns it; undefined when there is none left.
   */
  retryNext(reason: string): Endpoint | undefined;
}

export interface PickOptions {
  /** Addresses (`host:port`, or a host for all its ports) to choose from; undefined = the whole pool. */
  readonly subset?: readonly string[] | undefined;
  /** Aborts waiting; the pick then rejects with `client_closed`. */
  readonly signal: AbortSignal;
  /** Our parser failed on the request, which is known by its headers only: noted in the decision record. */
  readonly parserFault?: string | undefined;
}

/** What becomes of a request that was submitted: exactly one of these is called, once, as a method. */
export interface PickListener<Placed = Assignment> {
  readonly placed: (placed: Placed) => void;
  readonly refused: (error: unknown) => void;
}

export interface SubmitOptions extends Omit<PickOptions, 'signal'> {
  /** Read only where a request has to wait, so that it can be made then. Undefined: nobody gives up. */
  readonly signal?: AbortSignal | undefined;
  /** `Placement.explanation` or `scores` will be asked for. */
  readonly explains?: boolean | undefined;
}

/** Gives requests their place: the decision service, or the way to one in another process. */
export interface RequestPlacer {
  /** Tells the listener within this call or later. */
  submit(request: InferenceRequest, options: SubmitOptions, listener: PickListener<Placement>): void;
}

/** The decision service. */
export interface EndpointPicker extends RequestPlacer {
  /**
   * Rejects with a `ServiceError`: `no_endpoints`, `model_not_found`, `overloaded`, `queue_timeout`,
   * `client_closed`, `shutting_down`.
   */
  pick(request: InferenceRequest, options: PickOptions): Promise<Assignment>;
  /**
   * `pick` without a promise: tells the listener within this call unless the request has to wait, and of a
   * request that waited within the event that gave it room. For callers that count microseconds, or own the clock.
   */
  submit(request: InferenceRequest, options: SubmitOptions, listener: PickListener): void;
  /** Models that ready endpoints list, sorted, each with the endpoints that serve it. */
  models(): readonly { readonly id: string; readonly endpoints: readonly string[] }[];
  /** At least one endpoint is ready. */
  isReady(): boolean;
}
