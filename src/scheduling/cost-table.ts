import { prefillWork, uncachedTokens } from './delay-estimate.ts';
import type { Endpoint } from './endpoint.ts';
import { blockSize, type EndpointList } from './endpoint-list.ts';
import { EndpointRows, type RowListener } from './endpoint-rows.ts';
import type { ScoreTerm } from './plugins.ts';
import type { SchedulingContext } from './scheduling-context.ts';

export interface CostWeights {
  readonly congestion: number;
  readonly eviction: number;
  readonly maxPrice: number;
  readonly decodeDelay: number;
  readonly freshDelay: number;
  readonly decodeTime: number;
  readonly memoryTarget: number;
}

/** What makes own work dear. */
export interface Pressure {
  /** Own prefill of the requests that flow control holds. */
  readonly waitingMs: number;
  /** Own prefill of a usual request. */
  readonly meanOwnMs: number;
  /** Share of prompt blocks that were asked for before and are on no endpoint now. */
  readonly evictedShare: number;
}

/** An engine that only prefills decodes at some pace all the same. */
const mostPrefillShare = 0.9;
/** Costs this close to the least may give the same score. */
const nearly = 1 + 1e-9;

/** The six terms in milliseconds, `[endpoints]` each. */
export class CostTerms {
  readonly #queue: number[] = [];
  readonly #memory: number[] = [];
  readonly #own: number[] = [];
  readonly #priced: number[] = [];
  readonly #delay: number[] = [];
  readonly #decode: number[] = [];

  add(queue: number, memory: number, own: number, priced: number, delay: number, decode: number): void {
    this.#queue.push(queue);
    this.#memory.push(memory);
    this.#own.push(own);
    this.#priced.push(priced);
    this.#delay.push(delay);
    this.#decode.push(decode);
  }

