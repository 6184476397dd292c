import type { PrefixHashes } from '../scheduling/inference-request.ts';
import { EndpointSets } from './endpoint-sets.ts';
import { FoundHolders } from './found-holders.ts';
import { IdColumn, PairTable } from './pair-table.ts';
import type { PrefixIndex, PrefixIndexStats, PrefixMatch } from './prefix-index.ts';
import { Residencies, type ResidentList } from './residencies.ts';

export interface ApproximateIndexOptions {
  readonly blockTokens: number;
  /** Capacity of endpoints that have not told theirs. */
  readonly blocksPerEndpoint: number;
  /** False: what endpoints tell of their capacity is passed over. */
  readonly followsEngines?: boolean | undefined;
  /** Distinct sets of endpoints kept at most; beyond it new combinations are not remembered. */
  readonly maxEndpointSets?: number | undefined;
  readonly timer?: LookupTimer | undefined;
}

/** Told how long a lookup took, of one in 64: a lookup may cost less than two looks at the clock. */
export interface LookupTimer {
  /** Milliseconds. */
  readonly clock: () => number;
  readonly onLookup: (durationMs: number) => void;
}

/** What has happened to an index since it began. */
export interface IndexCounts {
  readonly lookups: number;
  /** Leading blocks of a prompt that the endpoint with the most of them holds, summed over lookups. */
  readonly matchedBlocks: number;
  /** Pairs of a block and an endpoint that came, and those that went, whatever the cause. */
  readonly admissions: number;
  readonly evictions: number;
}

/** Evictions that one call does on top of its own, so that a large clean-up is spread over many calls. */
const evictionsPerCall = 512;

/** Blocks in a row that are looked for at first. */
const firstPiece = 8;

/** Of lookups that are timed: one in so many, a power of two. */
const timedOneIn = 64;

/**
 * Remembers our own decisions: a block that was sent to an endpoint is in its cache while its request runs, and then
 * until as many newer ones have come as the cache holds. Right as long as the engine evicts the blocks that were
 * released longest ago and all its requests pass here.
 *
 *     hash (64 bits) ─▶ block id ─▶ endpoint set id ─▶ bits          shared by all endpoints
 *     (block id, bit) ─▶ entry in the endpoint's list                one per residency, oldest evicted first
 *
 * A bit stands for one life of an endpoint. When the endpoint goes, its bit is masked at once and its entries
 * are cleared in slices; only then may another endpoint get the bit, so a stale entry cannot come alive.
 */
export class ApproximateIndex implements PrefixIndex {
  readonly blockTokens: number;
  readonly #blocksPerEndpoint: number;
  readonly #followsEngines: boolean;
  readonly #blocks = new PairTable();
  readonly #setOf = new IdColumn();
  readonly #sets: EndpointSets;
  readonly #residencies = new Residencies();
  /** By slot; capacity may be known before the first block. */
  readonly #bySlot: (ResidentList | undefined)[] = [];
  /** By bit; a list that is leaving keeps its bit until it is empty. */
  readonly #byBit: (ResidentList | undefined)[] = [];
  readonly #leaving: ResidentList[] = [];
  /** Bits of the endpoints that are still there, 32 a word. */
  readonly #liveBits: number[] = [];
  readonly #timer: LookupTimer | undefined;
  #lookups = 0;
  #matchedBlocks = 0;
  #admissions = 0;

  constructor(options: ApproximateIndexOptions) {
    this.blockTokens = options.blockTokens;
    this.#timer = options.timer;
    this.#blocksPerEndpoint = options.blocksPerEndpoint;
    this.#followsEngines = options.followsEngines ?? true;
    this.#sets = new EndpointSets({ maxSets: options.maxEndpointSets ?? 262_144 });
  }

