/** Lists of token ids, as engines take them instead of a text. */
import type { JsonRange } from './json-scan.ts';

export interface TokenIds {
  readonly count: number;
  /** The first ids, four bytes each: as many as one token of a text stands for. */
  readonly bytes: Uint8Array;
}

/**
 * The ids of an array of whole numbers, or of a list of such arrays one after the other, of which `limit` are
 * kept; undefined for any other value. The scanner has found the range to be valid JSON.
 */
export function readTokenIds(body: Buffer, range: JsonRange, limit: number): TokenIds | undefined {
  if (range.type !== 'array' || !beginsWithNumber(body, range)) return undefined;
  const ids = new Uint32Array(Math.min(limit, (range.end - range.start) >>> 1));
  let count = 0;
  let id = 0;
  let hasDigits = false;
  for (let at = range.start + 1; at < range.end; at += 1) {
    const byte = body[at]!;
    if (byte >= 0x30 && byte <= 0x39) {
      id = id * 10 + byte - 0x30;
      hasDigits = true;
    } else if (byte === 0x2c || byte === 0x5d) {
      if (!hasDigits) continue; // behind an inner array, or in an empty one
      if (count < ids.length) ids[count] = id;
      count += 1;
      id = 0;
      hasDigits = false;
    } else if (byte > 0x20 && byte !== 0x5b) return undefined;
  }
  if (count === 0) return undefined;
  return { count, bytes: new Uint8Array(ids.buffer, 0, 4 * Math.min(count, ids.length)) };
}

/** Before room is made: most arrays are messages, and room for ids would be as large as the body. */
function beginsWithNumber(body: Buffer, { start, end }: JsonRange): boolean {
  for (let at = start + 1; at < end; at += 1) {
    const byte = body[at]!;
    // Space, and what stands around the first number of a list of lists, which may begin with empty ones.
    if (byte <= 0x20 || byte === 0x5b || byte === 0x5d || byte === 0x2c) continue;
    return byte >= 0x30 && byte <= 0x39;
  }
  return false;
}
