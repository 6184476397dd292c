import { describe, expect, it } from 'vitest';
import { FadingSum } from '../../src/pool/fading-sum.ts';
import { InferencePool } from '../../src/pool/inference-pool.ts';

describe('a fading sum', () => {
  it('counts each part by its age', () => {
    const sum = new FadingSum(1000);
    sum.add(4, 5000);
    sum.add(2, 6000);
    expect(sum.at(7000)).toBeCloseTo(4 * Math.exp(-2) + 2 * Math.exp(-1), 12);
  });

  it('is as if a part that is taken back had never been added', () => {
    const sum = new FadingSum(1000);
    sum.add(4, 0);
    sum.add(2, 500);
    sum.takeBack(4, 0, 900);
    expect(sum.at(1500)).toBeCloseTo(2 * Math.exp(-1), 12);
  });
});

describe("an endpoint's view", () => {
  let nowMs = 0;
  const pool = new InferencePool({ clock: () => nowMs });
  const endpoint = pool.upsert({ name: 'engine', address: '10.0.0.1:8000' });
  const learned = () => pool.find(endpoint)!.learned;

  it('counts an answer as fresh from its first token until it has faded or ended', () => {
    const [first, second] = [0, 1].map(() =>
      pool.reserve(endpoint, { promptTokens: 1000, uncachedTokens: 1000 }),
    );
    nowMs = 90;
    expect(learned().freshAnswers).toBe(0);
    first!.firstToken();
    second!.firstToken();
    expect(learned().freshAnswers).toBe(2);
    nowMs = 390;
    first!.release(3);
    const left = learned().freshAnswers;
    expect(left).toBeGreaterThan(0.3);
    expect(left).toBeLessThan(1);
    nowMs = 10_000;
    expect(learned().freshAnswers).toBeLessThan(0.001);
    second!.release(400);
  });

  it('tells the share of time that prefill takes', () => {
    nowMs = 100_000;
    for (let i = 0; i < 400; i++, nowMs += 100) {
      const reservation = pool.reserve(endpoint, { promptTokens: 1000, uncachedTokens: 1000 });
      reservation.firstToken();
      reservation.release();
    }
    const { prefillShare, prefillMsPerToken } = learned();
    // 1,000 tokens every 100 ms.
    expect(prefillShare / (10 * prefillMsPerToken)).toBeCloseTo(1, 1);
  });
});