  /** O(blocks + changes of set x words of a set); ends at the first block that no endpoint holds any more. */
  match(hashes: PrefixHashes): PrefixMatch {
    const isTimed = this.#lookups++ % timedOneIn === 0;
    if (!isTimed || this.#timer === undefined) return this.#match(hashes);
    const startedMs = this.#timer.clock();
    const match = this.#match(hashes);
    this.#timer.onLookup(this.#timer.clock() - startedMs);
    return match;
  }

  #match({ count, low, high }: PrefixHashes): PrefixMatch {
    const sets = this.#sets;
    const { words } = sets;
    const match = new FoundHolders();
    /** The endpoints that hold all blocks so far. */
    const active: number[] = [];
    let set = 0;
    let depth = 0;
    let block = 0;
    for (; depth < count; depth++) {
      block = this.#blocks.find(low[depth]! | 0, high[depth]! | 0, block + 1);
      if (block === 0) break;
      const nextSet = this.#setOf.get(block);
      if (nextSet === set) {
        const run = this.#countSharing(low, high, depth + 1, count, block + 1, set);
        depth += run;
        block += run;
        continue;
      }
      set = nextSet;
      let left = 0;
      for (let word = 0; word < words; word++) {
        const members = sets.members(set, word);
        if (depth === 0) {
          active.push(members & this.#liveBits[word]!);
          left |= active[word]!;
          continue;
        }
        const before = active[word]!;
        const after = before & members;
        if (after !== before) this.#note(match, word, before & ~after, depth);
        active[word] = after;
        left |= after;
      }
      if (left === 0) break;
    }
    for (let word = 0; word < active.length; word++) this.#note(match, word, active[word]!, depth);
    this.#matchedBlocks += depth;
    return match;
  }

  record(slot: number, hashes: PrefixHashes): void {
    this.#place(this.#listOf(slot), hashes, 0, hashes.count, 0);
  }

  release(slot: number, hashes: PrefixHashes, heldBlocks: number): void {
    const list = this.#listOf(slot);
    this.#place(list, hashes, heldBlocks, hashes.count, list.mark);
  }

  /** Puts the blocks of a prompt from `from` on, before `to`, right behind `before`, as the newest of all if that is 0. */
  #place(list: ResidentList, { low, high }: PrefixHashes, from: number, to: number, before: number): void {
    const length = Math.min(to, list.capacity);
    let oldSet = -1;
    let newSet = 0;
    // What is placed ends with `newer`. Neighbours that come next, from `first` to `last`, are moved behind it as one:
    // a prompt that was here before mostly is one such run.
    let newer = before;
    let first = 0;
    let last = 0;
    let block = 0;
    for (let i = from; i < length; i++) {
      block = this.#blocks.find(low[i]! | 0, high[i]! | 0, block + 1);
      const known = block === 0 ? 0 : this.#residencies.find(list, block, last === 0 ? newer : last);
      if (known !== 0 && last !== 0 && this.#residencies.behind(last) === known) {
        const run = this.#countBehind(list, low, high, i + 1, length, block, known);
        i += run;
        block += run;
        last = known + run;
        continue;
      }
      newer = this.#placeRun(list, first, last, newer);
      first = known;
      last = known;
      if (known !== 0) continue;
      const set = block === 0 ? 0 : this.#setOf.get(block);
      // Neighbours share sets: one transition mostly serves the whole run.
      if (set !== oldSet) {
        newSet = this.#sets.with(set, list.bit);
        oldSet = set;
        if (newSet === 0) break;
      }
      if (block === 0) {
        block = this.#blocks.add(low[i]! | 0, high[i]! | 0);
        this.#setOf.reach(block);
      }
      this.#setOf.set(block, newSet);
      this.#sets.move(set, newSet);
      newer = this.#residencies.add(list, block, newer);
      this.#admissions++;
    }
    this.#placeRun(list, first, last, newer);
    this.#shrink(list, length + evictionsPerCall);
    this.#clearLeaving(evictionsPerCall);
  }

