const slotCount = 1024;

interface KnownText {
  readonly bytes: Uint8Array;
  readonly text: string;
}

/**
 * Texts that data planes send again and again, found by their bytes: without making a string. By hash; a newer text
 * takes the place of an older one, so that junk is forgotten again.
 */
export class KnownTexts {
  readonly #slots: (KnownText | undefined)[] = new Array(slotCount).fill(undefined);
  readonly #longest: number;
  readonly #read: (bytes: Buffer, start: number, end: number) => string;

  /** Texts of up to `longest` bytes are kept; `read` makes the string. */
  constructor(longest: number, read: (bytes: Buffer, start: number, end: number) => string) {
    this.#longest = longest;
    this.#read = read;
  }

  /** The text at `bytes[start, end)`. */
  at(bytes: Buffer, start: number, end: number): string {
    const length = end - start;
    if (length > this.#longest) return this.#read(bytes, start, end);
    let hash = length;
    // Some bytes of it tell most texts apart; texts that they do not only take each other's place.
    const step = (length >> 3) + 1;
    for (let at = end - 1; at >= start; at -= step) hash = (Math.imul(hash, 31) + bytes[at]!) | 0;
    const slot = (hash ^ (hash >>> 15)) & (slotCount - 1);
    const candidate = this.#slots[slot];
    if (candidate !== undefined && isEqual(candidate.bytes, bytes, start, length)) return candidate.text;
    const text = this.#read(bytes, start, end);
    this.#slots[slot] = { bytes: Uint8Array.prototype.slice.call(bytes, start, end), text };
    return text;
  }
}

function isEqual(known: Uint8Array, bytes: Buffer, start: number, length: number): boolean {
  if (known.length !== length) return false;
  for (let i = 0; i < length; i++) if (known[i] !== bytes[start + i]) return false;
  return true;
}
