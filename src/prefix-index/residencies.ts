import { IdColumn, PairTable, pageMask, pageSize } from './pair-table.ts';

/** The blocks of one endpoint, as a list from the newest to the oldest. Owned by `Residencies`. */
export interface ResidentList {
  /** Number of this list's bit in endpoint sets. */
  readonly bit: number;
  /** Of the endpoint. */
  readonly slot: number;
  newest: number;
  oldest: number;
  /** Entry that no block has: what stands before it is in use, what stands behind it may be evicted. */
  mark: number;
  count: number;
  /** Blocks that the endpoint's KV cache holds. */
  capacity: number;
}

/** No block has this id. */
const markBlock = 0xffff_ffff;

/**
 * One entry per (block, endpoint), linked into its endpoint's list in the order in which the engine would
 * evict. Engines free the blocks of a request tail first, so a block is always newer than what follows it:
 *
 *     newest ─▶ [A0 A1 A2 A3] │ [B0 B1] [C0 C1 C2] ◀─ oldest      each prompt's root first; C2 goes first
 *               in use      mark      evictable
 *
 * and the chain of a prompt is never cut at its root. Blocks in use are evicted when there are no others.
 */
export class Residencies {
  readonly #entries = new PairTable();
  readonly #newer = new IdColumn();
  readonly #older = new IdColumn();
  #lists = 0;

  get size(): number {
    return this.#entries.size - this.#lists;
  }

  /** To be called once, before anything is added; `close` ends it. */
  open(list: ResidentList): void {
    list.mark = this.#entries.add(markBlock, list.bit);
    this.#lists++;
    this.#newer.reach(list.mark);
    this.#older.reach(list.mark);
    this.#link(list, list.mark, list.mark, 0);
  }

  /** Of an empty list. */
  close(list: ResidentList): void {
    this.#unlink(list, list.mark, list.mark);
    this.#entries.remove(list.mark);
    this.#lists--;
  }

  /** The entry that the engine would evict next, of a list that is not empty. */
  next(list: ResidentList): number {
    return list.oldest === list.mark ? this.#newer.get(list.mark) : list.oldest;
  }

  /** The entry of this block in this list, or 0. `previous` is the entry of the block before, or 0. */
  find(list: ResidentList, block: number, previous: number): number {
    return this.#entries.find(block, list.bit, previous + 1);
  }

  blockOf(entry: number): number {
    return this.#entries.first(entry);
  }

  /** Adds the block right behind `newer` (which may be the mark), as the newest if that is 0; returns the entry. */
  add(list: ResidentList, block: number, newer: number): number {
    const entry = this.#entries.add(block, list.bit);
    this.#newer.reach(entry);
    this.#older.reach(entry);
    this.#link(list, entry, entry, newer);
    list.count++;
    return entry;
  }

  /** The entry that stands right behind this one, or 0. */
  behind(entry: number): number {
    return this.#older.get(entry);
  }

  /**
   * How many entries, at most `most`, follow on this one in every respect: by their ids, by those of their blocks, of
   * which `block` is the first, and in the list. Stops at the end of a page, too.
   */
  countBehind(list: ResidentList, entry: number, block: number, most: number): number {
    const inOrder = this.#entries.countSteps(block, list.bit, most, entry + 1);
    const start = entry & pageMask;
    const end = Math.min(start + inOrder, pageSize);
    const older = this.#older.pageOf(entry);
    let at = start;
    while (at < end && older[at] === entry + 1 + at - start) at++;
    return at - start;
  }

  /** Puts a run of neighbours, from `first` to `last`, right behind `newer`, or first if that is 0. */
  move(list: ResidentList, first: number, last: number, newer: number): void {
    if ((newer === 0 ? list.newest : this.#older.get(newer)) === first) return;
    this.#unlink(list, first, last);
    this.#link(list, first, last, newer);
  }

  remove(list: ResidentList, entry: number): void {
    this.#unlink(list, entry, entry);
    this.#entries.remove(entry);
    list.count--;
  }

  get bytes(): number {
    return this.#entries.bytes + this.#newer.bytes + this.#older.bytes;
  }

  #link(list: ResidentList, first: number, last: number, newer: number): void {
    const older = newer === 0 ? list.newest : this.#older.get(newer);
    this.#newer.set(first, newer);
    this.#older.set(last, older);
    if (newer === 0) list.newest = first;
    else this.#older.set(newer, first);
    if (older === 0) list.oldest = last;
    else this.#newer.set(older, last);
  }

  #unlink(list: ResidentList, first: number, last: number): void {
    const newer = this.#newer.get(first);
    const older = this.#older.get(last);
    if (newer === 0) list.newest = older;
    else this.#older.set(newer, older);
    if (older === 0) list.oldest = newer;
    else this.#newer.set(older, newer);
  }
}
