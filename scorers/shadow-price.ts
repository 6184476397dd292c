/**
 * Predicts each endpoint's delay in milliseconds and prefers the least: 1 for the cheapest, one half for what
 * costs twice as much. The own prefill is weighted by kappa, its shadow price: what a millisecond of engine time
 * is worth to others at the moment.
 *
 *   queue + memory wait + kappa x own + decodeDelay x own x decoding + decodeTime x mean output x step
 *   kappa = min(maxPrice, 1 + congestion x mean queue / mean own + eviction x phi)
 *   phi   = share of prompt blocks that were asked for before and are on no endpoint now
 *
 * A request with targets (TTFT, TPOT) prefers the endpoints that are predicted to meet them, if any does: by
 * `sloFit`, `filter` takes the cheapest of these, `best-fit` the one that meets them most narrowly, which leaves
 * the fast ones to stricter requests; `off` looks at cost alone. A strict objective is always fitted best.
 *
 * All terms are in the decision record. It needs no other scorer beside it: their units would not be these.
 */
import {
  defineScorer,
  type Endpoint,
  missingMemoryTokens,
  ownPrefillMs,
  pendingPrefillMs,
  RecentBlocks,
  type SchedulingContext,
  type Scorer,
  type Slo,
  uncachedTokens,
  withTerms,
} from 'pointsman/scheduling';

const sloFits: readonly string[] = ['filter', 'best-fit', 'off'];

/** How fast the shares and means forget, per request. */
const evictionMemory = 0.998;
const ownMemory = 0.99;
/** Below it, own prefill says nothing about how much work requests bring. */
const leastOwnMs = 5;

export default defineScorer({
  description: 'The least predicted delay in milliseconds, own work at its shadow price.',
  defaults: {
    congestion: 1,
    eviction: 10,
    maxPrice: 50,
    decodeDelay: 0.02,
    decodeTime: 0.05,
    memoryTarget: 0.9,
    sloFit: 'filter',
  },
  create: ({ sloFit, ...weights }): Scorer => {
    if (!sloFits.includes(sloFit))
      throw new Error(`sloFit is "${sloFit}"; expected one of ${sloFits.join(', ')}`);
    for (const [name, value] of Object.entries(weights)) {
      if (!(value >= 0)) throw new Error(`${name} is ${value}; it must be 0 or more`);
    }
    const { congestion, eviction, maxPrice, decodeDelay, decodeTime, memoryTarget } = weights;
    const recent = new RecentBlocks();
    let evictedBlocks = 0;
    let promptBlocks = 0;
    let meanOwnMs: number | undefined;
    /** Of the last scoring, for `chosen`. */
    let cachedBlocks = 0;

    const isBestFit = ({ isStrict }: Slo) => sloFit === 'best-fit' || isStrict === true;

    const price = (endpoints: readonly Endpoint[]): number => {
      const queueMs = endpoints.reduce((sum, endpoint) => sum + pendingPrefillMs(endpoint), 0);
      const evictedShare = promptBlocks > 0 ? evictedBlocks / promptBlocks : 0;
      const congested = queueMs / endpoints.length / (meanOwnMs ?? 50);
      return Math.min(maxPrice, 1 + congestion * congested + eviction * evictedShare);
    };

    const memoryWaitMs = (endpoint: Endpoint, uncached: number): number => {
      const { inFlight, learned } = endpoint;
      const missing = missingMemoryTokens(endpoint, memoryTarget) + uncached;
      if (!(missing > 0) || inFlight.requests === 0) return 0;
      return (
        (missing * learned.stepMs * learned.meanOutputTokens) / (memoryTarget * learned.kvCapacityTokens!)
      );
    };

    const score: Scorer = (context, endpoints) => {
      const kappa = price(endpoints);
      const count = endpoints.length;
      const queue = new Array<number>(count);
      const memory = new Array<number>(count);
      const own = new Array<number>(count);
      const priced = new Array<number>(count);
      const decode = new Array<number>(count);
      const total = new Array<number>(count);
      let least = Number.POSITIVE_INFINITY;
      let mostCachedTokens = 0;
      for (let i = 0; i < count; i++) {
        const endpoint = endpoints[i]!;
        const { inFlight, learned } = endpoint;
        const uncached = uncachedTokens(context, endpoint);
        const ownMs = ownPrefillMs(endpoint, context.request.promptTokens, uncached);
        queue[i] = pendingPrefillMs(endpoint);
        memory[i] = memoryWaitMs(endpoint, uncached);
        own[i] = ownMs;
        priced[i] = (kappa - 1) * ownMs;
        decode[i] =
          decodeDelay * ownMs * (inFlight.requests - inFlight.waitingForFirstToken) +
          decodeTime * learned.meanOutputTokens * learned.stepMs;
        total[i] = queue[i]! + memory[i]! + ownMs + priced[i]! + decode[i]!;
        least = Math.min(least, total[i]!);
        mostCachedTokens = Math.max(mostCachedTokens, context.cachedTokens(endpoint));
      }
      cachedBlocks = Math.floor(mostCachedTokens / context.request.prefix.blockTokens);
      const scores = total.map((cost) => (cost <= least ? 1 : least / cost));
      if (sloFit !== 'off') {
        const ttftMs = own.map((ms, i) => ms + queue[i]! + memory[i]!);
        preferMeeting(context.request.slo, endpoints, ttftMs, scores, isBestFit(context.request.slo));
      }
      return withTerms(scores, [
        { name: 'queue', unit: 'ms', values: queue },
        { name: 'memory wait', unit: 'ms', values: memory },
        { name: 'own prefill', unit: 'ms', values: own },
        { name: 'price of own prefill', unit: 'ms', values: priced },
        { name: 'decode', unit: 'ms', values: decode },
      ]);
    };

    const chosen = (context: SchedulingContext, endpoint: Endpoint): void => {
      const { prefix, promptTokens } = context.request;
      const evicted = recent.countKnownAndAdd(prefix, cachedBlocks);
      evictedBlocks = evictedBlocks * evictionMemory + evicted;
      promptBlocks = promptBlocks * evictionMemory + prefix.count;
      const ownMs = Math.max(
        leastOwnMs,
        ownPrefillMs(endpoint, promptTokens, uncachedTokens(context, endpoint)),
      );
      meanOwnMs = meanOwnMs === undefined ? ownMs : ownMemory * meanOwnMs + (1 - ownMemory) * ownMs;
    };
    return Object.assign(score, { chosen });
  },
});

/** Puts the endpoints that meet the targets above one half and the others below; nothing if none meets them. */
function preferMeeting(
  { ttftMs = Number.POSITIVE_INFINITY, tpotMs = Number.POSITIVE_INFINITY }: Slo,
  endpoints: readonly Endpoint[],
  predictedTtftMs: readonly number[],
  scores: number[],
  isBestFit: boolean,
): void {
  const meets = endpoints.map(({ learned }, i) => predictedTtftMs[i]! <= ttftMs && learned.stepMs <= tpotMs);
  if (!meets.includes(true)) return;
  const usesTtft = Number.isFinite(ttftMs);
  for (let i = 0; i < scores.length; i++) {
    const fit = isBestFit && usesTtft ? predictedTtftMs[i]! / ttftMs : scores[i]!;
    scores[i] = meets[i] === true ? 0.5 + fit / 2 : scores[i]! / 2;
  }
}
