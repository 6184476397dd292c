/**
 * llm-d's plugins with llm-d's formulas (llm-d-router, plugin catalogue), so that its defaults can be run
 * against ours on equal terms. The product's own scorers of similar names judge stale figures differently.
 */
import type { Endpoint } from '../../scheduling/endpoint.ts';
import { defineFilter, defineScorer } from '../../scheduling/plugins.ts';
import type { SchedulingContext } from '../../scheduling/scheduling-context.ts';
import { uncachedTokens } from './costs.ts';

/** `queue-scorer`: (max - q) / (max - min) of the scraped queues; all equal gives 1. */
export const queueScorer = defineScorer({
  description: 'Scraped queue length, scaled between the shortest and the longest.',
  create: () => (_context, endpoints) => {
    let least = Number.POSITIVE_INFINITY;
    let most = Number.NEGATIVE_INFINITY;
    for (const { metrics } of endpoints) {
      if (metrics.queuedRequests < least) least = metrics.queuedRequests;
      if (metrics.queuedRequests > most) most = metrics.queuedRequests;
    }
    if (least === most) return endpoints.map(() => 1);
    return endpoints.map(({ metrics }) => (most - metrics.queuedRequests) / (most - least));
  },
});

/** `kv-cache-utilization-scorer`: 1 - usage as scraped. */
export const kvCacheUtilizationScorer = defineScorer({
  description: 'Scraped free share of the KV blocks.',
  create: () => (_context, endpoints) => endpoints.map(({ metrics }) => 1 - metrics.kvCacheUsage),
});

/** `prefix-cache-scorer`: matched share of the prompt. */
export const prefixCacheScorer = defineScorer({
  description: 'Share of the prompt that is believed cached.',
  create: () => (context, endpoints) =>
    endpoints.map((endpoint) => context.cachedTokens(endpoint) / context.request.promptTokens),
});

/** `token-load-scorer`: 1 - (uncached tokens in flight + those of this request) / threshold. */
export const tokenLoadScorer = defineScorer({
  description: 'Uncached tokens in flight, this request included.',
  defaults: { queueThresholdTokens: 4_194_304 },
  create:
    ({ queueThresholdTokens }) =>
    (context, endpoints) =>
      endpoints.map(
        (endpoint) =>
          1 - (endpoint.inFlight.uncachedTokens + uncachedTokens(context, endpoint)) / queueThresholdTokens,
      ),
});

/**
 * `prefix-cache-affinity-filter`, "sticky until saturated": keeps the endpoints that hold most of the prompt,
 * unless the best of them would answer so much later than the best of the others.
 */
export const prefixCacheAffinityFilter = defineFilter({
  description: 'Endpoints that hold the prompt, until they are saturated.',
  defaults: { affinityThreshold: 0.8, maxTtftPenaltyMs: 18_000, peakPrefillTokensPerSecond: 15_928 },
  create: ({ affinityThreshold, maxTtftPenaltyMs, peakPrefillTokensPerSecond }) => {
    const maxGapTokens = (maxTtftPenaltyMs / 1000) * peakPrefillTokensPerSecond;
    return (context, endpoints) => {
      const warm = endpoints.filter(
        (endpoint) => context.cachedTokens(endpoint) / context.request.promptTokens >= affinityThreshold,
      );
      if (warm.length === 0 || warm.length === endpoints.length) return endpoints;
      const kept = new Set(warm);
      const cold = endpoints.filter((endpoint) => !kept.has(endpoint));
      return leastLoad(warm) - leastLoad(cold) > maxGapTokens ? endpoints : warm;
    };
  },
});

function leastLoad(endpoints: readonly Endpoint[]): number {
  return endpoints.reduce((least, { inFlight }) => Math.min(least, inFlight.uncachedTokens), Infinity);
}

/**
 * `no-hit-lru-scorer`: a request that hits nowhere prefers the endpoint that has gone longest without such a
 * request; any hit scores one half everywhere.
 */
export class NoHitLru {
  /** Names, least recently used for cold work first; those never used come before. */
  #order: readonly string[] = [];
  #wasCold = false;

  readonly scorer = defineScorer({
    description: 'Spreads requests without any hit over the endpoints.',
    create: () => (context, endpoints) => this.#score(context, endpoints),
  }).create({});

  /** The endpoint that the last scored request went to. */
  picked(name: string): void {
    if (this.#wasCold) this.#order = [...this.#order.filter((other) => other !== name), name];
  }

  #score(context: SchedulingContext, endpoints: readonly Endpoint[]): readonly number[] {
    this.#wasCold = endpoints.every((endpoint) => context.cachedTokens(endpoint) === 0);
    if (!this.#wasCold) return endpoints.map(() => 0.5);
    if (endpoints.length === 1) return [1];
    const used = new Map(
      this.#order.map((name, rank) => [name, rank + endpoints.length - this.#order.length]),
    );
    return endpoints.map(({ name }) => 1 - Math.max(0, used.get(name) ?? 0) / (endpoints.length - 1));
  }
}
