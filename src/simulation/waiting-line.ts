/** A request that a router holds. */
export interface Waiting<Request> {
  readonly request: Request;
  readonly promptTokens: number;
  readonly arrivalMs: number;
  /** Own work at the endpoint that was best when it was last looked at. Changed by `reestimate` alone. */
  ownMs: number;
  /** Tokens to prefill there, by the endpoint's slot, as of `lookedUpMs`. */
  readonly uncachedBySlot: number[];
  lookedUpMs: number;
}

/**
 * Waiting requests by own work less age. As all age alike, the order by `ownMs + ageWeight * arrivalMs` is the
 * same at any time, and only a new estimate moves a request.
 */
export class WaitingLine<Request> {
  readonly #ageWeight: number;
  /** Ascending by key, except for those in `#moved`. */
  readonly #line: Waiting<Request>[] = [];
  #moved: Waiting<Request>[] = [];
  #ownMs = 0;

  constructor(ageWeight: number) {
    this.#ageWeight = ageWeight;
  }

  get size(): number {
    return this.#line.length;
  }

  /** Sum of `ownMs` of all that wait. */
  get ownMs(): number {
    return this.#ownMs;
  }

  at(index: number): Waiting<Request> {
    return this.#line[index]!;
  }

  add(waiting: Waiting<Request>): void {
    this.#ownMs += waiting.ownMs;
    this.#line.splice(this.#placeOf(waiting), 0, waiting);
  }

  remove(waiting: Waiting<Request>): void {
    this.#ownMs -= waiting.ownMs;
    this.#line.splice(this.#line.indexOf(waiting), 1);
  }

  /** The order stays as it is until `restoreOrder`, so that a scan is not disturbed. */
  reestimate(waiting: Waiting<Request>, ownMs: number): void {
    if (waiting.ownMs === ownMs) return;
    this.#ownMs += ownMs - waiting.ownMs;
    waiting.ownMs = ownMs;
    this.#moved.push(waiting);
  }

  restoreOrder(): void {
    if (this.#moved.length === 0) return;
    const moved = this.#moved;
    this.#moved = [];
    for (const waiting of moved) this.#line.splice(this.#line.indexOf(waiting), 1);
    for (const waiting of moved) this.#line.splice(this.#placeOf(waiting), 0, waiting);
  }

  #keyOf({ ownMs, arrivalMs }: Waiting<Request>): number {
    return ownMs + this.#ageWeight * arrivalMs;
  }

  /** Behind those of equal key. */
  #placeOf(waiting: Waiting<Request>): number {
    const key = this.#keyOf(waiting);
    let low = 0;
    let high = this.#line.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#keyOf(this.#line[middle]!) <= key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
