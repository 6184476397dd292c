import { describe, expect, it } from 'vitest';
import { defaultRoomRule, isRoomAt } from '../../src/endpoint-picker/room-rule.ts';
import type { ScrapedMetrics } from '../../src/pool/endpoint-state.ts';
import { unknownMetrics } from '../../src/pool/endpoint-state.ts';
import { InferencePool } from '../../src/pool/index.ts';

function createPool() {
  const clock = { nowMs: 0 };
  const pool = new InferencePool({ clock: () => clock.nowMs });
  const endpoint = pool.upsert({ name: 'a', address: '10.0.0.1:8000' });
  const scrape = (figures: Partial<ScrapedMetrics>) =>
    pool.recordScrape(endpoint, { ...unknownMetrics, blockSizeTokens: 16, totalBlocks: 1000, ...figures });
  const reserve = (promptTokens = 2000) =>
    pool.reserve(endpoint, { promptTokens, uncachedTokens: promptTokens });
  const now = () => pool.find(endpoint)!;
  return { clock, pool, endpoint, scrape, reserve, now };
}

describe('requests on an engine that others sent', () => {
  it('are those that it knows beyond ours', () => {
    const { scrape, reserve, now } = createPool();
    scrape({ queuedRequests: 3, runningRequests: 1 });
    const one = now().learned.othersPrefillMs / 3;
    expect(one).toBeGreaterThan(0);
    for (let i = 0; i < 4; i++) reserve();
    scrape({ queuedRequests: 3, runningRequests: 1 });
    expect(now().learned.othersPrefillMs).toBe(0);
    scrape({ queuedRequests: 6, runningRequests: 2 });
    expect(now().learned.othersPrefillMs).toBeCloseTo(3 * one);
  });

  it('do not include ours that were sent while the engine was asked', () => {
    const { pool, endpoint, scrape, reserve, now } = createPool();
    pool.beginScrape(endpoint);
    reserve();
    scrape({ queuedRequests: 1 });
    expect(now().learned.othersPrefillMs).toBe(0);
  });

  it('are worked off until the next scrape', () => {
    const { clock, scrape, now } = createPool();
    scrape({ queuedRequests: 4 });
    const { othersPrefillMs } = now().learned;
    clock.nowMs += 50;
    expect(now().learned.othersPrefillMs).toBeCloseTo(othersPrefillMs - 50);
    clock.nowMs += 60_000;
    expect(now().learned.othersPrefillMs).toBe(0);
  });

  it('do not take the place of ours in its queue: where they wait for seconds, ours are not held back', () => {
    const { scrape, reserve, now } = createPool();
    for (let i = 0; i < 4; i++) reserve(6000);
    expect(isRoomAt(now(), defaultRoomRule)).toBe(false);
    scrape({ queuedRequests: 10 });
    expect(isRoomAt(now(), defaultRoomRule)).toBe(false);
    scrape({ queuedRequests: 200 });
    expect(isRoomAt(now(), defaultRoomRule)).toBe(true);
  });

  it('give back memory when they end, so ours do not wait for ours alone', () => {
    const { scrape, reserve, now } = createPool();
    const ours = reserve(200);
    ours.firstToken();
    scrape({ kvCacheUsage: 0.985, runningRequests: 40 });
    expect(now().inFlight.requests).toBe(1);
    expect(isRoomAt(now(), defaultRoomRule, 500)).toBe(true);
  });
});

describe('prompts of others that no queue shows', () => {
  const capacity = 16_000;

  function createShared(usages: readonly number[], runningRequests = 4) {
    const fleet = createPool();
    for (const kvCacheUsage of usages) {
      fleet.scrape({ kvCacheUsage, runningRequests });
      fleet.clock.nowMs += 100;
    }
    return fleet;
  }
  const othersMs = ({ now }: ReturnType<typeof createShared>) => now().learned.othersPrefillMs;

  it('are seen by the memory that grows faster than answers do', () => {
    const steady = createShared([0.5, 0.5, 0.5]);
    // No more than what may have come since, at the usual rate.
    expect(othersMs(steady)).toBeLessThan(1);
    const grown = createShared([0.1, 0.1, 0.9]);
    const { prefillMsPerToken } = grown.now().learned;
    const wholeMs = 0.8 * capacity * prefillMsPerToken;
    // Come half of an interval before the scrape on average, and 100 ms ago; what came after it is a guess.
    expect(othersMs(grown)).toBeGreaterThan(wholeMs - 50 - 100 - 10);
    expect(othersMs(grown)).toBeLessThan(wholeMs);
  });

  it('are worked off between scrapes, and more are expected where some came', () => {
    const fleet = createShared([0.1, 0.9]);
    const seenMs = othersMs(fleet);
    fleet.clock.nowMs += 50;
    expect(othersMs(fleet)).toBeLessThan(seenMs - 45);
    fleet.clock.nowMs += 800;
    const expectedMs = othersMs(fleet);
    expect(expectedMs).toBeGreaterThan(0);
    expect(expectedMs).toBeLessThan(seenMs / 4);
  });

  it('are none where all requests are ours, however wrong our count of their memory is', () => {
    const { clock, scrape, reserve, now } = createPool();
    for (let i = 0; i < 4; i++) reserve();
    for (const kvCacheUsage of [0.1, 0.9]) {
      scrape({ kvCacheUsage, runningRequests: 4 });
      clock.nowMs += 100;
    }
    expect(now().learned.othersPrefillMs).toBe(0);
  });

  it('lengthen the steps of the engine', () => {
    const idle = createShared([0]);
    const shared = createShared([0.9], 40);
    expect(shared.now().learned.stepMs).toBeGreaterThan(1.1 * idle.now().learned.stepMs);
  });
});
