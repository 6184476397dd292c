import { isIPv4, isIPv6 } from 'node:net';

export interface Address {
  /** Lower case, IPv6 without brackets and in its shortest form. */
  readonly host: string;
  readonly port: number;
  /** `host:port`, or `[ipv6]:port`. */
  readonly text: string;
}

/** Parses `host:port`, `1.2.3.4:port` or `[ipv6]:port`. Throws an Error that says what is wrong with it. */
export function parseAddress(text: string): Address {
  const fail = (problem: string): never => {
    throw new Error(`address "${text}" ${problem}; expected host:port, 1.2.3.4:port or [ipv6]:port`);
  };
  if (text.includes('://')) return fail('has a scheme');
  const colon = text.lastIndexOf(':');
  const closing = text.lastIndexOf(']');
  if (colon < 0 || colon < closing) return fail('has no port');
  const portText = text.slice(colon + 1);
  const port = Number(portText);
  if (!/^\d{1,5}$/.test(portText) || port < 1 || port > 65_535) {
    return fail(`has the port "${portText}", which is not in 1 to 65535`);
  }
  const hostText = text.slice(0, colon);
  if (hostText.includes(':') && closing < 0) return fail('has an IPv6 address without brackets');
  const host = parseHost(hostText);
  if (host === undefined)
    return fail(`has the host "${hostText}", which is neither a name nor an IP address`);
  return { host, port, text: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}` };
}

/** A host in the form that `parseAddress` gives; brackets around IPv6 are optional. Undefined if it is none. */
export function parseHost(text: string): string | undefined {
  const isBracketed = text.startsWith('[') && text.endsWith(']');
  const bare = isBracketed ? text.slice(1, -1) : text;
  if (isIPv6(bare)) return bare.includes('%') ? bare.toLowerCase() : shortestIPv6(bare);
  if (isBracketed) return undefined;
  if (isIPv4(bare)) return bare;
  // Digits and dots only is a mistyped IPv4 address, not a name.
  if (/^[\d.]+$/.test(bare) || bare.length > 253) return undefined;
  const isName = /^(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?$/i.test(bare);
  return isName ? bare.toLowerCase() : undefined;
}

function shortestIPv6(text: string): string {
  return new URL(`http://[${text}]/`).hostname.slice(1, -1);
}
