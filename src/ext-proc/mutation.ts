import type { Placement } from '../endpoint-picker/assignment.ts';
import {
  consumedHeaders,
  controlHeaders,
  destinationHeader,
  destinationNamespace,
  requestIdHeader,
  scoresKey,
} from '../protocol/headers.ts';
import type { DynamicMetadata, HeaderMutation, Headers } from './messages.ts';

export interface PickReplyOptions {
  /** Ours, for requests that carry no id of their own. */
  readonly requestId: string;
  /** Endpoints to name after the first. */
  readonly fallbacks: number;
  /** The scores of all candidates go into the metadata, too. */
  readonly tellsScores: boolean;
  /** Of a body that is changed, where the data plane does not find out itself. */
  readonly contentLength?: number | undefined;
}

export interface PickReply {
  readonly mutation: HeaderMutation;
  readonly metadata: DynamicMetadata;
  /** The value of header and metadata, as a list. */
  readonly addresses: readonly string[];
}

/**
 * The pick as the data plane wants it: the same value as header and as `envoy.lb` metadata (Endpoint Picker
 * Protocol: they must not differ). One endpoint unless fallbacks are asked for: several data planes cannot read
 * a comma list.
 *
 * `clear_route_cache` stays off: the load balancer reads the destination after routing, and a new look at the
 * routes could move the request to another pool.
 */
export function pickReply(
  placement: Placement,
  headers: Headers,
  { requestId, fallbacks, tellsScores, contentLength }: PickReplyOptions,
): PickReply {
  const { address } = placement.endpoint;
  const addresses = fallbacks === 0 ? [address] : [address, ...placement.alternatives(fallbacks)];
  const value = addresses.length === 1 ? address : addresses.join(',');
  const set: [string, string][] = [[destinationHeader, value]];
  if (!headers.get(requestIdHeader)) set.push([requestIdHeader, requestId]);
  if (contentLength !== undefined) set.push(['content-length', String(contentLength)]);
  return {
    // The destination is overwritten, not removed: whether a data plane removes before it sets is its own affair.
    mutation: { set, remove: spoofedHeaders(headers).filter((name) => name !== destinationHeader) },
    metadata: {
      [destinationNamespace]: tellsScores
        ? { [destinationHeader]: value, [scoresKey]: new Map(placement.scores()) }
        : { [destinationHeader]: value },
    },
    addresses,
  };
}

const notForwarded = [...controlHeaders, ...consumedHeaders];

/** Names of control headers that the client sent itself; none may reach an engine. */
export function spoofedHeaders(headers: Headers): readonly string[] {
  return notForwarded.filter((name) => headers.has(name));
}
