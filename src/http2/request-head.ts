import type { HeaderField } from './hpack-decoder.ts';

/** What a gRPC server needs of a request's header section. */
export interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly contentType: string | undefined;
  /** Declared body length; undefined if none. */
  readonly contentLength: number | undefined;
}

const connectionHeaders = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
]);
const requestPseudoHeaders = new Set([':method', ':scheme', ':authority', ':path']);

/** Undefined for a malformed request (RFC 9113, 8.1.1 to 8.3.1): the stream is then reset. */
export function requestHead(fields: readonly HeaderField[]): RequestHead | undefined {
  const pseudo = new Map<string, string>();
  let contentType: string | undefined;
  let contentLength: number | undefined;
  let isBehindRegular = false;
  for (const [name, value] of fields) {
    if (!isFieldValid(name, value)) return undefined;
    if (name.charCodeAt(0) === 0x3a) {
      if (isBehindRegular || pseudo.has(name) || !requestPseudoHeaders.has(name)) return undefined;
      pseudo.set(name, value);
      continue;
    }
    isBehindRegular = true;
    if (name === 'content-type') contentType = value;
    else if (name === 'content-length') {
      if (!/^\d{1,15}$/.test(value)) return undefined;
      contentLength = Number(value);
    } else if (connectionHeaders.has(name) || (name === 'te' && value !== 'trailers')) return undefined;
  }
  const method = pseudo.get(':method');
  const path = pseudo.get(':path');
  if (method === undefined || !path || !pseudo.has(':scheme')) return undefined;
  return { method, path, contentType, contentLength };
}

/** Trailers carry no pseudo-headers and no fields of the connection. */
export function areTrailersValid(fields: readonly HeaderField[]): boolean {
  return fields.every(
    ([name, value]) =>
      name.charCodeAt(0) !== 0x3a && isFieldValid(name, value) && !connectionHeaders.has(name),
  );
}

/** Section 8.2.1: no upper case, control characters, or blanks around; a colon only in front. */
function isFieldValid(name: string, value: string): boolean {
  if (name.length === 0) return false;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code <= 0x20 || code >= 0x7f || (code >= 0x41 && code <= 0x5a) || (code === 0x3a && i > 0))
      return false;
  }
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code === 0 || code === 0x0a || code === 0x0d) return false;
  }
  return !/^[ \t]|[ \t]$/.test(value);
}
