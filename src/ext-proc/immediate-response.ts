import { type ErrorDialect, errorBody, errorHeaders } from '../protocol/error-dialects.ts';
import type { ServiceError } from '../protocol/errors.ts';
import type { ProcessingResponse } from './messages.ts';

/**
 * An error as the client shall see it. Never a gRPC error: a data plane turns that into an opaque 500, and after
 * the first body chunk it can no longer fail open.
 */
export function immediateResponse(error: ServiceError, dialect: ErrorDialect): ProcessingResponse {
  const { status } = error.kind;
  const set: [string, string][] = [
    ['content-type', 'application/json'],
    ...Object.entries(errorHeaders(error)),
  ];
  return {
    kind: 'immediate',
    status,
    headers: { set, remove: [] },
    body: Buffer.from(errorBody(dialect, error)),
    details: `pointsman_${error.code}`,
  };
}
