import { mix32 } from './random.ts';

/** Told of every block that becomes resident or is evicted, as vLLM publishes KV events. */
export interface ResidencyListener {
  stored(block: number): void;
  removed(block: number): void;
}

/**
 * One engine's prefix cache: blocks with reference counts; those without references wait in least recently
 * released order for eviction. An open-addressing table over as many slots as the cache has blocks, so memory
 * does not grow with the trace.
 *
 *   resident = referenced + evictable        evictable: oldest -> ... -> newest, a ring through the sentinel
 */
export class BlockCache {
  readonly capacityBlocks: number;
  /** Set by who wants KV events; costs nothing otherwise. */
  listener: ResidencyListener | undefined;

  #referenced = 0;
  #evictable = 0;
  readonly #blockOf: Int32Array;
  readonly #references: Int32Array;
  /** The eviction ring [capacity + 1]; the last index is its sentinel. */
  readonly #older: Int32Array;
  readonly #newer: Int32Array;
  readonly #freeSlots: Int32Array;
  #freeCount: number;
  /** Slot + 1 by hash of the block, 0 for empty; linear probing. */
  readonly #table: Int32Array;
  readonly #tableMask: number;

  constructor(capacityBlocks: number) {
    this.capacityBlocks = capacityBlocks;
    this.#blockOf = new Int32Array(capacityBlocks);
    this.#references = new Int32Array(capacityBlocks);
    this.#older = new Int32Array(capacityBlocks + 1);
    this.#newer = new Int32Array(capacityBlocks + 1);
    this.#freeSlots = new Int32Array(capacityBlocks);
    const tableSize = 2 ** Math.ceil(Math.log2(capacityBlocks * 2 + 2));
    this.#table = new Int32Array(tableSize);
    this.#tableMask = tableSize - 1;
    this.#freeCount = 0;
    this.#reset();
  }

  get referencedBlocks(): number {
    return this.#referenced;
  }

  get evictableBlocks(): number {
    return this.#evictable;
  }

