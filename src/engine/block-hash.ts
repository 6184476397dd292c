import { hash } from 'node:crypto';

/**
 * Hash chain of KV blocks, as vLLM's `sha256_cbor`: `h[i] = sha256(cbor([h[i-1], [tokens of block i], extra]))`
 * with canonical CBOR, `extra` null or a list of strings (vLLM `v1/core/kv_cache_utils.py`).
 */

export const digestBytes = 32;
/** A digest as 32-bit words: the form that tables compare. */
export const digestWords = digestBytes / 4;

const unsignedMajor = 0x00;
const bytesMajor = 0x40;
const textMajor = 0x60;
const arrayMajor = 0x80;
const cborNull = 0xf6;

/** The parent of every first block: `sha256(cbor(seed))`; two engines with the same seed share hashes. */
export function rootDigest(seed: string): Uint8Array {
  const text = Buffer.from(seed, 'utf8');
  const encoded = Buffer.allocUnsafe(text.length + 9);
  const start = writeHead(encoded, 0, textMajor, text.length);
  text.copy(encoded, start);
  return hash('sha256', encoded.subarray(0, start + text.length), 'buffer');
}

/** Hashes blocks of one size; owns the buffer that it encodes into. */
export class BlockHasher {
  readonly blockSize: number;
  #buffer: Buffer;

  constructor(blockSize: number) {
    this.blockSize = blockSize;
    // 1 array head + 2 + 32 parent bytes + 9 inner head + 5 bytes per token + 1 null.
    this.#buffer = Buffer.allocUnsafe(64 + 5 * blockSize);
  }

  /**
   * The digest of the block whose tokens start at `tokens[start]`, one character per byte (Latin-1): half the
   * cost of a Buffer, which Node would allocate outside its heap for each call.
   */
  digest(
    parent: Uint8Array,
    tokens: Int32Array,
    start: number,
    extra: readonly string[] | undefined,
  ): string {
    const extraBytes = extra === undefined ? 0 : extra.reduce((sum, key) => sum + 9 + 3 * key.length, 9);
    const needed = 64 + 5 * this.blockSize + extraBytes;
    if (this.#buffer.length < needed) this.#buffer = Buffer.allocUnsafe(needed);
    const buffer = this.#buffer;
    let at = writeHead(buffer, 0, arrayMajor, 3);
    at = writeHead(buffer, at, bytesMajor, digestBytes);
    buffer.set(parent, at);
    at = writeHead(buffer, at + digestBytes, arrayMajor, this.blockSize);
    for (let i = 0; i < this.blockSize; i++) at = writeHead(buffer, at, unsignedMajor, tokens[start + i]!);
    if (extra === undefined) {
      buffer[at++] = cborNull;
    } else {
      at = writeHead(buffer, at, arrayMajor, extra.length);
      for (const key of extra) {
        at = writeHead(buffer, at, textMajor, Buffer.byteLength(key));
        at += buffer.write(key, at, 'utf8');
      }
    }
    return hash('sha256', buffer.subarray(0, at), 'binary');
  }
}

/** Writes a CBOR head in its shortest form (canonical); returns the next offset. */
function writeHead(buffer: Buffer, at: number, major: number, value: number): number {
  if (value < 24) {
    buffer[at] = major | value;
    return at + 1;
  }
  if (value < 0x100) {
    buffer[at] = major | 24;
    buffer[at + 1] = value;
    return at + 2;
  }
  if (value < 0x10000) {
    buffer[at] = major | 25;
    buffer[at + 1] = value >>> 8;
    buffer[at + 2] = value;
    return at + 3;
  }
  buffer[at] = major | 26;
  buffer.writeUInt32BE(value, at + 1);
  return at + 5;
}
