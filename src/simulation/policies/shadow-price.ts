import type { Endpoint } from '../../scheduling/endpoint.ts';
import { RecentBlocks } from '../../scheduling/recent-blocks.ts';
import type { SchedulingContext } from '../../scheduling/scheduling-context.ts';
import type { EngineModel } from '../engine-model.ts';

export interface ShadowPriceWeights {
  /** Price of the fleet's pending work: how much a millisecond of own work is worth when others wait. */
  readonly congestion: number;
  /** Price of an eviction, per unit of the share of blocks that are computed anew. */
  readonly eviction: number;
  readonly maxPrice: number;
  /** Share of own work that each sequence decoding there is delayed by, as the router values it. */
  readonly decodeDelay: number;
  /** Share of the answer's decode time that counts. */
  readonly decodeTime: number;
  /** Share of the KV memory that may be promised. */
  readonly memoryTarget: number;
}

export const defaultWeights: ShadowPriceWeights = {
  congestion: 1,
  eviction: 10,
  maxPrice: 50,
  decodeDelay: 0.02,
  decodeTime: 0.05,
  memoryTarget: 0.97,
};

/** One endpoint's cost of one request, milliseconds; the least sum is chosen. */
export interface CostTerms {
  /** W: prefill work sent there and not done. */
  queueMs: number;
  /** K: until enough KV blocks are released. */
  memoryWaitMs: number;
  /** The request's own prefill there. */
  ownMs: number;
  /** kappa * own - own: what the own work costs others, now and by the evictions it causes. */
  priceMs: number;
  /** The delay that the own prefill brings to sequences decoding there. */
  decodeDelayMs: number;
  /** What the answer itself pays for a long step there. */
  decodeTimeMs: number;
  totalMs: number;
}

export function emptyTerms(): CostTerms {
  return {
    queueMs: 0,
    memoryWaitMs: 0,
    ownMs: 0,
    priceMs: 0,
    decodeDelayMs: 0,
    decodeTimeMs: 0,
    totalMs: 0,
  };
}

/** What is asked of an endpoint, beside what it has. */
export interface CostQuestion {
  promptTokens: number;
  uncachedTokens: number;
  /** kappa. */
  price: number;
  /** Decided but not sent: tokens to prefill, and tokens of memory. */
  promisedPrefillTokens: number;
  promisedMemoryTokens: number;
}

/**
 * The shadow-price router: each endpoint's predicted delay in milliseconds, the own prefill weighted by what
 * engine time is worth at the moment.
 *
 *   W + K + kappa * own + 0.02 * own * decoding + 0.05 * meanOutput * step
 *   kappa = min(50, 1 + mean W / mean own + 10 * phi)
 *   phi   = share of prompt blocks that were asked for before and are nowhere now
 *
 * Everything but residency and KV usage is counted by the router itself, so slow scrapes do not matter.
 */
export class ShadowPrice {
  readonly #model: EngineModel;
  readonly #weights: ShadowPriceWeights;
  readonly #recent = new RecentBlocks();
  /** Decayed sums over requests, 0.998 each. */
  #evictedBlocks = 0;
  #promptBlocks = 0;
  /** Decayed means, 0.99 each, with starting values in the order of chat traffic. */
  #meanOwnMs = 50;
  #meanOutputTokens = 300;

  constructor(model: EngineModel, weights: ShadowPriceWeights = defaultWeights) {
    this.#model = model;
    this.#weights = weights;
  }

  get meanOutputTokens(): number {
    return this.#meanOutputTokens;
  }

  /** W of what was sent there. */
  pendingMs({ inFlight }: Endpoint): number {
    return this.#model.prefillMsPerToken * inFlight.uncachedTokens;
  }

  /** Tokens by which the endpoint exceeds its memory target; below zero there is room. */
  missingMemoryTokens({ inFlight, metrics }: Endpoint): number {
    const capacity = this.#model.kvCapacityTokens;
    return metrics.kvCacheUsage * capacity + inFlight.uncachedTokens - this.#weights.memoryTarget * capacity;
  }

