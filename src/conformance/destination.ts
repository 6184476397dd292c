import { isIP } from 'node:net';
import type { Exchange } from './exchange.ts';
import { require } from './outcome.ts';
import type { Headers } from './wire/processing-request.ts';
import type { HeaderMutation, Reply } from './wire/processing-response.ts';

export const destinationKey = 'x-gateway-destination-endpoint';

/** `ip:port`, with an IPv6 address in brackets. */
export function isAddress(text: string): boolean {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) return false;
  const [, ipv6, ipv4, port] = match;
  const isHost = ipv6 === undefined ? isIP(ipv4!) === 4 : isIP(ipv6) === 6;
  return isHost && Number(port) >= 1 && Number(port) <= 65_535;
}

/** Replies whose header mutations reach the endpoint, in this data plane and body mode. */
function mutationsOf({ dialect, replies }: Exchange): HeaderMutation[] {
  return replies.flatMap((reply) => {
    if (reply.kind !== 'headers' && reply.kind !== 'body') return [];
    if (reply.direction !== 'request') return [];
    return reply.kind === 'headers' || dialect.appliesHeadersOfBodyReply ? [reply.mutation] : [];
  });
}

/** The destination header as it was set, or undefined. */
export function destinationHeader(exchange: Exchange): string | undefined {
  const options = mutationsOf(exchange).flatMap(({ set }) => set);
  return options.findLast(({ name }) => name.toLowerCase() === destinationKey)?.rawValue;
}

export function destinationMetadata({ replies }: Exchange): string | undefined {
  return replies.map(metadataDestination).findLast((value) => value !== undefined);
}

export function metadataDestination({ metadata }: Reply): string | undefined {
  return metadata['envoy.lb']?.[destinationKey];
}

/** Where this data plane sends the request: what it reads, as it reads it. */
export function effectiveDestination(exchange: Exchange, sent: Headers): string | undefined {
  if (exchange.dialect.reads === 'metadata') return destinationMetadata(exchange);
  return upstreamHeaders(exchange, sent).get(destinationKey);
}

/** The destination that this data plane reads; the case is failed when it is none. */
export function requireDestination(exchange: Exchange, sent: Headers = {}): string {
  const value = effectiveDestination(exchange, sent) ?? '';
  require(value.split(',').every(isAddress), 'a destination', value === '' ? 'none' : value);
  return value;
}

/** Headers as they reach the endpoint. Names in lower case. */
export function upstreamHeaders(exchange: Exchange, sent: Headers): ReadonlyMap<string, string> {
  const headers = new Map(Object.entries(sent).map(([name, value]) => [name.toLowerCase(), value]));
  for (const { set, remove } of mutationsOf(exchange)) {
    // Whether a data plane removes before it sets is its own affair: a name in both lists is lost somewhere.
    for (const { name, rawValue, appendAction, append } of set) {
      const key = name.toLowerCase();
      const earlier = headers.get(key);
      const value = rawValue ?? '';
      headers.set(key, withAction(exchange, { earlier, value, appendAction, append }));
    }
    for (const name of remove) headers.delete(name.toLowerCase());
  }
  return headers;
}

interface Setting {
  readonly earlier: string | undefined;
  readonly value: string;
  readonly appendAction: number;
  readonly append: boolean | undefined;
}

/** Envoy overwrites unless `append` is set (envoy issue 36982); agentgateway heeds an action other than 0. */
function withAction({ dialect }: Exchange, { earlier, value, appendAction, append }: Setting): string {
  if (earlier === undefined) return value;
  if (append === true) return `${earlier},${value}`;
  return dialect.family === 'agentgateway' && appendAction === 1 ? earlier : value;
}
