import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { requestIdHeader } from '../protocol/headers.ts';

/** Visible ASCII, so that the value is safe in headers and logs. */
const acceptable = /^[\x21-\x7e]{1,128}$/;

/** The client's `x-request-id`, or a new one where there is none that could be sent on. */
export function requestIdOf(request: IncomingMessage): string {
  return clientRequestId(request) ?? randomUUID();
}

export function clientRequestId({ headers }: IncomingMessage): string | undefined {
  const value = headers[requestIdHeader];
  return typeof value === 'string' && acceptable.test(value) ? value : undefined;
}
