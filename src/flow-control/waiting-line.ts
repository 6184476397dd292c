import { PriorityBand } from './priority-band.ts';
import type { Waiting, WaitingFacts } from './waiting.ts';

/** All requests that wait: bands by priority, highest first. Owns their order, not their fate. */
export class WaitingLine<T> {
  readonly #ageWeight: number;
  /** Highest priority first; empty bands are dropped. */
  readonly #bands: PriorityBand<T>[] = [];
  size = 0;
  bytes = 0;
  /** Sum of `ownMs`. */
  ownMs = 0;

  /** `ageWeight`: milliseconds of own work that a millisecond of waiting is worth. */
  constructor(ageWeight: number) {
    this.#ageWeight = ageWeight;
  }

  add(waiting: Waiting<T>): void {
    waiting.isWaiting = true;
    this.size++;
    this.bytes += waiting.bytes;
    this.ownMs += waiting.ownMs;
    this.#bandOf(waiting.priority).add(waiting);
  }

  /** `servedTokens` when it leaves because it is served. */
  remove(waiting: Waiting<T>, servedTokens = 0): void {
    waiting.isWaiting = false;
    this.size--;
    this.bytes -= waiting.bytes;
    this.ownMs = this.size === 0 ? 0 : this.ownMs - waiting.ownMs;
    this.#find(waiting.priority)!.remove(waiting, servedTokens);
  }

  charge({ priority, tenant }: WaitingFacts, tokens: number): void {
    this.#find(priority)?.charge(tenant, tokens);
  }

  reestimate(waiting: Waiting<T>, ownMs: number, tokens: number): void {
    this.ownMs += ownMs - waiting.ownMs;
    this.#find(waiting.priority)!.reestimate(waiting, ownMs, tokens);
  }

  /**
   * Calls `visit` with one after the other, best first but `first` before all, until it returns false. It may remove the
   * one it got.
   */
  scan(visit: (waiting: Waiting<T>) => boolean, first?: Waiting<T>): void {
    if (first !== undefined) this.#find(first.priority)!.setAside(first);
    let goesOn = first === undefined || visit(first);
    for (const band of this.#bands) {
      for (let next = goesOn ? band.next() : undefined; next !== undefined; next = band.next()) {
        goesOn = visit(next);
        if (!goesOn) break;
      }
    }
    for (const band of this.#bands) band.endScan();
    this.#dropEmptyBands();
  }

  /** Of those that wait; the least of all if nobody does. */
  get highestPriority(): number {
    return this.#bands.find(({ size }) => size > 0)?.priority ?? Number.NEGATIVE_INFINITY;
  }

  /** Own work that would be done before this request's. */
  aheadMs({ priority, tenant }: WaitingFacts, ownMs: number): number {
    let ahead = 0;
    for (const band of this.#bands) {
      if (band.priority > priority) ahead += band.ownMs;
      else if (band.priority === priority) ahead += band.aheadMs(tenant, ownMs);
    }
    return ahead;
  }

  /** Own work of those that wait and compete with a request of this kind. */
  competingMs({ priority, tenant }: Pick<WaitingFacts, 'priority' | 'tenant'>): number {
    if (this.size === 0) return 0;
    let competing = 0;
    for (const band of this.#bands) {
      if (band.priority > priority) competing += band.ownMs;
      else if (band.priority === priority) competing += band.competingMs(tenant);
    }
    return competing;
  }

  /**
   * Who must leave a full line for a request of this kind: the newest of the longest tenant in the lowest band,
   * if that band is lower, or if it is the same and the tenant has more in it than the newcomer's would have.
   */
  victimOf({ priority, tenant }: WaitingFacts): Waiting<T> | undefined {
    const lowest = this.#bands.findLast(({ size }) => size > 0);
    if (lowest === undefined || lowest.priority > priority) return undefined;
    const longest = lowest.longest();
    if (longest === undefined) return undefined;
    if (lowest.priority === priority && longest.size <= lowest.sizeOf(tenant) + 1) return undefined;
    return longest.newest();
  }

  checkIntegrity(): void {
    const sum = this.#bands.reduce((total, { size }) => total + size, 0);
    if (sum !== this.size) throw new Error(`the line counts ${this.size}, its bands ${sum}`);
    if (this.size === 0 && this.bytes !== 0) throw new Error(`an empty line holds ${this.bytes} bytes`);
    for (const band of this.#bands) band.checkIntegrity();
  }

  #find(priority: number): PriorityBand<T> | undefined {
    return this.#bands.find((band) => band.priority === priority);
  }

  #bandOf(priority: number): PriorityBand<T> {
    const known = this.#find(priority);
    if (known !== undefined) return known;
    const band = new PriorityBand<T>(priority, this.#ageWeight);
    const at = this.#bands.findIndex((other) => other.priority < priority);
    this.#bands.splice(at < 0 ? this.#bands.length : at, 0, band);
    return band;
  }

  #dropEmptyBands(): void {
    for (let at = this.#bands.length - 1; at >= 0; at--) {
      if (this.#bands[at]!.size === 0) this.#bands.splice(at, 1);
    }
  }
}
