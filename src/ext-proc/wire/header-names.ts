const slotCount = 1024;
const longestName = 64;

interface KnownName {
  readonly bytes: Uint8Array;
  /** In lower case. */
  readonly name: string;
}

/** By hash; a newer name takes the place of an older one, so that junk is forgotten again. */
const known: (KnownName | undefined)[] = new Array(slotCount).fill(undefined);

/**
 * The header name at `bytes[start, end)` in lower case. Data planes send the same few names again and again: those
 * are found by their bytes, without making a string.
 */
export function headerName(bytes: Buffer, start: number, end: number): string {
  const length = end - start;
  if (length > longestName) return bytes.toString('utf8', start, end).toLowerCase();
  let hash = length;
  for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + bytes[at]!) | 0;
  const slot = (hash ^ (hash >>> 15)) & (slotCount - 1);
  const candidate = known[slot];
  if (candidate !== undefined && isEqual(candidate.bytes, bytes, start, length)) return candidate.name;
  const name = bytes.toString('utf8', start, end).toLowerCase();
  known[slot] = { bytes: Uint8Array.prototype.slice.call(bytes, start, end), name };
  return name;
}

function isEqual(name: Uint8Array, bytes: Buffer, start: number, length: number): boolean {
  if (name.length !== length) return false;
  for (let i = 0; i < length; i++) if (name[i] !== bytes[start + i]) return false;
  return true;
}
