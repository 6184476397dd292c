/** Which headers pass through the gateway, in both directions. */
import type { IncomingHttpHeaders } from 'node:http';
import {
  consumedHeaders,
  controlHeaders,
  decisionHeader,
  requestIdHeader,
  servedByHeader,
} from '../protocol/headers.ts';

/** Of one connection, not of the message (RFC 9110 section 7.6.1, and `proxy-connection` of old clients). */
const hopByHop = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** Never sent to an engine as the client wrote them. */
const notForwarded: ReadonlySet<string> = new Set([
  ...hopByHop,
  ...controlHeaders,
  ...consumedHeaders,
  'host', // the engine's own
  'content-length', // of the bytes that are sent
  'expect', // already answered
  'accept-encoding', // set below
  requestIdHeader, // set below
]);

/** The client's key for this gateway, when it has keys: nothing that an engine should learn. */
const credentials: ReadonlySet<string> = new Set(['authorization', 'x-api-key']);

const notRelayed: ReadonlySet<string> = new Set([
  ...hopByHop,
  ...controlHeaders,
  decisionHeader,
  servedByHeader,
  requestIdHeader,
]);

export interface ForwardOptions {
  readonly requestId: string;
  /** The gateway checks keys itself, so the client's credentials stop here. */
  readonly hasOwnKeys: boolean;
}

/** The request headers for the engine, as a flat list of names and values; repeated headers stay repeated. */
export function forwardedRequestHeaders(
  rawHeaders: readonly string[],
  connection: string | undefined,
  { requestId, hasOwnKeys }: ForwardOptions,
): string[] {
  const named = namedByConnection(connection);
  // Uncompressed answers only: an observer could not read others (RFC 9110 section 12.5.3).
  const forwarded = [requestIdHeader, requestId, 'accept-encoding', 'identity'];
  let hasContentType = false;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    if (notForwarded.has(name) || named?.has(name) === true) continue;
    if (hasOwnKeys && credentials.has(name)) continue;
    if (name === 'content-type') hasContentType = true;
    forwarded.push(name, rawHeaders[index + 1]!);
  }
  if (!hasContentType) forwarded.push('content-type', 'application/json');
  return forwarded;
}

/** The response headers for the client, as a flat list; `requestId` replaces the engine's own. */
export function relayedResponseHeaders(headers: IncomingHttpHeaders, requestId: string): string[] {
  const named = namedByConnection(headers.connection);
  const relayed = [requestIdHeader, requestId];
  for (const name in headers) {
    if (notRelayed.has(name) || named?.has(name) === true) continue;
    const value = headers[name];
    if (typeof value === 'string') relayed.push(name, value);
    else if (value !== undefined) for (const one of value) relayed.push(name, one);
  }
  return relayed;
}

/** Headers that the sender declares to be of this connection, beyond the known ones. */
function namedByConnection(connection: string | undefined): ReadonlySet<string> | undefined {
  if (connection === undefined) return undefined;
  const plain = connection.toLowerCase();
  if (plain === 'keep-alive' || plain === 'close') return undefined;
  return new Set(plain.split(',').map((name) => name.trim()));
}
