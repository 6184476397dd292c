import type { PrefixHashes } from './inference-request.ts';

/**
 * Which blocks have been asked for lately, in fixed memory: two Bloom filters of two bits per block. The older
 * one is emptied when the younger has taken its share, so a block is remembered for one to two generations.
 */
export class RecentBlocks {
  readonly #mask: number;
  readonly #generationBlocks: number;
  #younger: Uint32Array;
  #older: Uint32Array;
  #added = 0;

  /**
   * `bits` is a power of two; with 8 bits per block of a generation about 5 % of new blocks look known. The
   * default remembers 260,000 blocks in 256 KiB per generation: small enough to stay in the processor's cache.
   */
  constructor(bits = 2 ** 21) {
    this.#mask = bits - 1;
    this.#generationBlocks = bits / 8;
    this.#younger = new Uint32Array(bits / 32);
    this.#older = new Uint32Array(bits / 32);
  }

  /** Blocks known from `from` on, counted before all of the prompt's blocks are added. */
  countKnownAndAdd({ low, high, count }: PrefixHashes, from: number): number {
    let known = 0;
    for (let i = from; i < count; i++) {
      const first = low[i]! & this.#mask;
      const second = high[i]! & this.#mask;
      if (isSet(this.#younger, first, second) || isSet(this.#older, first, second)) known++;
    }
    for (let i = 0; i < count; i++) this.#add(low[i]! & this.#mask, high[i]! & this.#mask);
    return known;
  }

  #add(first: number, second: number): void {
    const bits = this.#younger;
    if (isSet(bits, first, second)) return;
    bits[first >>> 5] = bits[first >>> 5]! | (1 << (first & 31));
    bits[second >>> 5] = bits[second >>> 5]! | (1 << (second & 31));
    if (++this.#added < this.#generationBlocks) return;
    this.#younger = this.#older.fill(0);
    this.#older = bits;
    this.#added = 0;
  }
}

function isSet(bits: Uint32Array, first: number, second: number): boolean {
  return (
    (bits[first >>> 5]! & (1 << (first & 31))) !== 0 && (bits[second >>> 5]! & (1 << (second & 31))) !== 0
  );
}
