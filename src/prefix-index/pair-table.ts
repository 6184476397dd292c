/**
 * Gives pairs of 32-bit numbers stable small ids: open addressing over typed arrays, 4 bytes a slot for the
 * id and 8 bytes an id for the pair. Ids start at 1 and are reused after `remove`; 0 means "none".
 *
 * Numbers are signed, since those above 2^31 would be objects on V8's heap wherever they are passed or returned.
 *
 * Nothing is ever rehashed or copied as a whole, so that no insert is slow: the slots lie in shards that grow
 * one by one, the pairs in pages that are only added.
 *
 *     hash ── top 8 bits ──▶ shard ── low bits ──▶ slot ─▶ id ─▶ page[id >>> 12][id & 4095]
 */

const pageShift = 12;
export const pageSize = 1 << pageShift;
export const pageMask = pageSize - 1;

const shardShift = 24;
const shardCount = 1 << (32 - shardShift);
const firstShardSlots = 16;
/** A shard grows when more than this share of its slots is used; linear probing slows down steeply above. */
const highestLoad = 0.75;

/** `second` of a freed id, so that a guess does not take it for a pair. */
const freed = -1;

/** A number per id, in pages that are added as ids grow. Reads of ids that were never set give 0. */
export class IdColumn {
  readonly #pages: Int32Array[] = [];

  get(id: number): number {
    return this.#pages[id >>> pageShift]![id & pageMask]!;
  }

  set(id: number, value: number): void {
    this.#pages[id >>> pageShift]![id & pageMask] = value;
  }

  /** Of this id and all others of its page. */
  pageOf(id: number): Int32Array {
    return this.#pages[id >>> pageShift]!;
  }

  /** How many ids from `from` on, at most `most` and not beyond the page, have this value. */
  countEqual(from: number, most: number, value: number): number {
    const start = from & pageMask;
    const end = Math.min(start + most, pageSize);
    const page = this.#pages[from >>> pageShift];
    if (page === undefined) return 0;
    let at = start;
    while (at < end && page[at] === value) at++;
    return at - start;
  }

  /** Makes room for ids up to and including this one. */
  reach(id: number): void {
    while (this.#pages.length <= id >>> pageShift) this.#pages.push(new Int32Array(pageSize));
  }

  get bytes(): number {
    return this.#pages.length * pageSize * 4;
  }
}

export class PairTable {
  readonly #firsts = new IdColumn();
  readonly #seconds = new IdColumn();
  readonly #shards: Uint32Array[] = [];
  readonly #used = new Uint32Array(shardCount);
  /** Freed ids form a list through `#firsts`. */
  #freeId = 0;
  #lastId = 0;
  #size = 0;

  constructor() {
    for (let i = 0; i < shardCount; i++) this.#shards.push(new Uint32Array(firstShardSlots));
    this.#firsts.reach(0);
    this.#seconds.reach(0);
    this.#seconds.set(0, freed);
  }

  /** Pairs that are in the table. */
  get size(): number {
    return this.#size;
  }

  /** Ids are at most this; attributes kept beside the table need that much room. */
  get lastId(): number {
    return this.#lastId;
  }

  first(id: number): number {
    return this.#firsts.get(id);
  }

  second(id: number): number {
    return this.#seconds.get(id);
  }

  /**
   * The pair's id, or 0. Both numbers are signed 32-bit. Pairs that were added one after the other mostly
   * have consecutive ids, so a guess saves the look-up and reads memory in order.
   */
  find(first: number, second: number, guess: number): number {
    if (guess <= this.#lastId && this.#firsts.get(guess) === first && this.#seconds.get(guess) === second) {
      return guess;
    }
    const hash = hashPair(first, second);
    const shard = this.#shards[hash >>> shardShift]!;
    const mask = shard.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const id = shard[slot]!;
      if (id === 0) return 0;
      if (this.#firsts.get(id) === first && this.#seconds.get(id) === second) return id;
    }
  }

