import { describe, expect, it } from 'vitest';
import shadowPrice from '../../scorers/shadow-price.ts';
import type { Endpoint, SchedulingContext } from '../../src/scheduling/index.ts';
import { makeContext, makeEndpoint, makeEndpoints } from '../scheduling/support.ts';

/** Milliseconds of each term, by name. */
function termsOf(context: SchedulingContext, endpoints: readonly Endpoint[]) {
  const { terms = [] } = shadowPrice.create(shadowPrice.defaults)(context, endpoints);
  return Object.fromEntries(terms.map(({ name, values }) => [name, values]));
}

describe('shadow-price', () => {
  it('gives 1 to the least delay and one half to twice as much', () => {
    const context = makeContext({ cached: [0, 900] });
    const scores = Array.from(shadowPrice.create(shadowPrice.defaults)(context, makeEndpoints(2)));
    expect(scores[1]).toBe(1);
    expect(scores[0]).toBeGreaterThan(0);
    expect(scores[0]).toBeLessThan(1);
  });

  it('tells the milliseconds of each term', () => {
    const endpoints = [
      makeEndpoint({ slot: 0 }),
      makeEndpoint({ slot: 1, inFlight: { requests: 4, waitingForFirstToken: 1, uncachedTokens: 10_000 } }),
    ];
    const terms = termsOf(makeContext({ cached: [0, 1000] }), endpoints);
    expect(terms['queue']).toEqual([0, 300]);
    expect(terms['own prefill']![0]).toBeGreaterThan(30);
    expect(terms['own prefill']![1]).toBeLessThan(0.05);
    expect(terms['memory wait']).toEqual([0, 0]);
    expect(Object.values(terms).flat().every(Number.isFinite)).toBe(true);
  });

  it('waits for memory only where requests will free some', () => {
    const full = { metrics: { kvCacheUsage: 0.99 } };
    const endpoints = [
      makeEndpoint({ ...full, slot: 0 }),
      makeEndpoint({ ...full, slot: 1, inFlight: { requests: 30 } }),
    ];
    const waits = termsOf(makeContext(), endpoints)['memory wait']!;
    expect(waits[0]).toBe(0);
    expect(waits[1]).toBeGreaterThan(10);
  });

  it('knows no memory of an engine that does not tell its size', () => {
    const learned = { kvCapacityTokens: undefined };
    const silent = makeEndpoint({ learned, metrics: { kvCacheUsage: 1 }, inFlight: { requests: 9 } });
    expect(termsOf(makeContext(), [silent])['memory wait']).toEqual([0]);
  });

  it('raises the price of own work when the fleet is busy', () => {
    const busy = makeEndpoints(2, () => ({ inFlight: { requests: 5, uncachedTokens: 50_000 } }));
    const idlePrice = termsOf(makeContext(), makeEndpoints(2))['price of own prefill']![0]!;
    const busyPrice = termsOf(makeContext(), busy)['price of own prefill']![0]!;
    expect(idlePrice).toBe(0);
    expect(busyPrice).toBeGreaterThan(100);
  });

  it('asks the price of those who wait where requests are many or hold much, not where there is time to spare', () => {
    const few = { requests: 4 };
    const endpoints = [
      makeEndpoint({ slot: 0, inFlight: few, learned: { heldTokens: 120_000 } }),
      makeEndpoint({ slot: 1, inFlight: { requests: 40 }, learned: { heldTokens: 30_000 } }),
      makeEndpoint({ slot: 2, inFlight: few, learned: { heldTokens: 10_000 } }),
    ];
    const context = { ...makeContext({ cached: [0, 0, 0] }), waitingMs: 10_000 };
    const [fewLong, manyShort, idler] = termsOf(context, endpoints)['price of own prefill']!;
    expect(fewLong).toBe(manyShort);
    expect(fewLong).toBeGreaterThan(5 * idler!);
  });

  it('keeps long prompts from engines whose answers have just begun', () => {
    const endpoints = [
      makeEndpoint({ slot: 0, inFlight: { requests: 6 } }),
      makeEndpoint({ slot: 1, inFlight: { requests: 6 }, learned: { freshAnswers: 3 } }),
      makeEndpoint({ slot: 2, inFlight: { requests: 6, waitingForFirstToken: 3 } }),
    ];
    const [calm, begun, waiting] = termsOf(makeContext(), endpoints)['delay of answers']!;
    expect(begun! / calm!).toBeGreaterThan(5);
    expect(waiting! / calm!).toBeGreaterThan(5);
  });

  it('expects slower tokens where prefill takes much of the time', () => {
    const shares = [0, 0.5, 3].map((prefillShare, slot) => makeEndpoint({ slot, learned: { prefillShare } }));
    const [idle, half, swamped] = termsOf(makeContext(), shares)['decode']!;
    expect(half! / idle!).toBeCloseTo(2);
    expect(swamped! / idle!).toBeCloseTo(10);
  });

  describe('with targets', () => {
    const queued = (...tokens: number[]) =>
      makeEndpoints(tokens.length, (slot) => ({ inFlight: { requests: 2, uncachedTokens: tokens[slot]! } }));
    const best = (
      sloFit: string,
      ttftMs: number | undefined,
      endpoints: readonly Endpoint[],
      isStrict = false,
    ) => {
      const slo = { ttftMs, tpotMs: undefined, isStrict };
      const context = makeContext({ request: { slo }, cached: [1000, 0, 0] });
      const scores = Array.from(shadowPrice.create({ ...shadowPrice.defaults, sloFit })(context, endpoints));
      return scores.indexOf(Math.max(...scores));
    };

    it('prefers an endpoint that meets them to a cheaper one that does not', () => {
      // Endpoint 0 has the prompt and a queue of 35 ms: cheaper in all, as own work is dear.
      const endpoints = queued(1166, 0);
      expect(best('off', 33, endpoints)).toBe(0);
      expect(best('filter', 33, endpoints)).toBe(1);
      expect(best('filter', undefined, endpoints)).toBe(0);
    });

    it('looks at cost alone when no endpoint meets them', () => {
      expect(best('filter', 1, queued(1166, 0))).toBe(0);
    });

    it('takes the narrowest fit when told so', () => {
      const endpoints = queued(20_000, 3000, 0);
      expect(best('filter', 200, endpoints)).toBe(2);
      expect(best('best-fit', 200, endpoints)).toBe(1);
      expect(best('filter', 200, endpoints, true)).toBe(1);
      expect(best('off', 200, endpoints, true)).toBe(2);
    });
  });

  it('refuses negative weights', () => {
    expect(() => shadowPrice.create({ ...shadowPrice.defaults, eviction: -1 })).toThrow(
      'eviction is -1; it must be 0 or more',
    );
    expect(() => shadowPrice.create({ ...shadowPrice.defaults, sloFit: 'tight' })).toThrow(
      'sloFit is "tight"; expected one of filter, best-fit, off',
    );
  });
});