  /** Leading blocks that are resident. */
  matchLength(blocks: Int32Array): number {
    let length = 0;
    while (length < blocks.length && this.#find(blocks[length]!) >= 0) length++;
    return length;
  }

  /** Of these blocks, those that nothing refers to now: what a request would add to the referenced ones. */
  unreferencedCount(blocks: Int32Array): number {
    let count = 0;
    for (let i = 0; i < blocks.length; i++) {
      const slot = this.#find(blocks[i]!);
      if (slot < 0 || this.#references[slot] === 0) count++;
    }
    return count;
  }

  /** Refers to each block, storing those that are not resident; evicts the oldest when no slot is free. */
  reference(blocks: Int32Array): void {
    for (let i = 0; i < blocks.length; i++) {
      const block = blocks[i]!;
      let slot = this.#find(block);
      if (slot < 0) slot = this.#store(block);
      else if (this.#references[slot] === 0) this.#unlink(slot);
      if (this.#references[slot]!++ === 0) this.#referenced++;
    }
  }

  /** Gives the references back, last block first, so that the tail of a prefix is evicted before its head. */
  release(blocks: Int32Array): void {
    for (let i = blocks.length - 1; i >= 0; i--) {
      const slot = this.#find(blocks[i]!);
      if (slot < 0 || this.#references[slot]! <= 0) throw new Error(`block ${blocks[i]} is not referenced`);
      if (--this.#references[slot]! > 0) continue;
      this.#referenced--;
      this.#linkNewest(slot);
    }
  }

  /** Evicts the oldest until at most `maxResident` blocks are left, or no evictable one is. */
  shrinkTo(maxResident: number): void {
    while (this.#evictable > 0 && this.#referenced + this.#evictable > maxResident) this.#evictOldest();
  }

  /** Forgets everything, as a restart does; references are gone too. */
  clear(): void {
    if (this.listener !== undefined) {
      for (let i = 0; i <= this.#tableMask; i++) {
        const slot = this.#table[i]! - 1;
        if (slot >= 0) this.listener.removed(this.#blockOf[slot]!);
      }
    }
    this.#reset();
  }

  /** Throws when counts, ring and table disagree. */
  checkIntegrity(): void {
    let referenced = 0;
    let resident = 0;
    for (const entry of this.#table) {
      if (entry === 0) continue;
      resident++;
      if (this.#references[entry - 1]! > 0) referenced++;
      if (this.#find(this.#blockOf[entry - 1]!) !== entry - 1) throw new Error('a block cannot be found');
    }
    let ring = 0;
    for (
      let slot = this.#newer[this.capacityBlocks]!;
      slot !== this.capacityBlocks;
      slot = this.#newer[slot]!
    ) {
      if (this.#references[slot] !== 0) throw new Error('a referenced block waits for eviction');
      ring++;
    }
    const isWhole =
      referenced === this.#referenced &&
      ring === this.#evictable &&
      resident === referenced + ring &&
      resident + this.#freeCount === this.capacityBlocks;
    if (!isWhole) throw new Error(`cache counts disagree: ${resident} resident, ${referenced} referenced`);
  }

  #reset(): void {
    const capacity = this.capacityBlocks;
    this.#table.fill(0);
    this.#references.fill(0);
    this.#older[capacity] = capacity;
    this.#newer[capacity] = capacity;
    for (let i = 0; i < capacity; i++) this.#freeSlots[i] = capacity - 1 - i;
    this.#freeCount = capacity;
    this.#referenced = 0;
    this.#evictable = 0;
  }

  #find(block: number): number {
    let index = mix32(block) & this.#tableMask;
    for (;;) {
      const slot = this.#table[index]! - 1;
      if (slot < 0) return -1;
      if (this.#blockOf[slot] === block) return slot;
      index = (index + 1) & this.#tableMask;
    }
  }

  #store(block: number): number {
    if (this.#freeCount === 0) this.#evictOldest();
    const slot = this.#freeSlots[--this.#freeCount]!;
    this.#blockOf[slot] = block;
    let index = mix32(block) & this.#tableMask;
    while (this.#table[index] !== 0) index = (index + 1) & this.#tableMask;
    this.#table[index] = slot + 1;
    this.listener?.stored(block);
    return slot;
  }

  #evictOldest(): void {
    const slot = this.#newer[this.capacityBlocks]!;
    if (slot === this.capacityBlocks) throw new Error('no block can be evicted: all are referenced');
    this.#unlink(slot);
    const block = this.#blockOf[slot]!;
    this.#deleteFromTable(block);
    this.#freeSlots[this.#freeCount++] = slot;
    this.listener?.removed(block);
  }

  /** Deletion by shifting back (Knuth 6.4, algorithm R), so that the table never fills with tombstones. */
  #deleteFromTable(block: number): void {
    let hole = mix32(block) & this.#tableMask;
    while (this.#blockOf[this.#table[hole]! - 1] !== block) hole = (hole + 1) & this.#tableMask;
    let index = hole;
    for (;;) {
      index = (index + 1) & this.#tableMask;
      const entry = this.#table[index]!;
      if (entry === 0) break;
      const home = mix32(this.#blockOf[entry - 1]!) & this.#tableMask;
      if (((index - home) & this.#tableMask) < ((index - hole) & this.#tableMask)) continue;
      this.#table[hole] = entry;
      hole = index;
    }
    this.#table[hole] = 0;
  }

  #linkNewest(slot: number): void {
    const sentinel = this.capacityBlocks;
    const newest = this.#older[sentinel]!;
    this.#newer[newest] = slot;
    this.#older[slot] = newest;
    this.#newer[slot] = sentinel;
    this.#older[sentinel] = slot;
    this.#evictable++;
  }

  #unlink(slot: number): void {
    const older = this.#older[slot]!;
    const newer = this.#newer[slot]!;
    this.#newer[older] = newer;
    this.#older[newer] = older;
    this.#evictable--;
  }
}