  /**
   * How many of the pairs from index `from` on, at most `most`, have the ids `id`, `id + 1` and so on: what `find` does
   * with guesses, many at once. Stops at the end of a page, too.
   */
  countInOrder(firsts: Uint32Array, seconds: Uint32Array, from: number, most: number, id: number): number {
    const slot = id & pageMask;
    const end = Math.min(most, pageSize - slot, this.#lastId + 1 - id);
    if (end <= 0) return 0;
    const firstPage = this.#firsts.pageOf(id);
    const secondPage = this.#seconds.pageOf(id);
    let count = 0;
    while (
      count < end &&
      firstPage[slot + count] === (firsts[from + count]! | 0) &&
      secondPage[slot + count] === (seconds[from + count]! | 0)
    )
      count++;
    return count;
  }

  /** The same for the pairs (`first`, `second`), (`first + 1`, `second`) and so on. */
  countSteps(first: number, second: number, most: number, id: number): number {
    const slot = id & pageMask;
    const end = Math.min(most, pageSize - slot, this.#lastId + 1 - id);
    if (end <= 0) return 0;
    const firstPage = this.#firsts.pageOf(id);
    const secondPage = this.#seconds.pageOf(id);
    let count = 0;
    while (count < end && firstPage[slot + count] === first + count && secondPage[slot + count] === second)
      count++;
    return count;
  }

  /** Adds a pair that `find` did not find; returns its id. */
  add(first: number, second: number): number {
    const id = this.#takeId();
    this.#firsts.set(id, first);
    this.#seconds.set(id, second);
    const hash = hashPair(first, second);
    const index = hash >>> shardShift;
    if (this.#used[index]! >= this.#shards[index]!.length * highestLoad) this.#growShard(index);
    placeInShard(this.#shards[index]!, hash, id);
    this.#used[index] = this.#used[index]! + 1;
    this.#size++;
    return id;
  }

  /** Frees an id that is in use. */
  remove(id: number): void {
    const hash = hashPair(this.#firsts.get(id), this.#seconds.get(id));
    const index = hash >>> shardShift;
    const shard = this.#shards[index]!;
    const mask = shard.length - 1;
    let hole = hash & mask;
    while (shard[hole] !== id) hole = (hole + 1) & mask;
    // Backward shift (Knuth 6.4, algorithm R): what could have stood in the hole moves there; no tombstones.
    for (let slot = (hole + 1) & mask; ; slot = (slot + 1) & mask) {
      const other = shard[slot]!;
      if (other === 0) break;
      const home = hashPair(this.#firsts.get(other), this.#seconds.get(other)) & mask;
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      shard[hole] = other;
      hole = slot;
    }
    shard[hole] = 0;
    this.#used[index] = this.#used[index]! - 1;
    this.#size--;
    this.#firsts.set(id, this.#freeId);
    this.#seconds.set(id, freed);
    this.#freeId = id;
  }

  get bytes(): number {
    let slots = 0;
    for (const shard of this.#shards) slots += shard.length;
    return slots * 4 + this.#firsts.bytes + this.#seconds.bytes;
  }

  #takeId(): number {
    if (this.#freeId !== 0) {
      const id = this.#freeId;
      this.#freeId = this.#firsts.get(id);
      return id;
    }
    const id = ++this.#lastId;
    this.#firsts.reach(id);
    this.#seconds.reach(id);
    return id;
  }

  #growShard(index: number): void {
    const old = this.#shards[index]!;
    const grown = new Uint32Array(old.length * 2);
    for (const id of old) {
      if (id !== 0) placeInShard(grown, hashPair(this.#firsts.get(id), this.#seconds.get(id)), id);
    }
    this.#shards[index] = grown;
  }
}

function placeInShard(shard: Uint32Array, hash: number, id: number): void {
  const mask = shard.length - 1;
  let slot = hash & mask;
  while (shard[slot] !== 0) slot = (slot + 1) & mask;
  shard[slot] = id;
}

function hashPair(first: number, second: number): number {
  let hash = Math.imul(first ^ Math.imul(second, 0x9e3779b1), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
  return (hash ^ (hash >>> 13)) >>> 0;
}
