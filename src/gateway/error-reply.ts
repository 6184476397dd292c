import type { ServerResponse } from 'node:http';
import { apiOf } from '../protocol/apis.ts';
import { errorBody, errorHeaders } from '../protocol/error-dialects.ts';
import type { ServiceError } from '../protocol/errors.ts';
import { requestIdHeader } from '../protocol/headers.ts';

export interface ErrorReply {
  readonly requestId: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Answers with an error in the dialect of the path. Does nothing if an answer has begun or the client has gone. */
export function replyError(
  response: ServerResponse,
  error: ServiceError,
  { requestId, headers }: ErrorReply,
): void {
  if (response.headersSent || response.destroyed) return;
  const body = Buffer.from(errorBody(apiOf(response.req.url ?? '').api.dialect, error));
  response.writeHead(error.kind.status, {
    ...headers,
    'content-type': 'application/json; charset=utf-8',
    'content-length': body.length,
    [requestIdHeader]: requestId,
    ...errorHeaders(error),
  });
  response.end(body);
}
