import { parseAddress, parseHost } from '../protocol/address.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';

/**
 * The endpoints that the caller's subset names, in the pool's order. An entry is `host:port`, a host alone
 * for all its ports, `[ipv6]:port`, an IPv6 address alone, or several of these between commas. Entries that
 * are none of these match nothing.
 */
export function selectSubset(endpoints: readonly Endpoint[], subset: readonly string[]): readonly Endpoint[] {
  const wanted = new Set<string>();
  for (const entry of subset) {
    for (const part of entry.split(',')) {
      const text = part.trim();
      const host = parseHost(text);
      if (host !== undefined) wanted.add(host);
      else if (text !== '') wanted.add(normalise(text));
    }
  }
  return endpoints.filter(({ address }) => wanted.has(address) || wanted.has(hostOf(address)));
}

function normalise(text: string): string {
  try {
    return parseAddress(text).text;
  } catch {
    // A subset comes from the network: what cannot be an address simply names no endpoint.
    return text;
  }
}

/** The pool has checked the address, so only the port and brackets must go. */
function hostOf(address: string): string {
  const host = address.slice(0, address.lastIndexOf(':'));
  return host.startsWith('[') ? host.slice(1, -1) : host;
}
