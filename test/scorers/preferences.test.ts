import { describe, expect, it } from 'vitest';
import kvCacheUsage from '../../scorers/kv-cache-usage.ts';
import loraAffinity from '../../scorers/lora-affinity.ts';
import prefixCache from '../../scorers/prefix-cache.ts';
import queueDepth from '../../scorers/queue-depth.ts';
import runningRequests from '../../scorers/running-requests.ts';
import sessionAffinity from '../../scorers/session-affinity.ts';
import { makeContext, makeEndpoint, makeEndpoints } from '../scheduling/support.ts';

const never = Number.POSITIVE_INFINITY;

describe('prefix-cache', () => {
  it('is the cached share of the prompt', () => {
    const context = makeContext({ request: { promptTokens: 1000 }, cached: [0, 640, 1000] });
    expect(prefixCache.create({})(context, makeEndpoints(3))).toEqual([0, 0.64, 1]);
  });
  it('is 0 for an empty prompt', () => {
    expect(prefixCache.create({})(makeContext({ request: { promptTokens: 0 } }), makeEndpoints(2))).toEqual([
      0, 0,
    ]);
  });
});

describe('queue-depth', () => {
  const score = (endpoints: ReturnType<typeof makeEndpoints>, halfAtRequests = 2) =>
    Array.from(queueDepth.create({ halfAtRequests })(makeContext(), endpoints));
  const withQueues = (...queues: number[]) =>
    makeEndpoints(queues.length, (slot) => ({ metrics: { queuedRequests: queues[slot]! } }));

  it('falls to one half at the given length beside an idle endpoint', () => {
    expect(score(withQueues(0, 2))).toEqual([1, 0.5]);
    expect(score(withQueues(0, 8), 8)).toEqual([1, 0.5]);
  });
  it('gives 1 to all when all queues are equal', () => {
    expect(score(withQueues(7, 7, 7))).toEqual([1, 1, 1]);
  });
  it('hardly tells 10 from 11, and clearly 10 from 40', () => {
    const [, near, far] = score(withQueues(10, 11, 40));
    expect(near).toBeGreaterThan(0.9);
    expect(far).toBeLessThan(0.3);
  });
  it('adds what was sent since the scrape to a queue that was there', () => {
    const [, second] = score([
      makeEndpoint({ slot: 0, metrics: { queuedRequests: 4 } }),
      makeEndpoint({ slot: 1, metrics: { queuedRequests: 1 }, inFlight: { sentSinceScrape: 3 } }),
    ]);
    expect(second).toBe(1);
  });
  it('spreads a burst over idle endpoints, yet hardly holds it against one that had no queue', () => {
    const [busy, idle] = score([
      makeEndpoint({ slot: 0, inFlight: { sentSinceScrape: 1 } }),
      makeEndpoint({ slot: 1 }),
    ]);
    expect(busy).toBeLessThan(idle!);
    const [burst] = score([
      makeEndpoint({ slot: 0, inFlight: { sentSinceScrape: 64 } }),
      makeEndpoint({ slot: 1 }),
    ]);
    expect(burst).toBeGreaterThan(0.5);
  });
  it('takes an endpoint that has told nothing for average', () => {
    const scores = score([...withQueues(0, 8), makeEndpoint({ slot: 2, metrics: { ageMs: never } })]);
    expect(scores[2]).toBeLessThan(scores[0]!);
    expect(scores[2]).toBeGreaterThan(scores[1]!);
  });
});

describe('running-requests', () => {
  it('counts running and waiting ones, and never fewer than our own', () => {
    const endpoints = [
      makeEndpoint({ slot: 0 }),
      makeEndpoint({ slot: 1, metrics: { runningRequests: 10, queuedRequests: 6 } }),
      makeEndpoint({ slot: 2, inFlight: { requests: 16 } }),
    ];
    expect(runningRequests.create({ halfAtRequests: 16 })(makeContext(), endpoints)).toEqual([1, 0.5, 0.5]);
  });
  it('balances engines that tell no metrics by our own requests', () => {
    const endpoints = makeEndpoints(2, (slot) => ({
      metrics: { ageMs: never },
      inFlight: { requests: slot * 3 },
    }));
    const [idle, busy] = Array.from(runningRequests.create({ halfAtRequests: 16 })(makeContext(), endpoints));
    expect(idle).toBeGreaterThan(busy!);
  });
});