  named(): readonly ScoreTerm[] {
    return [
      { name: 'queue', unit: 'ms', values: this.#queue },
      { name: 'memory wait', unit: 'ms', values: this.#memory },
      { name: 'own prefill', unit: 'ms', values: this.#own },
      { name: 'price of own prefill', unit: 'ms', values: this.#priced },
      { name: 'delay of answers', unit: 'ms', values: this.#delay },
      { name: 'decode', unit: 'ms', values: this.#decode },
    ];
  }
}

/** At most 1. */
function overMean(value: number, mean: number): number {
  return mean > 0 ? Math.min(1, value / mean) : 0;
}

const column = (): Float64Array => new Float64Array(0);

/**
 * What one request costs on every endpoint of a list, by the formula of the `shadow-price` scorer:
 *
 *   queue + memory wait + kappa x own + own x delay share + decode
 *
 * All but the own prefill and the prices depend on the endpoint alone, so they are kept in columns by row and made
 * anew only where an endpoint has changed. `findLeast` looks only into blocks whose endpoints may be the cheapest:
 * no endpoint of a block costs less than what the least of its columns come to, unless it has cached some of the prompt.
 */
export class CostTable {
  readonly #weights: CostWeights;
  readonly #rows = new EndpointRows();
  #list: EndpointList | undefined;
  /** Columns are `[blocks x blockSize]`. */
  #pending = column();
  #requests = column();
  #prefillMsPerToken = column();
  #queue = column();
  #held = column();
  #mostHeld = column();
  #outputTokens = column();
  #releasable = column();
  #delay = column();
  #decode = column();
  /** Queue and decoding: what every request costs there. */
  #base = column();
  #uncached = column();
  /** Time per output token. */
  stepMs = column();
  /** Of the last costing, of the rows that it has looked at. */
  total = column();
  ttftMs = column();
  /** Sums of the pending prefill and of the held memory up to the end of each block, and the first block that they do not cover. */
  #pendingThrough = column();
  #heldThrough = column();
  #unsummed = 0;
  /** Of each block: sums and least values. */
  #blockRequests = column();
  #blockBase = column();
  #blockPrefill = column();
  #blockDelay = column();
  #bounds = column();
  /** Of a search: rows that cost nearly the least found until then, and those that have cached some of the prompt. */
  readonly #near: number[] = [];
  mostCachedTokens = 0;
  /** Of the request being costed. */
  #promptTokens = 0;
  #wholeWork = 0;
  #queueMs = 0;
  #meanRequests = 0;
  #meanHeld = 0;
  #perMs = 0;
  #evicted = 0;
  #waitingMs = 0;
  #leastKappa = 0;

  constructor(weights: CostWeights) {
    this.#weights = weights;
  }

  /** Rows of the list in its order. */
  *rows(): Iterable<number> {
    for (const [b, { length }] of this.#list!.blocks.entries())
      for (let offset = 0; offset < length; offset++) yield b * blockSize + offset;
  }

  /** The place in the list of what is in a row. */
  placeOf(row: number): number {
    return this.#list!.placeOf(Math.floor(row / blockSize), row % blockSize);
  }

  /** Costs a request on all endpoints; returns the least total, NaN if one of them is. */
  costAll(context: SchedulingContext, list: EndpointList, pressure: Pressure, terms?: CostTerms): number {
    this.#begin(context, list, pressure);
    for (const [b, block] of list.blocks.entries())
      for (let offset = 0; offset < block.length; offset++)
        this.#noteCached(context, block[offset]!, b * blockSize + offset);
    let least = Number.POSITIVE_INFINITY;
    for (let b = 0; b < list.blocks.length; b++) least = Math.min(least, this.#costBlock(b, terms));
    return least;
  }

  /**
   * Finds the rows that cost least or nearly so, given the slots of all endpoints that have cached some of the prompt.
   * Undefined if a figure is no number.
   */
  findLeast(
    context: SchedulingContext,
    list: EndpointList,
    pressure: Pressure,
    holders: readonly number[],
  ): { readonly least: number; readonly rows: readonly number[] } | undefined {
    this.#begin(context, list, pressure);
    while (this.#near.length > 0) this.#near.pop();
    let least = Number.POSITIVE_INFINITY;
    for (const slot of holders) {
      const row = this.#rows.rowOf(slot);
      if (row < 0) continue;
      this.#noteCached(context, list.blocks[Math.floor(row / blockSize)]![row % blockSize]!, row);
      least = Math.min(least, this.#cost(row));
      this.#near.push(row);
    }
    const count = list.blocks.length;
    const bounds = this.#bounds;
    let first = 0;
    for (let b = 0; b < count; b++) {
      bounds[b] = this.#bound(b);
      if (bounds[b]! < bounds[first]!) first = b;
    }
    least = this.#leastInBlock(first, least);
    for (let b = 0; b < count; b++) {
      if (b === first || bounds[b]! > least * nearly) continue;
      least = this.#leastInBlock(b, least);
    }
    if (Number.isNaN(least)) return undefined;
    return { least, rows: this.#nearLeast(least) };
  }

  /**
   * The least of `found` and the costs of the block's rows. Those that cannot come near what was found are passed over,
   * and those that have cached some of the prompt were costed before.
   */
  #leastInBlock(b: number, found: number): number {
    const end = b * blockSize + this.#list!.blocks[b]!.length;
    const wholeTokens = Math.max(1, this.#promptTokens);
    let least = found;
    for (let row = b * blockSize; row < end; row++) {
      if (this.#uncached[row] !== wholeTokens) continue;
      const ownMs = this.#prefillMsPerToken[row]! * this.#wholeWork;
      if (this.#boundOf(this.#base[row]!, ownMs, this.#delay[row]!) > least * nearly) continue;
      const total = this.#cost(row);
      if (total <= least * nearly) this.#near.push(row);
      least = Math.min(least, total);
    }
    return least;
  }

  /** In the order of the list. */
  #nearLeast(least: number): readonly number[] {
    const rows: number[] = [];
    for (const row of this.#near) if (this.total[row]! <= least * nearly) rows.push(row);
    if (rows.length < 2) return rows;
    rows.sort((a, b) => a - b);
    return rows.filter((row, i) => row !== rows[i - 1]);
  }

  #begin({ request: { promptTokens } }: SchedulingContext, list: EndpointList, pressure: Pressure): void {
    const { congestion, eviction, maxPrice } = this.#weights;
    const rows = list.blocks.length * blockSize;
    if (this.total.length < rows) this.#grow(2 * rows);
    this.#list = list;
    this.#rows.refresh(list, this.#listener);
    this.#promptTokens = promptTokens;
    const wholeTokens = Math.max(1, promptTokens);
    this.#wholeWork = prefillWork(promptTokens, wholeTokens);
    this.#uncached.fill(wholeTokens, 0, rows);
    this.mostCachedTokens = 0;
    this.#sumThrough();
    const last = list.blocks.length - 1;
    const queueMs = last < 0 ? 0 : this.#pendingThrough[last]!;
    let requests = 0;
    for (let b = 0; b <= last; b++) requests += this.#blockRequests[b]!;
    this.#queueMs = queueMs;
    this.#meanRequests = requests / list.length;
    this.#meanHeld = last < 0 ? 0 : this.#heldThrough[last]! / list.length;
    this.#perMs = congestion / (list.length * pressure.meanOwnMs);
    this.#evicted = eviction * pressure.evictedShare;
    this.#waitingMs = pressure.waitingMs;
    this.#leastKappa = Math.min(maxPrice, 1 + queueMs * this.#perMs + this.#evicted);
  }

  /** One after the other in the order of the list: the sums must not depend on where its blocks end. */
  #sumThrough(): void {
    const { blocks } = this.#list!;
    const first = Math.min(this.#unsummed, blocks.length);
    let pending = first === 0 ? 0 : this.#pendingThrough[first - 1]!;
    let held = first === 0 ? 0 : this.#heldThrough[first - 1]!;
    for (let b = first; b < blocks.length; b++) {
      const end = b * blockSize + blocks[b]!.length;
      for (let row = b * blockSize; row < end; row++) {
        pending += this.#pending[row]!;
        held += this.#held[row]!;
      }
      this.#pendingThrough[b] = pending;
      this.#heldThrough[b] = held;
    }
    this.#unsummed = blocks.length;
  }

  #noteCached(context: SchedulingContext, endpoint: Endpoint, row: number): void {
    const cachedTokens = context.cachedTokens(endpoint);
    if (cachedTokens === 0) return;
    this.#uncached[row] = uncachedTokens(context, endpoint);
    if (cachedTokens > this.mostCachedTokens) this.mostCachedTokens = cachedTokens;
  }

  /** What every endpoint of the block costs at least where nothing of the prompt is cached. NaN if a figure is. */
  #bound(b: number): number {
    return this.#boundOf(this.#blockBase[b]!, this.#blockPrefill[b]! * this.#wholeWork, this.#blockDelay[b]!);
  }

  /** A little less than the least cost, for the rounding. */
  #boundOf(base: number, ownMs: number, delay: number): number {
    return (base + ownMs * (this.#leastKappa + delay)) / nearly;
  }

  #costBlock(b: number, terms?: CostTerms): number {
    const end = b * blockSize + this.#list!.blocks[b]!.length;
    let least = Number.POSITIVE_INFINITY;
    for (let row = b * blockSize; row < end; row++) least = Math.min(least, this.#cost(row, terms));
    return least;
  }

  #cost(row: number, terms?: CostTerms): number {
    const tokens = this.#uncached[row]!;
    const whole = Math.max(1, this.#promptTokens);
    const work = tokens === whole ? this.#wholeWork : prefillWork(this.#promptTokens, tokens);
    const ownMs = this.#prefillMsPerToken[row]! * work;
    const queueMs = this.#queue[row]!;
    const missing = this.#held[row]! + tokens - this.#mostHeld[row]!;
    const memoryMs =
      missing > 0 ? (missing * this.stepMs[row]! * this.#outputTokens[row]!) / this.#releasable[row]! : 0;
    const pricedMs = (this.#kappa(row) - 1) * ownMs;
    const delayMs = ownMs * this.#delay[row]!;
    const decodeMs = this.#decode[row]!;
    const total = queueMs + memoryMs + ownMs + pricedMs + delayMs + decodeMs;
    this.total[row] = total;
    this.ttftMs[row] = ownMs + queueMs + memoryMs;
    terms?.add(queueMs, memoryMs, ownMs, pricedMs, delayMs, decodeMs);
    return total;
  }

  #kappa(row: number): number {
    if (!(this.#waitingMs > 0)) return this.#leastKappa;
    const busyness = Math.max(
      overMean(this.#requests[row]!, this.#meanRequests),
      overMean(this.#held[row]!, this.#meanHeld),
    );
    const queueMs = this.#queueMs + this.#waitingMs * busyness ** 4;
    return Math.min(this.#weights.maxPrice, 1 + queueMs * this.#perMs + this.#evicted);
  }

  readonly #derive = ({ inFlight, learned }: Endpoint, row: number): void => {
    const { decodeDelay, freshDelay, decodeTime, memoryTarget } = this.#weights;
    const { requests, waitingForFirstToken: waiting } = inFlight;
    this.#pending[row] = learned.pendingPrefillMs;
    this.#requests[row] = requests;
    this.#prefillMsPerToken[row] = learned.prefillMsPerToken;
    this.#queue[row] = learned.pendingPrefillMs + learned.othersPrefillMs;
    // The parts of `memoryWaitMs`.
    const isUnbounded = learned.kvCapacityTokens === undefined || requests === 0;
    this.#held[row] = learned.heldTokens;
    this.#mostHeld[row] = isUnbounded ? Number.POSITIVE_INFINITY : memoryTarget * learned.kvCapacityTokens;
    this.#outputTokens[row] = learned.meanOutputTokens;
    this.#releasable[row] = Math.max(1, learned.releasableTokens);
    this.#delay[row] = decodeDelay * (requests - waiting) + freshDelay * (learned.freshAnswers + waiting);
    const decodeShare = 1 - Math.min(mostPrefillShare, learned.prefillShare);
    this.#decode[row] = (decodeTime * learned.meanOutputTokens * learned.stepMs) / decodeShare;
    this.#base[row] = this.#queue[row]! + this.#decode[row]!;
    this.stepMs[row] = learned.stepMs;
  };

  readonly #summarize = (b: number): void => {
    this.#unsummed = Math.min(this.#unsummed, b);
    let requests = 0;
    let base = Number.POSITIVE_INFINITY;
    let prefill = Number.POSITIVE_INFINITY;
    let delay = Number.POSITIVE_INFINITY;
    const end = b * blockSize + this.#list!.blocks[b]!.length;
    for (let row = b * blockSize; row < end; row++) {
      requests += this.#requests[row]!;
      base = Math.min(base, this.#base[row]!);
      prefill = Math.min(prefill, this.#prefillMsPerToken[row]!);
      delay = Math.min(delay, this.#delay[row]!);
    }
    this.#blockRequests[b] = requests;
    this.#blockBase[b] = base;
    this.#blockPrefill[b] = prefill;
    this.#blockDelay[b] = delay;
  };

  readonly #listener: RowListener = { changed: this.#derive, blockChanged: this.#summarize };

  #grow(length: number): void {
    const longer = (old: Float64Array, newLength = length) => {
      const grown = new Float64Array(newLength);
      grown.set(old);
      return grown;
    };
    const blocks = length / blockSize;
    this.#pending = longer(this.#pending);
    this.#requests = longer(this.#requests);
    this.#prefillMsPerToken = longer(this.#prefillMsPerToken);
    this.#queue = longer(this.#queue);
    this.#held = longer(this.#held);
    this.#mostHeld = longer(this.#mostHeld);
    this.#outputTokens = longer(this.#outputTokens);
    this.#releasable = longer(this.#releasable);
    this.#delay = longer(this.#delay);
    this.#decode = longer(this.#decode);
    this.#base = longer(this.#base);
    this.#uncached = longer(this.#uncached);
    this.stepMs = longer(this.stepMs);
    this.total = longer(this.total);
    this.ttftMs = longer(this.ttftMs);
    this.#pendingThrough = longer(this.#pendingThrough, blocks);
    this.#heldThrough = longer(this.#heldThrough, blocks);
    this.#blockRequests = longer(this.#blockRequests, blocks);
    this.#blockBase = longer(this.#blockBase, blocks);
    this.#blockPrefill = longer(this.#blockPrefill, blocks);
    this.#blockDelay = longer(this.#blockDelay, blocks);
    this.#bounds = longer(this.#bounds, blocks);
  }
}
