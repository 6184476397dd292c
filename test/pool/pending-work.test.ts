import { describe, expect, it } from 'vitest';
import { InferencePool } from '../../src/pool/index.ts';
import type { PrefixHashes } from '../../src/scheduling/inference-request.ts';

const gauges = {
  queuedRequests: 0,
  runningRequests: 0,
  kvCacheUsage: 0,
  blockSizeTokens: 16,
  totalBlocks: 10_000,
  runningAdapters: [],
  waitingAdapters: [],
  maxAdapters: undefined,
};

function createPool() {
  const clock = { nowMs: 0 };
  const pool = new InferencePool({ clock: () => clock.nowMs });
  const endpoint = pool.upsert({ name: 'a', address: '10.0.0.1:8000' });
  const scrape = (changes: Partial<typeof gauges> = {}) =>
    pool.recordScrape(endpoint, { ...gauges, ...changes });
  scrape();
  const learned = () => pool.find(endpoint)!.learned;
  return { clock, pool, endpoint, scrape, learned };
}

function prefix(...runs: readonly number[]): PrefixHashes {
  return { count: runs.length, low: Uint32Array.from(runs), high: Uint32Array.from(runs), blockTokens: 512 };
}

describe('the prefill that waits on an endpoint', () => {
  it('shrinks while the engine works on the first prompt, and never below a tenth of that', () => {
    const { clock, pool, endpoint, learned } = createPool();
    const { prefillMsPerToken } = learned();
    pool.reserve(endpoint, { promptTokens: 10_000, uncachedTokens: 10_000 });
    pool.reserve(endpoint, { promptTokens: 5000, uncachedTokens: 5000, prefillWork: 6000 });
    expect(learned().pendingPrefillMs).toBeCloseTo(16_000 * prefillMsPerToken);
    clock.nowMs += 100;
    expect(learned().pendingPrefillMs).toBeCloseTo(16_000 * prefillMsPerToken - 100);
    clock.nowMs += 60_000;
    expect(learned().pendingPrefillMs).toBeCloseTo(7000 * prefillMsPerToken);
  });

  it('begins anew with the next prompt at each first token, and is gone with the last', () => {
    const { clock, pool, endpoint, learned } = createPool();
    const first = pool.reserve(endpoint, { promptTokens: 3000, uncachedTokens: 3000 });
    const second = pool.reserve(endpoint, { promptTokens: 2000, uncachedTokens: 2000 });
    clock.nowMs += 90;
    first.firstToken();
    const { prefillMsPerToken, pendingPrefillMs } = learned();
    expect(pendingPrefillMs).toBeCloseTo(2000 * prefillMsPerToken);
    second.release();
    expect(learned().pendingPrefillMs).toBe(0);
  });
});

describe('the memory that requests hold on an endpoint', () => {
  it('counts prompts from the moment that they are sent, and what they share once', () => {
    const { pool, endpoint, learned } = createPool();
    const one = pool.reserve(endpoint, { promptTokens: 1024, uncachedTokens: 1024, prefix: prefix(1, 2) });
    pool.reserve(endpoint, { promptTokens: 1100, uncachedTokens: 76, prefix: prefix(1, 3) });
    expect(learned().heldTokens).toBe(1024 + 512 + 76);
    expect(pool.heldTokens(endpoint, prefix(1, 2, 4))).toBe(1024);
    one.release();
    expect(learned().heldTokens).toBe(1100);
  });

  it('takes the rest from the gauges and counts on from there', () => {
    const { clock, pool, endpoint, scrape, learned } = createPool();
    const ours = pool.reserve(endpoint, { promptTokens: 1000, uncachedTokens: 1000 });
    ours.firstToken();
    const generated = 1000 / learned().stepMs;
    scrape({ kvCacheUsage: 0.1 });
    expect(learned().heldTokens).toBeCloseTo(16_000);
    clock.nowMs += 1000;
    expect(learned().heldTokens).toBeCloseTo(16_000 + generated, 0);
    ours.release();
    expect(learned().heldTokens).toBeCloseTo(15_000, 0);
  });

  it('adds what the engine has queued and not given memory yet', () => {
    const { pool, endpoint, scrape, learned } = createPool();
    for (let i = 0; i < 4; i++) pool.reserve(endpoint, { promptTokens: 800, uncachedTokens: 800 });
    scrape({ kvCacheUsage: 0.9, queuedRequests: 2 });
    expect(learned().heldTokens).toBeCloseTo(0.9 * 160_000 + 1600);
  });
});
