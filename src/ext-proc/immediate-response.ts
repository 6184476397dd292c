import { openAiErrorBody, type ServiceError } from '../protocol/errors.ts';
import { droppedReasonHeader } from '../protocol/headers.ts';
import type { ProcessingResponse } from './messages.ts';

/**
 * An error as the client shall see it. Never a gRPC error: a data plane turns that into an opaque 500, and after
 * the first body chunk it can no longer fail open.
 */
export function immediateResponse(error: ServiceError): ProcessingResponse {
  const { status, droppedReason } = error.kind;
  const set: [string, string][] = [['content-type', 'application/json']];
  if (error.retryAfterSeconds !== undefined) {
    set.push(['retry-after', String(Math.ceil(error.retryAfterSeconds))]);
  }
  if (droppedReason !== undefined) set.push([droppedReasonHeader, droppedReason]);
  return {
    kind: 'immediate',
    status,
    headers: { set, remove: [] },
    body: Buffer.from(openAiErrorBody(error)),
    details: `pointsman_${error.code}`,
  };
}
