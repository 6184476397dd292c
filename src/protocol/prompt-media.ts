/**
 * Images and sounds that a prompt carries as base64: `data:` URLs of OpenAI's content parts, and the `data` of
 * Anthropic's sources and of `input_audio`. An engine makes some hundred tokens of each, not one of four bytes.
 */
import { createHash } from 'node:crypto';
import type { JsonRange } from './json-scan.ts';

/** Shorter strings are text. */
const leastMediumBytes = 512;
/** Enough to tell media apart, as they are compressed: their length, beginning and end. */
const sampledBytes = 16_384;

const marker = Buffer.from('"data');
const dataUrl = /^data:[a-z]+\/[\w.+-]+(;[\w=.+-]+)*;base64,/i;
const base64 = /^[A-Za-z0-9+/\\_-]+={0,2}$/;

/**
 * A prompt's JSON in pieces, each medium replaced by `mediumBytes` bytes that are told apart by its digest. The
 * scanner has found the range to be valid JSON, and tells the `longestString` of the body.
 */
export function promptPieces(
  body: Buffer,
  { start, end }: JsonRange,
  { mediumBytes, longestString }: { readonly mediumBytes: number; readonly longestString: number },
): readonly Uint8Array[] {
  // Most bodies have no string that could be one, and are not searched.
  if (longestString < leastMediumBytes) return [body.subarray(start, end)];
  const parts: Uint8Array[] = [];
  let textAt = start;
  for (let at = body.indexOf(marker, start); at >= 0 && at < end; at = body.indexOf(marker, at + 1)) {
    const medium = mediumAt(body, at);
    if (medium === undefined) continue;
    const digest = digestOf(body.subarray(medium.start, medium.end));
    parts.push(body.subarray(textAt, medium.start), Buffer.alloc(mediumBytes, digest));
    textAt = medium.end;
    at = medium.end;
  }
  parts.push(body.subarray(textAt, end));
  return parts;
}

/** The value that begins as a `data:` URL at this quote, or that belongs to the member `data` named there. */
function mediumAt(body: Buffer, quote: number): { readonly start: number; readonly end: number } | undefined {
  if (body[quote - 1] === 0x5c) return undefined; // an escaped quote, within a text
  const after = quote + marker.length;
  const isUrl = body[after] === 0x3a;
  const start = isUrl ? quote + 1 : valueOfMember(body, after);
  if (start === undefined) return undefined;
  const end = body.indexOf(0x22, start);
  if (end - start < leastMediumBytes) return undefined;
  const head = body.toString('latin1', start, start + 128);
  return (isUrl ? dataUrl : base64).test(head) ? { start, end } : undefined;
}

/** Where the string begins behind `": "`; undefined if the value is none. */
function valueOfMember(body: Buffer, after: number): number | undefined {
  if (body[after] !== 0x22) return undefined;
  let at = after + 1;
  while (body[at] === 0x20 || body[at] === 0x3a) at++;
  return body[at] === 0x22 ? at + 1 : undefined;
}

function digestOf(medium: Buffer): Uint8Array {
  const digest = createHash('sha1').update(`${medium.length}:`);
  digest.update(medium.subarray(0, sampledBytes));
  if (medium.length > sampledBytes) digest.update(medium.subarray(-sampledBytes));
  return digest.digest();
}