  /**
   * How many blocks from `from` on have the ids from `block` on, and this set of endpoints. What neighbours share is found
   * in loops over typed arrays, in pieces that double: a piece that is found in vain costs no more than what was found.
   */
  #countSharing(
    low: Uint32Array,
    high: Uint32Array,
    from: number,
    to: number,
    block: number,
    set: number,
  ): number {
    let found = 0;
    for (let piece = firstPiece; ; piece *= 2) {
      const most = Math.min(piece, to - from - found);
      const known = this.#blocks.countInOrder(low, high, from + found, most, block + found);
      const run = this.#setOf.countEqual(block + found, known, set);
      found += run;
      if (run < piece) return found;
    }
  }

  /** The same for blocks whose entries in this list stand behind `entry`, one behind the other. */
  #countBehind(
    list: ResidentList,
    low: Uint32Array,
    high: Uint32Array,
    from: number,
    to: number,
    block: number,
    entry: number,
  ): number {
    let found = 0;
    for (let piece = firstPiece; ; piece *= 2) {
      const most = Math.min(piece, to - from - found);
      const known = this.#blocks.countInOrder(low, high, from + found, most, block + found + 1);
      const run = this.#residencies.countBehind(list, entry + found, block + found + 1, known);
      found += run;
      if (run < piece) return found;
    }
  }

  /** From the tail, so that a chain is never cut at its root. What other requests have built on it goes with it. */
  forget(slot: number, hashes: PrefixHashes, fromBlock: number, heldBlocks: number): void {
    const list = this.#bySlot[slot];
    if (list === undefined) return;
    const { count, low, high } = hashes;
    for (let i = count - 1; i >= fromBlock; i--) {
      const block = this.#blocks.find(low[i]! | 0, high[i]! | 0, 0);
      const entry = block === 0 ? 0 : this.#residencies.find(list, block, 0);
      if (entry !== 0) this.#evict(list, entry);
    }
    this.#place(list, hashes, heldBlocks, Math.min(fromBlock, count), list.mark);
  }

  setCapacity(slot: number, blocks: number): void {
    if (!this.#followsEngines) return;
    const list = this.#listOf(slot);
    list.capacity = Math.max(0, blocks);
    this.#shrink(list, evictionsPerCall);
  }

  removeEndpoint(slot: number): void {
    const list = this.#bySlot[slot];
    if (list === undefined) return;
    this.#bySlot[slot] = undefined;
    this.#liveBits[list.bit >>> 5] = this.#liveBits[list.bit >>> 5]! & ~(1 << (list.bit & 31));
    list.capacity = 0;
    this.#leaving.push(list);
    this.#clearLeaving(evictionsPerCall);
  }

  stats(): PrefixIndexStats {
    return {
      blocks: this.#blocks.size,
      residencies: this.#residencies.size,
      endpointSets: this.#sets.size,
      bytes: this.#blocks.bytes + this.#setOf.bytes + this.#sets.bytes + this.#residencies.bytes,
    };
  }

  counts(): IndexCounts {
    const admissions = this.#admissions;
    return {
      lookups: this.#lookups,
      matchedBlocks: this.#matchedBlocks,
      admissions,
      evictions: admissions - this.#residencies.size,
    };
  }

  #listOf(slot: number): ResidentList {
    const known = this.#bySlot[slot];
    if (known !== undefined) return known;
    const free = this.#byBit.indexOf(undefined);
    const bit = free < 0 ? this.#byBit.length : free;
    const list = { bit, slot, newest: 0, oldest: 0, mark: 0, count: 0, capacity: this.#blocksPerEndpoint };
    this.#residencies.open(list);
    this.#byBit[bit] = list;
    while (this.#liveBits.length <= bit >>> 5) this.#liveBits.push(0);
    this.#liveBits[bit >>> 5] = this.#liveBits[bit >>> 5]! | (1 << (bit & 31));
    while (this.#bySlot.length <= slot) this.#bySlot.push(undefined);
    this.#bySlot[slot] = list;
    return list;
  }

  /** Returns the entry that is then the last in its place; `last` of 0 is no run. */
  #placeRun(list: ResidentList, first: number, last: number, newer: number): number {
    if (last === 0) return newer;
    this.#residencies.move(list, first, last, newer);
    return last;
  }

  /** Evicts the oldest blocks of a list that holds too many, at most `budget` of them. */
  #shrink(list: ResidentList, budget: number): number {
    let left = budget;
    for (; left > 0 && list.count > list.capacity; left--) this.#evict(list, this.#residencies.next(list));
    return left;
  }

  #evict(list: ResidentList, entry: number): void {
    const block = this.#residencies.blockOf(entry);
    this.#residencies.remove(list, entry);
    const set = this.#setOf.get(block);
    const smaller = this.#sets.without(set, list.bit);
    this.#sets.move(set, smaller);
    this.#setOf.set(block, smaller);
    if (smaller === 0) this.#blocks.remove(block);
  }

  #clearLeaving(budget: number): void {
    let left = budget;
    while (left > 0) {
      const list = this.#leaving[0];
      if (list === undefined) return;
      left = this.#shrink(list, left);
      if (list.count > 0) return;
      this.#leaving.shift();
      this.#residencies.close(list);
      this.#byBit[list.bit] = undefined;
    }
  }

  /** All of these endpoints hold so many blocks. */
  #note(match: FoundHolders, word: number, bits: number, depth: number): void {
    for (let rest = bits; rest !== 0; rest &= rest - 1) {
      match.add(this.#byBit[(word << 5) + 31 - Math.clz32(rest & -rest)]!.slot, depth);
    }
  }
}
