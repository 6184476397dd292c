/**
 * Predicts each endpoint's delay in milliseconds and prefers the least: 1 for the cheapest, one half for what
 * costs twice as much. The own prefill is weighted by kappa, its shadow price: what a millisecond of engine time
 * is worth to others at the moment.
 *
 *   queue + memory wait + kappa x own + own x (decodeDelay x decoding + freshDelay x fresh)
 *     + decodeTime x mean output x step / (1 - prefill share)
 *   kappa = min(maxPrice, 1 + congestion x (mean queue + mean waiting x busyness²) / mean own + eviction x phi)
 *   waiting  = own prefill of the requests that flow control holds, which wait for endpoints that are busy;
 *   busyness = requests there over the mean, at most 1: nobody waits for an endpoint that has time to spare
 *   phi      = share of prompt blocks that were asked for before and are on no endpoint now
 *   fresh    = answers that have just begun, and those about to: many will be short, and one prefill between two of
 *              their few tokens is all that their readers see of the pace
 *   prefill share: of the engine's time lately; steps that decode share the engine with it
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
  memoryWaitMs,
  ownPrefillMs,
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
const unknownOwnMs = 50;
/** Below it, own prefill says nothing about how much work requests bring. */
const leastOwnMs = 5;
/** An engine that only prefills decodes at some pace all the same. */
const mostPrefillShare = 0.9;

export default defineScorer({
  description: 'The least predicted delay in milliseconds, own work at its shadow price.',
  defaults: {
    congestion: 1,
    eviction: 10,
    maxPrice: 50,
    decodeDelay: 0.02,
    freshDelay: 0.3,
    decodeTime: 0.05,
    memoryTarget: 0.98,
    sloFit: 'filter',
  },
  create: ({ sloFit, ...weights }): Scorer => {
    if (!sloFits.includes(sloFit))
      throw new Error(`sloFit is "${sloFit}"; expected one of ${sloFits.join(', ')}`);
    for (const [name, value] of Object.entries(weights)) {
      if (!(value >= 0)) throw new Error(`${name} is ${value}; it must be 0 or more`);
    }
    const { congestion, eviction, maxPrice, decodeDelay, freshDelay, decodeTime, memoryTarget } = weights;
    const recent = new RecentBlocks();
    let evictedBlocks = 0;
    let promptBlocks = 0;
    let meanOwnMs: number | undefined;
    /** Of the last scoring, for `chosen`. */
    let cachedBlocks = 0;

    const isBestFit = ({ isStrict }: Slo) => sloFit === 'best-fit' || isStrict === true;

    /** kappa by endpoint. */
    const prices = (endpoints: readonly Endpoint[], waitingMs: number): readonly number[] => {
      let queueMs = 0;
      let requests = 0;
      for (const { inFlight, learned } of endpoints) {
        queueMs += learned.pendingPrefillMs;
        requests += inFlight.requests;
      }
      const meanRequests = requests / endpoints.length;
      const perMs = congestion / (endpoints.length * (meanOwnMs ?? unknownOwnMs));
      const evicted = promptBlocks > 0 ? eviction * (evictedBlocks / promptBlocks) : 0;
      return endpoints.map(({ inFlight }) => {
        const busyness = meanRequests > 0 ? Math.min(1, inFlight.requests / meanRequests) : 0;
        return Math.min(maxPrice, 1 + (queueMs + waitingMs * busyness ** 2) * perMs + evicted);
      });
    };

    const score: Scorer = (context, endpoints) => {
      const kappa = prices(endpoints, context.waitingMs ?? 0);
      const count = endpoints.length;
      const queue = new Array<number>(count);
      const memory = new Array<number>(count);
      const own = new Array<number>(count);
      const priced = new Array<number>(count);
      const delay = new Array<number>(count);
      const decode = new Array<number>(count);
      const total = new Array<number>(count);
      let least = Number.POSITIVE_INFINITY;
      let mostCachedTokens = 0;
      for (let i = 0; i < count; i++) {
        const endpoint = endpoints[i]!;
        const { inFlight, learned } = endpoint;
        const uncached = uncachedTokens(context, endpoint);
        const ownMs = ownPrefillMs(endpoint, context.request.promptTokens, uncached);
        queue[i] = learned.pendingPrefillMs + learned.othersPrefillMs;
        memory[i] = memoryWaitMs(endpoint, uncached, memoryTarget);
        own[i] = ownMs;
        priced[i] = (kappa[i]! - 1) * ownMs;
        const waiting = inFlight.waitingForFirstToken;
        delay[i] =
          ownMs *
          (decodeDelay * (inFlight.requests - waiting) + freshDelay * (learned.freshAnswers + waiting));
        const decodeShare = 1 - Math.min(mostPrefillShare, learned.prefillShare);
        decode[i] = (decodeTime * learned.meanOutputTokens * learned.stepMs) / decodeShare;
        total[i] = queue[i]! + memory[i]! + ownMs + priced[i]! + delay[i]! + decode[i]!;
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
        { name: 'delay of answers', unit: 'ms', values: delay },
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
