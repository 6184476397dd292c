import { type HeapNode, heapNode, IndexedHeap } from './indexed-heap.ts';
import type { Waiting } from './waiting.ts';

/**
 * One tenant's waiting requests in one band: shortest own work first, aged. As all age alike, the order by
 * `ownMs + ageWeight * arrivedAtMs` holds at any time, and only a new estimate moves a request.
 */
export class TenantLine<T> {
  readonly tenant: string;
  /** Tokens that the tenant has been served while others waited; never below the least of those present. */
  servedTokens = 0;
  /** Its place among the band's tenants. */
  readonly place: HeapNode<TenantLine<T>> = heapNode<TenantLine<T>>(this, 0);
  /** Sum of `ownMs` of its requests. */
  ownMs = 0;
  readonly #ageWeight: number;
  readonly #line = new IndexedHeap<Waiting<T>>();
  /** In order of arrival; those that left are dropped when they come to the top, or are too many. */
  #arrivals: Waiting<T>[] = [];
  /** Requests in the line, set aside ones included. */
  size = 0;

  constructor(tenant: string, ageWeight: number) {
    this.tenant = tenant;
    this.#ageWeight = ageWeight;
  }

  add(waiting: Waiting<T>): void {
    this.size++;
    this.ownMs += waiting.ownMs;
    this.#arrivals.push(waiting);
    if (this.#arrivals.length > 2 * this.size + 16) {
      this.#arrivals = this.#arrivals.filter(({ isWaiting }) => isWaiting);
    }
    this.putBack(waiting);
  }

  remove(waiting: Waiting<T>): void {
    this.size--;
    this.ownMs -= waiting.ownMs;
    this.#line.remove(waiting.place);
  }

  /** Takes the next one out of the order, until `putBack` or `remove`. */
  setAsideNext(): Waiting<T> | undefined {
    const next = this.#line.peek()?.item;
    if (next !== undefined) this.setAside(next);
    return next;
  }

  setAside({ place }: Waiting<T>): void {
    this.#line.remove(place);
  }

  putBack(waiting: Waiting<T>): void {
    waiting.place.key = waiting.ownMs + this.#ageWeight * waiting.arrivedAtMs;
    this.#line.add(waiting.place);
  }

  reestimate(waiting: Waiting<T>, ownMs: number): void {
    this.ownMs += ownMs - waiting.ownMs;
    waiting.ownMs = ownMs;
  }

  /** The latest arrival: it has lost the least by leaving. */
  newest(): Waiting<T> | undefined {
    for (;;) {
      const last = this.#arrivals.at(-1);
      if (last === undefined || last.isWaiting) return last;
      this.#arrivals.pop();
    }
  }
}
