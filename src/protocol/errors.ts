/**
 * The closed catalogue of errors that a client can meet. The core throws a `ServiceError` with a code; only
 * adapters (HTTP, ext-proc) translate it, each with `errorBody` in the caller's dialect.
 */

export interface ErrorKind {
  /** HTTP status. */
  readonly status: number;
  /** `error.type` of an OpenAI error body. */
  readonly type: string;
  /** `x-llm-d-request-dropped-reason`, for requests that were turned away rather than wrong. */
  readonly droppedReason?: string;
  /** Seconds for `Retry-After`, unless the error carries its own estimate. */
  readonly retryAfterSeconds?: number;
}

export const errorKinds = {
  invalid_json: { status: 400, type: 'invalid_request_error' },
  invalid_request: { status: 400, type: 'invalid_request_error' },
  context_length_exceeded: { status: 400, type: 'invalid_request_error' },
  unauthorized: { status: 401, type: 'authentication_error' },
  not_found: { status: 404, type: 'not_found_error' },
  model_not_found: { status: 404, type: 'not_found_error' },
  method_not_allowed: { status: 405, type: 'invalid_request_error' },
  request_too_large: { status: 413, type: 'invalid_request_error' },
  unsupported_media_type: { status: 415, type: 'invalid_request_error' },
  overloaded: {
    status: 429,
    type: 'rate_limit_error',
    droppedReason: 'rejected-saturated',
    retryAfterSeconds: 1,
  },
  queue_timeout: {
    status: 429,
    type: 'rate_limit_error',
    droppedReason: 'rejected-ttl-expired',
    retryAfterSeconds: 1,
  },
  client_closed: { status: 499, type: 'client_closed_request', droppedReason: 'rejected-context-cancelled' },
  internal: { status: 500, type: 'server_error' },
  not_implemented: { status: 501, type: 'server_error' },
  bad_upstream: { status: 502, type: 'server_error' },
  upstream_reset: { status: 502, type: 'server_error' },
  no_endpoints: {
    status: 503,
    type: 'server_error',
    droppedReason: 'rejected-no-endpoints',
    retryAfterSeconds: 1,
  },
  shutting_down: {
    status: 503,
    type: 'server_error',
    droppedReason: 'rejected-shutting-down',
    retryAfterSeconds: 5,
  },
  asleep: { status: 503, type: 'server_error', retryAfterSeconds: 5 },
  upstream_timeout: { status: 504, type: 'server_error' },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorKinds;

export interface ServiceErrorOptions {
  /** The request field at fault, e.g. `max_tokens`. */
  readonly param?: string;
  /** Overrides the kind's `retryAfterSeconds`. */
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

/** An error that a client may see. The message says what was expected, what was found, what to change. */
export class ServiceError extends Error {
  readonly code: ErrorCode;
  readonly param: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, message: string, options: ServiceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ServiceError';
    this.code = code;
    this.param = options.param;
    this.retryAfterSeconds = options.retryAfterSeconds ?? this.kind.retryAfterSeconds;
  }

  get kind(): ErrorKind {
    return errorKinds[this.code];
  }

  /** The client asked for what cannot be, or left; as against no room, no engine and faults of ours. */
  get isFaultOfClient(): boolean {
    const { status } = this.kind;
    return status < 500 && status !== errorKinds.overloaded.status;
  }
}

/** Any thrown value as a `ServiceError`; unknown ones become `internal` with the original as `cause`. */
export function toServiceError(error: unknown): ServiceError {
  if (error instanceof ServiceError) return error;
  return new ServiceError('internal', 'The server met an unexpected error; it has been logged.', {
    cause: error,
  });
}

/** The body of an error in OpenAI's shape: `{"error":{"message","type","param","code"}}`. */
export function openAiErrorBody(error: ServiceError): string {
  return JSON.stringify({
    error: { message: error.message, type: error.kind.type, param: error.param ?? null, code: error.code },
  });
}
