import { describe, expect, it } from 'vitest';
import { unknownMetrics } from '../../src/pool/endpoint-state.ts';
import { InferencePool } from '../../src/pool/inference-pool.ts';

/** A pool under a clock, and engines that serve prefill in turn at a fixed rate. */
function createFleet(count: number) {
  const clock = { nowMs: 0 };
  const pool = new InferencePool({ clock: () => clock.nowMs });
  const endpoints = Array.from({ length: count }, (_, i) => {
    const endpoint = pool.upsert({ name: `e${i}`, address: `10.0.0.${i + 1}:8000` });
    pool.recordScrape(endpoint, { ...unknownMetrics, blockSizeTokens: 16, totalBlocks: 1000 });
    return endpoint;
  });
  const learned = (i: number) => pool.find(endpoints[i]!)!.learned;

  /** One request at a time: prefill, then `outputTokens` in steps of `stepMs`. */
  function serve(i: number, tokens: number, prefillMsPerToken: number, stepMs: number, outputTokens = 100) {
    const reservation = pool.reserve(endpoints[i]!, { promptTokens: tokens, uncachedTokens: tokens });
    clock.nowMs += tokens * prefillMsPerToken + stepMs;
    reservation.firstToken();
    clock.nowMs += stepMs * (outputTokens - 1);
    reservation.release(outputTokens);
  }
  return { clock, pool, endpoints, learned, serve };
}

describe('calibration', () => {
  it('finds the prefill rate and the step time of engines ten times apart', () => {
    const { serve, learned } = createFleet(2);
    for (let round = 0; round < 60; round++) {
      serve(0, 500 + 40 * round, 0.02, 7);
      serve(1, 500 + 40 * round, 0.4, 70);
    }
    expect(learned(0).prefillMsPerToken).toBeGreaterThan(0.016);
    expect(learned(0).prefillMsPerToken).toBeLessThan(0.026);
    expect(learned(1).prefillMsPerToken).toBeGreaterThan(0.32);
    expect(learned(1).prefillMsPerToken).toBeLessThan(0.48);
    expect(learned(0).stepMs).toBeCloseTo(7, 0);
    expect(learned(1).stepMs).toBeGreaterThan(56);
  });

  it('does not take the wait behind other prompts for slowness', () => {
    const { clock, pool, endpoints, learned } = createFleet(1);
    for (let round = 0; round < 40; round++) {
      const burst = Array.from({ length: 8 }, () =>
        pool.reserve(endpoints[0]!, { promptTokens: 2000, uncachedTokens: 2000 }),
      );
      for (const reservation of burst) {
        clock.nowMs += 2000 * 0.03 + 7;
        reservation.firstToken();
        reservation.release(1);
      }
    }
    expect(learned(0).prefillMsPerToken).toBeGreaterThan(0.026);
    expect(learned(0).prefillMsPerToken).toBeLessThan(0.036);
  });

  it('does not count idle time after a prompt that was all cached', () => {
    const { clock, serve, learned, pool, endpoints } = createFleet(1);
    for (let round = 0; round < 60; round++) {
      const cached = pool.reserve(endpoints[0]!, { promptTokens: 2000, uncachedTokens: 0 });
      clock.nowMs += 7;
      cached.firstToken();
      cached.release(1);
      clock.nowMs += 5000;
      serve(0, 2000, 0.03, 7);
    }
    expect(learned(0).prefillMsPerToken).toBeGreaterThan(0.024);
    expect(learned(0).prefillMsPerToken).toBeLessThan(0.036);
  });

  it('starts a new engine with what the fleet has learned', () => {
    const { serve, learned, pool } = createFleet(2);
    for (let round = 0; round < 200; round++) serve(0, 4000, 0.3, 40, 64);
    expect(learned(1).prefillMsPerToken).toBeGreaterThan(0.2);
    expect(learned(1).stepMs).toBeGreaterThan(30);
    expect(learned(1).meanOutputTokens).toBeLessThan(150);
    const late = pool.upsert({ name: 'late', address: '10.0.0.9:8000' });
    expect(late.learned.prefillMsPerToken).toBeGreaterThan(0.2);
    expect(late.learned.kvCapacityTokens).toBeUndefined();
  });

  it('follows an engine that becomes slow, and one outlier hardly', () => {
    const { serve, learned } = createFleet(1);
    for (let round = 0; round < 50; round++) serve(0, 2000, 0.03, 8);
    const usual = learned(0).prefillMsPerToken;
    serve(0, 2000, 3, 8);
    serve(0, 2000, 0.03, 8);
    expect(learned(0).prefillMsPerToken).toBeLessThan(1.2 * usual);
    for (let round = 0; round < 80; round++) serve(0, 2000, 0.3, 8);
    expect(learned(0).prefillMsPerToken).toBeGreaterThan(5 * usual);
  });

  it('learns nothing from answers that come as a whole, and assumes their prefill over in time', () => {
    const { clock, pool, endpoints } = createFleet(1);
    const before = pool.find(endpoints[0]!)!.learned;
    const load = { promptTokens: 1000, uncachedTokens: 1000, isStreaming: false };
    const reservation = pool.reserve(endpoints[0]!, load);
    expect(pool.find(endpoints[0]!)!.inFlight.uncachedTokens).toBe(1000);
    clock.nowMs += 1000 * before.prefillMsPerToken + 1;
    expect(pool.find(endpoints[0]!)!.inFlight).toMatchObject({ uncachedTokens: 0, requests: 1 });
    pool.checkIntegrity();
    clock.nowMs += 60_000;
    reservation.firstToken();
    reservation.release(2000);
    reservation.release(2000);
    expect(pool.find(endpoints[0]!)!.learned.prefillMsPerToken).toBe(before.prefillMsPerToken);
    expect(pool.find(endpoints[0]!)!.learned.meanOutputTokens).toBe(before.meanOutputTokens);
  });

  it('tells listeners when an endpoint may have room again', () => {
    const { pool, endpoints } = createFleet(1);
    const told: string[] = [];
    pool.subscribe({ roomChanged: ({ name }) => told.push(name) });
    const reservation = pool.reserve(endpoints[0]!, { promptTokens: 10, uncachedTokens: 10 });
    expect(told).toEqual([]);
    reservation.firstToken();
    reservation.release(5);
    pool.recordScrape(endpoints[0]!, unknownMetrics);
    expect(told).toEqual(['e0', 'e0', 'e0']);
  });
});

describe('the time of a step', () => {
  it('grows with what the answers under way have generated', () => {
    const { clock, pool, endpoints, learned } = createFleet(1);
    for (let i = 0; i < 20; i++)
      pool.reserve(endpoints[0]!, { promptTokens: 100, uncachedTokens: 100 }).firstToken();
    const freshMs = learned(0).stepMs;
    clock.nowMs += 1000 * freshMs;
    const { stepMs } = learned(0);
    // 20 answers of nearly 1,000 tokens each are read in each step, at the prior's 5.6e-5 ms a token.
    expect(stepMs - freshMs).toBeGreaterThan(0.6 * 20 * 1000 * 5.6e-5);
    expect(stepMs - freshMs).toBeLessThan(20 * 1000 * 5.6e-5);
  });
});