  /** Once per request, before its first decision. */
  requested(context: SchedulingContext, endpoints: readonly Endpoint[]): void {
    const { prefix } = context.request;
    let cachedTokens = 0;
    for (const endpoint of endpoints) cachedTokens = Math.max(cachedTokens, context.cachedTokens(endpoint));
    const cachedBlocks = Math.floor(cachedTokens / prefix.blockTokens);
    const evicted = this.#recent.countKnownAndAdd(prefix, cachedBlocks);
    this.#evictedBlocks = this.#evictedBlocks * 0.998 + evicted;
    this.#promptBlocks = this.#promptBlocks * 0.998 + prefix.count;
  }

  chosen(ownMs: number): void {
    this.#meanOwnMs += 0.01 * (Math.max(5, ownMs) - this.#meanOwnMs);
  }

  completed(outputTokens: number): void {
    this.#meanOutputTokens += 0.01 * (outputTokens - this.#meanOutputTokens);
  }

  /** kappa. `waitingMs` is work that the router itself still holds. */
  price(endpoints: readonly Endpoint[], waitingMs = 0): number {
    const { congestion, eviction, maxPrice } = this.#weights;
    let pendingTokens = 0;
    for (const { inFlight } of endpoints) pendingTokens += inFlight.uncachedTokens;
    const pendingMs = this.#model.prefillMsPerToken * pendingTokens + waitingMs;
    const meanPendingMs = pendingMs / Math.max(1, endpoints.length);
    const evictedShare = this.#promptBlocks > 0 ? this.#evictedBlocks / this.#promptBlocks : 0;
    return Math.min(maxPrice, 1 + (congestion * meanPendingMs) / this.#meanOwnMs + eviction * evictedShare);
  }

  /** The time of an uncontended prefill of what is not cached. */
  ownMs(promptTokens: number, uncachedTokens: number): number {
    const { prefillMsPerToken, attentionMsPerTokenPair } = this.#model;
    return (
      prefillMsPerToken * uncachedTokens +
      attentionMsPerTokenPair * uncachedTokens * (promptTokens - uncachedTokens / 2)
    );
  }

  /** Writes the terms into `terms`, which callers reuse: this runs for every endpoint of every decision. */
  evaluate(endpoint: Endpoint, question: CostQuestion, terms: CostTerms): void {
    const { inFlight } = endpoint;
    const { decodeDelay, decodeTime, memoryTarget } = this.#weights;
    const model = this.#model;
    const { promptTokens, uncachedTokens, price, promisedPrefillTokens, promisedMemoryTokens } = question;
    const capacity = model.kvCapacityTokens;
    const stepMs =
      model.baseMs +
      model.sequenceMs * inFlight.requests +
      model.contextMsPerToken * Math.min(inFlight.promptTokens, 3 * capacity);
    const ownMs = this.ownMs(promptTokens, uncachedTokens);
    const missing = this.missingMemoryTokens(endpoint) + promisedMemoryTokens + uncachedTokens;
    const waitsForMemory = missing > 0 && inFlight.requests > 0;

    terms.queueMs = this.pendingMs(endpoint) + model.prefillMsPerToken * promisedPrefillTokens;
    terms.memoryWaitMs = waitsForMemory
      ? (missing * stepMs * this.#meanOutputTokens) / (memoryTarget * capacity)
      : 0;
    terms.ownMs = ownMs;
    terms.priceMs = (price - 1) * ownMs;
    terms.decodeDelayMs = decodeDelay * ownMs * (inFlight.requests - inFlight.waitingForFirstToken);
    terms.decodeTimeMs = decodeTime * this.#meanOutputTokens * stepMs;
    terms.totalMs =
      terms.queueMs + terms.memoryWaitMs + ownMs + terms.priceMs + terms.decodeDelayMs + terms.decodeTimeMs;
  }
}