describe('kv-cache-usage', () => {
  it('is the free share', () => {
    const endpoints = makeEndpoints(2, (slot) => ({ metrics: { kvCacheUsage: slot * 0.25 } }));
    expect(kvCacheUsage.create({})(makeContext(), endpoints)).toEqual([1, 0.75]);
  });
  it('adds the uncached prompts sent since the scrape', () => {
    const endpoint = makeEndpoint({
      metrics: { kvCacheUsage: 0.25, totalBlocks: 1000, blockSizeTokens: 16 },
      inFlight: { requests: 2, sentSinceScrape: 2, waitingForFirstToken: 2, uncachedTokens: 4000 },
    });
    expect(kvCacheUsage.create({})(makeContext(), [endpoint])).toEqual([0.5]);
  });
});

describe('lora-affinity', () => {
  const endpoints = [
    makeEndpoint({ slot: 0, metrics: { runningAdapters: ['x'], maxAdapters: 1 } }),
    makeEndpoint({ slot: 1, metrics: { runningAdapters: ['y'], maxAdapters: 2 } }),
    makeEndpoint({ slot: 2, metrics: { runningAdapters: ['y'], waitingAdapters: ['x'], maxAdapters: 1 } }),
    makeEndpoint({ slot: 3, metrics: { runningAdapters: ['y'], maxAdapters: 1 } }),
  ];
  it('is 1 where the adapter runs, 0.8 with a free slot, 0.6 where it waits, else 0', () => {
    const context = makeContext({ request: { model: 'x' } });
    expect(loraAffinity.create({})(context, endpoints)).toEqual([1, 0.8, 0.6, 0]);
  });
  it('is the same everywhere for a base model', () => {
    const context = makeContext({ request: { model: 'base' } });
    expect(loraAffinity.create({})(context, endpoints)).toEqual([1, 1, 1, 1]);
  });
  it('knows an adapter that is only listed', () => {
    const context = makeContext({ request: { model: 'idle' } });
    const listed = endpoints.map((endpoint) => ({ ...endpoint, adapters: ['idle'] }));
    expect(loraAffinity.create({})(context, listed)).toEqual([0, 0.8, 0, 0]);
  });
});

describe('session-affinity', () => {
  const scorer = sessionAffinity.create({ header: 'X-Session-Id' });
  const scoresOf = (session: string | undefined, slots: readonly number[]) => {
    const headers = new Map(session === undefined ? [] : [['x-session-id', session]]);
    const endpoints = slots.map((slot) => makeEndpoint({ slot }));
    return Array.from(scorer(makeContext({ request: { headers } }), endpoints));
  };
  const winner = (session: string, slots: readonly number[]) => slots[scoresOf(session, slots).indexOf(1)];

  it('sends a session to one endpoint, in whatever order they come', () => {
    for (let i = 0; i < 50; i++) {
      expect(winner(`s${i}`, [0, 1, 2, 3])).toBe(winner(`s${i}`, [3, 1, 0, 2]));
      expect(scoresOf(`s${i}`, [0, 1, 2, 3]).filter((score) => score === 1)).toHaveLength(1);
    }
  });
  it('spreads sessions evenly', () => {
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 4000; i++) {
      const slot = winner(`session-${i}`, [0, 1, 2, 3])!;
      counts[slot] = counts[slot]! + 1;
    }
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });
  it('moves only the sessions of an endpoint that goes', () => {
    for (let i = 0; i < 200; i++) {
      const before = winner(`s${i}`, [0, 1, 2, 3]);
      if (before !== 3) expect(winner(`s${i}`, [0, 1, 2])).toBe(before);
    }
  });
  it('has no preference without a session id', () => {
    expect(scoresOf(undefined, [0, 1])).toEqual([1, 1]);
  });
});
