import type { Endpoint } from '../scheduling/endpoint.ts';
import type { SchedulingContext } from '../scheduling/scheduling-context.ts';
import { uncachedTokens } from './policies/costs.ts';
import { emptyTerms, type ShadowPrice } from './policies/shadow-price.ts';
import { type Waiting, WaitingLine } from './waiting-line.ts';

export interface LateBindingOptions {
  readonly shadowPrice: ShadowPrice;
  /** An endpoint has room while its undone prefill is less than this. */
  readonly roomMs: number;
  /** Milliseconds of own work that a millisecond of waiting is worth in the order of the line. */
  readonly ageWeight: number;
  /** Waiting requests that one event looks at. */
  readonly scanned: number;
  /** What a waiting request knows of caches may be this old; it is looked up again before it is sent. */
  readonly refreshMs: number;
}

export const defaultLateBinding = { roomMs: 200, ageWeight: 0.1, scanned: 64, refreshMs: 100 } as const;

export interface LateBindingCollaborators<Request> {
  readonly options: LateBindingOptions;
  readonly nowMs: () => number;
  readonly endpoints: () => readonly Endpoint[];
  readonly contextOf: (request: Request) => SchedulingContext;
  /** False when the endpoint refused. */
  readonly dispatch: (request: Request, endpoint: Endpoint) => boolean;
}

/**
 * Late binding: a request is sent when the endpoint that is best for it has room, and waits here otherwise,
 * where it can still choose. Shortest own work first, aged; requests that were looked at and must wait count
 * as promised to their best endpoint, so that those behind them look for another.
 *
 * Event-driven: `arrive`, and `roomChanged` after a first token or an end. Below saturation nothing waits.
 */
export class LateBinding<Request> {
  readonly #with: LateBindingCollaborators<Request>;
  readonly #line: WaitingLine<Request>;
  readonly #terms = emptyTerms();
  #promisedPrefill = new Float64Array(0);
  #promisedMemory = new Float64Array(0);
  /** Written by `#findBest`. */
  #bestOwnMs = 0;

  constructor(collaborators: LateBindingCollaborators<Request>) {
    this.#with = collaborators;
    this.#line = new WaitingLine(collaborators.options.ageWeight);
  }

  get size(): number {
    return this.#line.size;
  }

  arrive(request: Request): void {
    const { options, contextOf, nowMs } = this.#with;
    const endpoints = this.#with.endpoints();
    const context = contextOf(request);
    options.shadowPrice.requested(context, endpoints);
    const { promptTokens } = context.request;
    const waiting: Waiting<Request> = {
      request,
      promptTokens,
      arrivalMs: nowMs(),
      ownMs: 0,
      uncachedBySlot: [],
      lookedUpMs: 0,
    };
    this.#lookUp(waiting, endpoints, context);
    const least = Math.min(...endpoints.map(({ slot }) => waiting.uncachedBySlot[slot]!));
    waiting.ownMs = options.shadowPrice.ownMs(promptTokens, least);
    this.#line.add(waiting);
    this.roomChanged();
  }

  /** Sends what can be sent now. */
  roomChanged(): void {
    while (this.#line.size > 0 && this.#sendOne());
  }

  #sendOne(): boolean {
    const endpoints = this.#with.endpoints();
    const hasRoom = endpoints.map((endpoint) => this.#hasRoom(endpoint));
    if (!hasRoom.includes(true)) return false;
    const { shadowPrice, scanned } = this.#with.options;
    const price = shadowPrice.price(endpoints, this.#line.ownMs);
    this.#promisedPrefill = new Float64Array(endpoints.length);
    this.#promisedMemory = new Float64Array(endpoints.length);
    for (let i = 0; i < Math.min(this.#line.size, scanned); i++) {
      const waiting = this.#line.at(i);
      this.#refresh(waiting, endpoints);
      const best = this.#findBest(waiting, endpoints, price);
      if (hasRoom[best] === true) return this.#send(waiting, endpoints[best]!);
      this.#line.reestimate(waiting, this.#bestOwnMs);
      const uncached = waiting.uncachedBySlot[endpoints[best]!.slot]!;
      this.#promisedPrefill[best]! += uncached;
      this.#promisedMemory[best]! += uncached + shadowPrice.meanOutputTokens;
    }
    this.#line.restoreOrder();
    return false;
  }

  #send(waiting: Waiting<Request>, endpoint: Endpoint): boolean {
    this.#line.remove(waiting);
    this.#line.restoreOrder();
    if (this.#with.dispatch(waiting.request, endpoint))
      this.#with.options.shadowPrice.chosen(this.#bestOwnMs);
    else this.#line.add(waiting);
    return true;
  }

  #findBest(waiting: Waiting<Request>, endpoints: readonly Endpoint[], price: number): number {
    const { shadowPrice } = this.#with.options;
    const terms = this.#terms;
    const { promptTokens, uncachedBySlot } = waiting;
    const question = {
      promptTokens,
      uncachedTokens: 0,
      price,
      promisedPrefillTokens: 0,
      promisedMemoryTokens: 0,
    };
    let best = 0;
    let leastMs = Number.POSITIVE_INFINITY;
    for (let i = 0; i < endpoints.length; i++) {
      question.uncachedTokens = uncachedBySlot[endpoints[i]!.slot]!;
      question.promisedPrefillTokens = this.#promisedPrefill[i]!;
      question.promisedMemoryTokens = this.#promisedMemory[i]!;
      shadowPrice.evaluate(endpoints[i]!, question, terms);
      if (terms.totalMs >= leastMs) continue;
      leastMs = terms.totalMs;
      best = i;
      this.#bestOwnMs = terms.ownMs;
    }
    return best;
  }

  #hasRoom(endpoint: Endpoint): boolean {
    const { shadowPrice, roomMs } = this.#with.options;
    return shadowPrice.pendingMs(endpoint) < roomMs && shadowPrice.missingMemoryTokens(endpoint) < 0;
  }

  #refresh(waiting: Waiting<Request>, endpoints: readonly Endpoint[]): void {
    const isRecent = this.#with.nowMs() - waiting.lookedUpMs < this.#with.options.refreshMs;
    const isComplete = endpoints.every(({ slot }) => waiting.uncachedBySlot[slot] !== undefined);
    if (!isRecent || !isComplete) this.#lookUp(waiting, endpoints, this.#with.contextOf(waiting.request));
  }

  #lookUp(waiting: Waiting<Request>, endpoints: readonly Endpoint[], context: SchedulingContext): void {
    waiting.lookedUpMs = this.#with.nowMs();
    for (const endpoint of endpoints) {
      waiting.uncachedBySlot[endpoint.slot] = uncachedTokens(context, endpoint);
    }
  }
}
