import { describe, expect, it } from 'vitest';
import type { Endpoint } from '../../src/scheduling/endpoint.ts';
import { emptyPrefix } from '../../src/scheduling/inference-request.ts';
import { RecentBlocks } from '../../src/scheduling/recent-blocks.ts';
import type { SchedulingContext } from '../../src/scheduling/scheduling-context.ts';
import { isolatedPrefillMs } from '../../src/simulation/engine-model.ts';
import { defaultWeights, emptyTerms, ShadowPrice } from '../../src/simulation/policies/shadow-price.ts';
import { shadowPriceScorer } from '../../src/simulation/policies/shadow-price-policies.ts';
import { prefixOfBlocks } from '../../src/simulation/workload-request.ts';
import { model, request } from './fleet.ts';

interface Load {
  readonly requests?: number;
  readonly waiting?: number;
  readonly promptTokens?: number;
  readonly uncachedTokens?: number;
  readonly kvCacheUsage?: number;
}

function endpoint(slot: number, load: Load = {}): Endpoint {
  return {
    name: `pod-${slot}`,
    address: `10.0.0.${slot}:8000`,
    labels: {},
    models: [],
    adapters: [],
    isReady: true,
    notReadyReason: undefined,
    metrics: {
      queuedRequests: 0,
      runningRequests: 0,
      kvCacheUsage: load.kvCacheUsage ?? 0,
      blockSizeTokens: 512,
      totalBlocks: 840,
      runningAdapters: [],
      waitingAdapters: [],
      maxAdapters: undefined,
      ageMs: 0,
    },
    inFlight: {
      requests: load.requests ?? 0,
      sentSinceScrape: 0,
      waitingForFirstToken: load.waiting ?? 0,
      promptTokens: load.promptTokens ?? 0,
      uncachedTokens: load.uncachedTokens ?? 0,
    },
    learned: { prefillMsPerToken: 0.03, stepMs: 10, kvCapacityTokens: 160_000, meanOutputTokens: 300 },
    slot,
  };
}

function context(promptTokens: number, cachedBySlot: readonly number[] = []): SchedulingContext {
  return {
    request: { ...request(0, promptTokens, 1).request, prefix: emptyPrefix },
    nowMs: 0,
    random: () => 0.5,
    cachedTokens: ({ slot }) => cachedBySlot[slot] ?? 0,
  };
}

const question = (promptTokens: number, uncachedTokens: number, price = 1) => ({
  promptTokens,
  uncachedTokens,
  price,
  promisedPrefillTokens: 0,
  promisedMemoryTokens: 0,
});

describe('the shadow price', () => {
  it('counts the own prefill as the engine would take it', () => {
    const terms = emptyTerms();
    new ShadowPrice(model).evaluate(endpoint(0), question(8192, 8192), terms);
    expect(terms.ownMs).toBeCloseTo(isolatedPrefillMs(model, 8192) - model.baseMs, 1);
    expect(terms).toMatchObject({ queueMs: 0, memoryWaitMs: 0, priceMs: 0, decodeDelayMs: 0 });
  });

  it('adds up its terms', () => {
    const terms = emptyTerms();
    const busy = endpoint(0, {
      requests: 40,
      waiting: 3,
      promptTokens: 200_000,
      uncachedTokens: 9000,
      kvCacheUsage: 0.96,
    });
    new ShadowPrice(model).evaluate(busy, question(5000, 3000, 4), terms);
    const { totalMs, ...parts } = terms;
    expect(Object.values(parts).every((part) => part > 0)).toBe(true);
    expect(Object.values(parts).reduce((sum, part) => sum + part, 0)).toBeCloseTo(totalMs, 9);
  });

  it('gives 1 to the cheapest and less to the others, in the order of cost', () => {
    const scorer = shadowPriceScorer(new ShadowPrice(model));
    const endpoints = [
      endpoint(0, { uncachedTokens: 40_000, requests: 4, waiting: 4, promptTokens: 40_000 }),
      endpoint(1),
      endpoint(2, { uncachedTokens: 10_000, requests: 1, waiting: 1, promptTokens: 10_000 }),
    ];
    const scores = Array.from(scorer(context(4000), endpoints));
    expect(scores[1]).toBe(1);
    expect(scores[2]).toBeLessThan(1);
    expect(scores[0]).toBeLessThan(scores[2]!);
  });

  it('leaves a warm endpoint for an idle one only when its queue costs more than the prefill saved', () => {
    const scorer = shadowPriceScorer(new ShadowPrice(model, { ...defaultWeights, congestion: 0 }));
    const warm = (uncachedTokens: number) =>
      endpoint(0, { uncachedTokens, requests: 1, waiting: 1, promptTokens: uncachedTokens });
    const best = (endpoints: readonly Endpoint[]) => {
      const scores = Array.from(scorer(context(8192, [8000, 0]), endpoints));
      return scores.indexOf(1);
    };
    expect(best([warm(2000), endpoint(1)])).toBe(0);
    expect(best([warm(40_000), endpoint(1)])).toBe(1);
  });

  it('prices work by what waits, and by blocks that were there before', () => {
    const idle = [endpoint(0), endpoint(1)];
    const busy = [endpoint(0, { uncachedTokens: 100_000 }), endpoint(1, { uncachedTokens: 100_000 })];
    const shadowPrice = new ShadowPrice(model);
    expect(shadowPrice.price(idle)).toBe(1);
    expect(shadowPrice.price(busy)).toBe(50);

    const prompt = prefixOfBlocks(Int32Array.of(1, 2, 3, 4));
    const asking = { ...context(2048), request: { ...request(0, 2048, 1).request, prefix: prompt } };
    shadowPrice.requested(asking, idle);
    expect(shadowPrice.price(idle)).toBe(1);
    shadowPrice.requested(asking, idle);
    expect(shadowPrice.price(idle)).toBeCloseTo(1 + 10 * 0.5, 1);
  });
});

describe('RecentBlocks', () => {
  it('knows what was asked for and hardly anything else', () => {
    const recent = new RecentBlocks(2 ** 16);
    const prompt = (first: number) => prefixOfBlocks(Int32Array.from({ length: 100 }, (_, i) => first + i));
    for (let i = 0; i < 40; i++) recent.countKnownAndAdd(prompt(i * 100), 0);
    expect(recent.countKnownAndAdd(prompt(3900), 0)).toBe(100);
    expect(recent.countKnownAndAdd(prompt(3900), 60)).toBe(40);
    expect(recent.countKnownAndAdd(prompt(900_000), 0)).toBeLessThan(10);
  });

  it('forgets after two generations', () => {
    const recent = new RecentBlocks(2 ** 10);
    const prompt = prefixOfBlocks(Int32Array.of(5));
    recent.countKnownAndAdd(prompt, 0);
    for (let i = 1000; i < 1400; i++) recent.countKnownAndAdd(prefixOfBlocks(Int32Array.of(i)), 0);
    const isKnown = recent.countKnownAndAdd(prompt, 0);
    expect(isKnown).toBe(0);
  });
});
