import type { Endpoint } from '../../scheduling/endpoint.ts';
import type { SchedulingContext } from '../../scheduling/scheduling-context.ts';
import type { EngineModel } from '../engine-model.ts';
import { uncachedTokens } from './costs.ts';
import { RecentBlocks } from './recent-blocks.ts';

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

/** One endpoint's cost of this request, milliseconds; the least sum is chosen. */
export interface CostTerms {
  /** W: prefill work sent there and not done. */
  readonly queueMs: number;
  /** K: until enough KV blocks are released. */
  readonly memoryWaitMs: number;
  /** The request's own prefill there. */
  readonly ownMs: number;
  /** kappa * own - own: what the own work costs others, now and by the evictions it causes. */
  readonly priceMs: number;
  /** The delay that the own prefill brings to sequences decoding there. */
  readonly decodeDelayMs: number;
  /** What the answer itself pays for a long step there. */
  readonly decodeTimeMs: number;
  readonly totalMs: number;
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

  chosen(terms: CostTerms): void {
    this.#meanOwnMs += 0.01 * (Math.max(5, terms.ownMs) - this.#meanOwnMs);
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

  /** `promised` adds load that is decided but not sent: tokens to prefill, and tokens of memory. */
  terms(
    context: SchedulingContext,
    endpoint: Endpoint,
    price: number,
    promised: Promised = nothingPromised,
  ): CostTerms {
    const { inFlight } = endpoint;
    const { decodeDelay, decodeTime, memoryTarget } = this.#weights;
    const model = this.#model;
    const uncached = uncachedTokens(context, endpoint);
    const capacity = model.kvCapacityTokens;
    const stepMs =
      model.baseMs +
      model.sequenceMs * inFlight.requests +
      model.contextMsPerToken * Math.min(inFlight.promptTokens, 3 * capacity);
    const ownMs =
      model.prefillMsPerToken * uncached +
      model.attentionMsPerTokenPair * uncached * (context.request.promptTokens - uncached / 2);
    const queueMs = this.pendingMs(endpoint) + model.prefillMsPerToken * promised.prefillTokens;

    const target = memoryTarget * capacity;
    const neededTokens = this.missingMemoryTokens(endpoint) + promised.memoryTokens + uncached;
    const isWaitingForMemory = neededTokens > 0 && inFlight.requests > 0;
    const memoryWaitMs = isWaitingForMemory ? (neededTokens * stepMs * this.#meanOutputTokens) / target : 0;

    const priceMs = (price - 1) * ownMs;
    const decoding = inFlight.requests - inFlight.waitingForFirstToken;
    const decodeDelayMs = decodeDelay * ownMs * decoding;
    const decodeTimeMs = decodeTime * this.#meanOutputTokens * stepMs;
    const totalMs = queueMs + memoryWaitMs + ownMs + priceMs + decodeDelayMs + decodeTimeMs;
    return { queueMs, memoryWaitMs, ownMs, priceMs, decodeDelayMs, decodeTimeMs, totalMs };
  }
}

export interface Promised {
  readonly prefillTokens: number;
  readonly memoryTokens: number;
}

const nothingPromised: Promised = Object.freeze({ prefillTokens: 0, memoryTokens: 0 });
