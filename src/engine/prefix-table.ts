import { digestBytes, digestWords } from './block-hash.ts';

/**
 * Digest → KV block, for the blocks that may be found again. Open addressing with linear probing over one
 * Int32Array; whole digests are compared, so a collision of table keys is harmless. 36 + 8 bytes per block.
 */
export class PrefixTable {
  /** `block + 1`, 0 = empty slot. A power of two, at most half full. */
  readonly #slots: Int32Array;
  readonly #mask: number;
  /** `[blocks, digestWords]` */
  readonly #digests: Int32Array;
  /** `[blocks]` 1 = registered. */
  readonly #registered: Uint8Array;
  #size = 0;

  constructor(blocks: number) {
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(2, 2 * blocks)));
    this.#slots = new Int32Array(capacity);
    this.#mask = capacity - 1;
    this.#digests = new Int32Array(blocks * digestWords);
    this.#registered = new Uint8Array(blocks);
  }

  get size(): number {
    return this.#size;
  }

  has(block: number): boolean {
    return this.#registered[block] === 1;
  }

  /** The block registered under the digest at `words[at…]`. */
  find(words: Int32Array, at: number): number | undefined {
    for (let slot = words[at]! & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const block = this.#slots[slot]! - 1;
      if (block < 0) return undefined;
      if (this.#equals(block, words, at)) return block;
    }
  }

  /** Registers a block under a digest that is not in the table yet. */
  insert(block: number, words: Int32Array, at: number): void {
    let slot = words[at]! & this.#mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & this.#mask;
    this.#slots[slot] = block + 1;
    this.#digests.set(words.subarray(at, at + digestWords), block * digestWords);
    this.#registered[block] = 1;
    this.#size++;
  }

  /** Forgets a registered block. Later entries of its probe run move back, so no tombstones are left. */
  remove(block: number): void {
    let hole = this.#slotOf(block);
    for (let slot = (hole + 1) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const entry = this.#slots[slot]!;
      if (entry === 0) break;
      const home = this.#home(entry - 1);
      if (((slot - home) & this.#mask) >= ((slot - hole) & this.#mask)) {
        this.#slots[hole] = entry;
        hole = slot;
      }
    }
    this.#slots[hole] = 0;
    this.#registered[block] = 0;
    this.#size--;
  }

  clear(): void {
    this.#slots.fill(0);
    this.#registered.fill(0);
    this.#size = 0;
  }

  /** A copy of the digest that the block is registered under. */
  digest(block: number): Uint8Array {
    const at = block * digestBytes;
    return new Uint8Array(this.#digests.buffer.slice(at, at + digestBytes));
  }

  /** Throws unless every registered block is found under its own digest, and nothing else is in the table. */
  checkIntegrity(): void {
    let registered = 0;
    for (let block = 0; block < this.#registered.length; block++) {
      if (this.#registered[block] === 0) continue;
      registered++;
      const found = this.find(this.#digests, block * digestWords);
      if (found !== block) throw new Error(`prefix table: block ${block} is found as ${found}`);
    }
    const occupied = this.#slots.reduce((sum, entry) => sum + (entry === 0 ? 0 : 1), 0);
    if (registered !== this.#size || occupied !== this.#size)
      throw new Error(
        `prefix table: size ${this.#size}, ${registered} blocks registered, ${occupied} slots in use`,
      );
  }

  #home(block: number): number {
    return this.#digests[block * digestWords]! & this.#mask;
  }

  #slotOf(block: number): number {
    let slot = this.#home(block);
    while (this.#slots[slot] !== block + 1) {
      if (this.#slots[slot] === 0) throw new Error(`prefix table: block ${block} is not registered`);
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }

  #equals(block: number, words: Int32Array, at: number): boolean {
    const own = block * digestWords;
    for (let i = 0; i < digestWords; i++) if (this.#digests[own + i] !== words[at + i]) return false;
    return true;
  }
}
