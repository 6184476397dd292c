import type { Endpoint } from '../scheduling/endpoint.ts';
import type { SchedulingContext } from '../scheduling/scheduling-context.ts';
import type { CostTerms, Promised, ShadowPrice } from './policies/shadow-price.ts';

export interface LateBindingOptions {
  readonly shadowPrice: ShadowPrice;
  /** An endpoint has room while its undone prefill is less than this. */
  readonly roomMs: number;
  /** Milliseconds of own work that a millisecond of waiting is worth in the order of the queue. */
  readonly ageWeight: number;
  /** Waiting requests that one event looks at. */
  readonly scanned: number;
}

export const defaultLateBinding = { roomMs: 200, ageWeight: 0.1, scanned: 64 } as const;

/** A request that the router holds. */
export interface Waiting<Request> {
  readonly request: Request;
  /** Its view of the endpoints, made anew when they have changed. */
  readonly contextOf: () => SchedulingContext;
  readonly arrivalMs: number;
  /** Own work at the endpoint that was best when it was last looked at. */
  ownMs: number;
}

/**
 * Late binding: a request is sent when the endpoint that is best for it has room, and waits here otherwise,
 * where it can still choose. Shortest own work first, aged; requests that were looked at and must wait count
 * as promised to their best endpoint, so that those behind them look for another.
 *
 * Event-driven: `arrive`, and `roomChanged` after a first token or an end. Below saturation nothing waits.
 */
export class LateBinding<Request> {
  readonly #options: LateBindingOptions;
  readonly #dispatch: (waiting: Waiting<Request>, endpoint: Endpoint) => boolean;
  readonly #endpoints: () => readonly Endpoint[];
  /** Ascending by `keyOf` once `#sort` has run. Time does not change the order: all age alike. */
  readonly #waiting: Waiting<Request>[] = [];
  #isSorted = true;
  /** Sum of `ownMs`. */
  #ownMs = 0;

  constructor(
    options: LateBindingOptions,
    endpoints: () => readonly Endpoint[],
    dispatch: (waiting: Waiting<Request>, endpoint: Endpoint) => boolean,
  ) {
    this.#options = options;
    this.#endpoints = endpoints;
    this.#dispatch = dispatch;
  }

  get size(): number {
    return this.#waiting.length;
  }

  arrive(request: Request, contextOf: () => SchedulingContext, nowMs: number): void {
    const { shadowPrice } = this.#options;
    const endpoints = this.#endpoints();
    const context = contextOf();
    shadowPrice.requested(context, endpoints);
    let ownMs = Number.POSITIVE_INFINITY;
    for (const endpoint of endpoints) ownMs = Math.min(ownMs, shadowPrice.terms(context, endpoint, 1).ownMs);
    this.#waiting.push({ request, contextOf, arrivalMs: nowMs, ownMs });
    this.#ownMs += ownMs;
    this.#isSorted = this.#waiting.length === 1;
    this.roomChanged();
  }

  /** Sends what can be sent now. */
  roomChanged(): void {
    while (this.#waiting.length > 0 && this.#sendOne());
  }

  #sendOne(): boolean {
    const endpoints = this.#endpoints();
    const hasRoom = endpoints.map((endpoint) => this.#hasRoom(endpoint));
    if (!hasRoom.includes(true)) return false;
    const { shadowPrice, scanned } = this.#options;
    const price = shadowPrice.price(endpoints, this.#ownMs);
    this.#sort();
    const promised = endpoints.map((): Promised => ({ prefillTokens: 0, memoryTokens: 0 }));
    for (let i = 0; i < Math.min(this.#waiting.length, scanned); i++) {
      const waiting = this.#waiting[i]!;
      const context = waiting.contextOf();
      const { index, terms } = best(endpoints, (endpoint, k) =>
        shadowPrice.terms(context, endpoint, price, promised[k]!),
      );
      this.#reestimate(waiting, terms.ownMs);
      if (hasRoom[index] === true) {
        if (!this.#dispatch(waiting, endpoints[index]!)) return true;
        this.#waiting.splice(i, 1);
        this.#ownMs -= waiting.ownMs;
        shadowPrice.chosen(terms);
        return true;
      }
      const uncached = Math.max(1, context.request.promptTokens - context.cachedTokens(endpoints[index]!));
      const { prefillTokens, memoryTokens } = promised[index]!;
      promised[index] = {
        prefillTokens: prefillTokens + uncached,
        memoryTokens: memoryTokens + uncached + shadowPrice.meanOutputTokens,
      };
    }
    return false;
  }

  #hasRoom(endpoint: Endpoint): boolean {
    const { shadowPrice, roomMs } = this.#options;
    return shadowPrice.pendingMs(endpoint) < roomMs && shadowPrice.missingMemoryTokens(endpoint) < 0;
  }

  #reestimate(waiting: Waiting<Request>, ownMs: number): void {
    if (ownMs === waiting.ownMs) return;
    this.#ownMs += ownMs - waiting.ownMs;
    waiting.ownMs = ownMs;
    this.#isSorted = false;
  }

  #sort(): void {
    if (this.#isSorted) return;
    this.#waiting.sort((a, b) => this.#keyOf(a) - this.#keyOf(b));
    this.#isSorted = true;
  }

  #keyOf({ ownMs, arrivalMs }: Waiting<Request>): number {
    return ownMs + this.#options.ageWeight * arrivalMs;
  }
}

function best(
  endpoints: readonly Endpoint[],
  termsOf: (endpoint: Endpoint, index: number) => CostTerms,
): { readonly index: number; readonly terms: CostTerms } {
  let index = 0;
  let terms = termsOf(endpoints[0]!, 0);
  for (let i = 1; i < endpoints.length; i++) {
    const other = termsOf(endpoints[i]!, i);
    if (other.totalMs >= terms.totalMs) continue;
    index = i;
    terms = other;
  }
  return { index, terms };
}
