import { IndexedHeap } from './indexed-heap.ts';
import { TenantLine } from './tenant-line.ts';
import type { Waiting } from './waiting.ts';

/** Tenants that do not wait but whose account is kept. */
const mostIdleTenants = 10_000;
/** Own work is summed by its power of two, milliseconds. */
const sizes = 24;

/**
 * The requests of one priority. Tenants take turns by tokens: the one that was served the fewest goes next, and
 * one that comes back starts no lower than the least of those present, so that nobody saves up (the virtual
 * token counter of Sheng et al., OSDI 2024).
 */
export class PriorityBand<T> {
  readonly priority: number;
  /** Requests that wait. */
  size = 0;
  /** Of their bodies. */
  bytes = 0;
  readonly #ageWeight: number;
  readonly #tenants = new Map<string, TenantLine<T>>();
  readonly #idle = new Map<string, number>();
  readonly #byServed = new IndexedHeap<TenantLine<T>>();
  /** Of a scan: requests taken out of the order, and their tenants. */
  readonly #setAside: Waiting<T>[] = [];
  /** Sum of `ownMs` by size. */
  readonly #ownMsBySize = new Float64Array(sizes);

  constructor(priority: number, ageWeight: number) {
    this.priority = priority;
    this.#ageWeight = ageWeight;
  }

  add(waiting: Waiting<T>): void {
    const line = this.#tenants.get(waiting.tenant) ?? this.#join(waiting.tenant);
    this.size++;
    this.bytes += waiting.bytes;
    this.#ownMsBySize[sizeOf(waiting.ownMs)]! += waiting.ownMs;
    line.add(waiting);
  }

  /** `servedTokens` is charged to its tenant; not 0 in a scan only, whose end sets the tenant's place. */
  remove(waiting: Waiting<T>, servedTokens = 0): void {
    const line = this.#tenants.get(waiting.tenant)!;
    this.size--;
    this.bytes -= waiting.bytes;
    this.#ownMsBySize[sizeOf(waiting.ownMs)]! -= waiting.ownMs;
    line.remove(waiting);
    line.servedTokens += servedTokens;
    if (line.size === 0) this.#leave(line);
  }

  /** Of a request that did not have to wait. */
  charge(tenant: string, tokens: number): void {
    const line = this.#tenants.get(tenant);
    if (line === undefined) return;
    line.servedTokens += tokens;
    this.#byServed.rekey(line.place, line.place.key + tokens);
  }

  reestimate(waiting: Waiting<T>, ownMs: number, tokens: number): void {
    this.#ownMsBySize[sizeOf(waiting.ownMs)]! -= waiting.ownMs;
    this.#tenants.get(waiting.tenant)!.reestimate(waiting, ownMs);
    this.#ownMsBySize[sizeOf(ownMs)]! += ownMs;
    waiting.tokens = tokens;
  }

  /** The next in a scan; it counts as served within the scan, so that other tenants come next. */
  next(): Waiting<T> | undefined {
    for (;;) {
      const place = this.#byServed.peek();
      if (place === undefined) return undefined;
      const waiting = place.item.setAsideNext();
      if (waiting === undefined) {
        this.#byServed.remove(place);
        continue;
      }
      this.#setAside.push(waiting);
      this.#byServed.rekey(place, place.key + waiting.tokens);
      return waiting;
    }
  }

  /** Takes one out of the order for the rest of a scan, before the first `next`. */
  setAside(waiting: Waiting<T>): void {
    this.#tenants.get(waiting.tenant)!.setAside(waiting);
    this.#setAside.push(waiting);
  }

  /** Puts back those that were set aside and that still wait. */
  endScan(): void {
    for (const waiting of this.#setAside) {
      const line = this.#tenants.get(waiting.tenant);
      if (line === undefined) continue;
      if (waiting.isWaiting) line.putBack(waiting);
      if (line.place.index < 0) {
        line.place.key = line.servedTokens;
        this.#byServed.add(line.place);
      } else this.#byServed.rekey(line.place, line.servedTokens);
    }
    this.#setAside.length = 0;
  }

  /** Own work before a request of this tenant and size: by size, and by turns no more than each tenant's like its own. */
  aheadMs(tenant: string, ownMs: number): number {
    let ahead = 0;
    for (let size = 0; size <= sizeOf(ownMs); size++) ahead += this.#ownMsBySize[size]!;
    const line = this.#tenants.get(tenant);
    const others = this.#tenants.size + (line === undefined ? 1 : 0);
    return Math.min(ahead, ((line?.ownMs ?? 0) + ownMs) * others);
  }

  /** Own work of those that wait and compete with a tenant's: by turns, as much of each other tenant's as of its own. */
  competingMs(tenant: string): number {
    return Math.min(this.ownMs, (this.#tenants.get(tenant)?.ownMs ?? 0) * this.#tenants.size);
  }

  /** Own work of all that wait. */
  get ownMs(): number {
    let sum = 0;
    for (let size = 0; size < sizes; size++) sum += this.#ownMsBySize[size]!;
    return sum;
  }

  /** Requests of a tenant that wait. */
  sizeOf(tenant: string): number {
    return this.#tenants.get(tenant)?.size ?? 0;
  }

  /** Linear in tenants: asked only when the line is full. */
  longest(): TenantLine<T> | undefined {
    let longest: TenantLine<T> | undefined;
    for (const line of this.#tenants.values()) if (line.size > (longest?.size ?? 0)) longest = line;
    return longest;
  }

  /** Throws if a counter is not what the lines hold. */
  checkIntegrity(): void {
    const lines = [...this.#tenants.values()];
    const sum = lines.reduce((total, { size }) => total + size, 0);
    if (sum !== this.size) throw new Error(`band ${this.priority} counts ${this.size}, its lines ${sum}`);
    if (lines.some(({ size }) => size === 0)) throw new Error(`band ${this.priority} has an empty line`);
    if (this.#byServed.size !== lines.length) throw new Error(`band ${this.priority} forgets a tenant`);
  }

  #join(tenant: string): TenantLine<T> {
    const line = new TenantLine<T>(tenant, this.#ageWeight);
    const least = this.#byServed.peek()?.item.servedTokens ?? 0;
    line.servedTokens = Math.max(least, this.#idle.get(tenant) ?? 0);
    this.#idle.delete(tenant);
    line.place.key = line.servedTokens;
    this.#tenants.set(tenant, line);
    this.#byServed.add(line.place);
    return line;
  }

  #leave(line: TenantLine<T>): void {
    this.#tenants.delete(line.tenant);
    this.#byServed.remove(line.place);
    if (this.#tenants.size === 0) this.#idle.clear();
    else this.#idle.set(line.tenant, line.servedTokens);
    for (const [oldest] of this.#idle) {
      if (this.#idle.size <= mostIdleTenants) break;
      this.#idle.delete(oldest);
    }
  }
}

function sizeOf(ownMs: number): number {
  return Math.min(sizes - 1, Math.max(0, Math.ceil(Math.log2(ownMs + 1))));
}
