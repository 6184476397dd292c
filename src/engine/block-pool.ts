/**
 * Reference counts of all KV blocks and the list of those that nobody references, least recently used first.
 *
 *   front                                                   back
 *   [never cached, or without value] … [oldest cached] … [youngest cached]
 *
 * The list is doubly linked through two typed arrays, so a block leaves its middle in O(1) when a prefix hit
 * revives it.
 */
export class BlockPool {
  readonly blocks: number;
  /** `[blocks + 1]`; index `blocks` is the ring's anchor: its next is the front, its previous the back. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** `[blocks]` */
  readonly #references: Int32Array;
  #free: number;

  constructor(blocks: number) {
    this.blocks = blocks;
    this.#next = Int32Array.from({ length: blocks + 1 }, (_, i) => (i === blocks ? 0 : i + 1));
    this.#previous = Int32Array.from({ length: blocks + 1 }, (_, i) => (i === 0 ? blocks : i - 1));
    this.#references = new Int32Array(blocks);
    this.#free = blocks;
  }

  get free(): number {
    return this.#free;
  }

  isReferenced(block: number): boolean {
    return this.#references[block]! > 0;
  }

  /** Takes the block at the front of the free list, with one reference. The caller checks `free` first. */
  acquire(): number {
    if (this.#free === 0) throw new Error('block pool: no free block to acquire');
    const block = this.#next[this.blocks]!;
    this.#unlink(block);
    this.#references[block] = 1;
    return block;
  }

  /** The first of `count` adjacent blocks that are all free; the lowest such. O(blocks). */
  findRun(count: number): number | undefined {
    let length = 0;
    for (let block = 0; block < this.blocks; block++) {
      length = this.#references[block] === 0 ? length + 1 : 0;
      if (length === count) return block - count + 1;
    }
    return undefined;
  }

  /** One more reference to a block, which leaves the free list if it was there. */
  retain(block: number): void {
    if (this.#references[block] === 0) this.#unlink(block);
    this.#references[block]!++;
  }

  /**
   * One reference less. A block that nobody references joins the free list: at the back when its content may
   * be wanted again, else at the front, so that it is taken before anything of value.
   */
  release(block: number, worth: 'keep' | 'reuse'): void {
    if (this.#references[block] === 0) throw new Error(`block pool: block ${block} is released twice`);
    if (--this.#references[block]! > 0) return;
    const after = worth === 'keep' ? this.#previous[this.blocks]! : this.blocks;
    const before = this.#next[after]!;
    this.#next[after] = block;
    this.#previous[block] = after;
    this.#next[block] = before;
    this.#previous[before] = block;
    this.#free++;
  }

  /** Throws unless each block is in the free list exactly once or referenced, as `expected` counts say. */
  checkIntegrity(expected: Int32Array): void {
    const listed = new Uint8Array(this.blocks);
    let length = 0;
    let last = this.blocks;
    for (let block = this.#next[this.blocks]!; block !== this.blocks; block = this.#next[block]!) {
      if (listed[block] === 1) throw new Error(`block pool: block ${block} is in the free list twice`);
      listed[block] = 1;
      if (this.#previous[block] !== last) throw new Error(`block pool: broken back link at block ${block}`);
      last = block;
      length++;
    }
    if (this.#previous[this.blocks] !== last || length !== this.#free)
      throw new Error(`block pool: free list has ${length} blocks, counter says ${this.#free}`);
    for (let block = 0; block < this.blocks; block++) {
      const references = this.#references[block]!;
      if (references !== expected[block])
        throw new Error(
          `block pool: block ${block} counts ${references} references, tables hold ${expected[block]}`,
        );
      if (references > 0 === (listed[block] === 1))
        throw new Error(
          `block pool: block ${block} with ${references} references, free list ${listed[block]}`,
        );
    }
  }

  #unlink(block: number): void {
    const before = this.#previous[block]!;
    const after = this.#next[block]!;
    this.#next[before] = after;
    this.#previous[after] = before;
    this.#free--;
  }
}
