import { describe, expect, it } from 'vitest';
import { FirstBursts } from '../../src/pool/first-bursts.ts';
import { InferencePool } from '../../src/pool/index.ts';

function learned(...bursts: readonly (readonly [tokens: number, msPerToken: number])[]): number {
  const first = new FirstBursts();
  for (const [tokens, msPerToken] of bursts) first.add({ tokens, elapsedMs: tokens * msPerToken });
  return first.msPerToken;
}

describe('the first bursts of a fleet', () => {
  it.each([0.002, 0.03, 0.25, 2])('tell %d ms a token with one prompt of a usual length', (msPerToken) => {
    expect(learned()).toBeGreaterThan(0);
    expect(learned([1500, msPerToken])).toBeCloseTo(msPerToken);
  });

  it('are not believed for a few tokens, where the fixed cost of a step is all', () => {
    expect(learned([10, 0.9])).toBe(learned());
    expect(learned([10, 0.9], [2000, 0.03])).toBeCloseTo(0.03);
  });

  it('bear a first prompt for which kernels are compiled', () => {
    expect(learned([800, 12], [800, 0.03], [800, 0.031])).toBeLessThan(0.04);
  });

  it('bear prompts that were cached before we came', () => {
    expect(learned([2000, 0.001], [2000, 0.25], [2000, 0.26], [2000, 0.25])).toBeCloseTo(0.25);
  });
});

describe('an engine on a processor core, from a cold start', () => {
  it('is known after its first prompt, and so are its siblings', () => {
    const clock = { nowMs: 0 };
    const pool = new InferencePool({ clock: () => clock.nowMs });
    const [one, other] = ['a', 'b'].map((name, i) => pool.upsert({ name, address: `10.0.0.${i + 1}:8000` }));
    expect(pool.find(one!)!.learned.isPrefillKnown).toBe(false);
    const reservation = pool.reserve(one!, { promptTokens: 2000, uncachedTokens: 2000 });
    clock.nowMs += 500;
    reservation.firstToken();
    clock.nowMs += 5;
    const own = pool.find(one!)!.learned;
    expect(own.isPrefillKnown).toBe(true);
    expect(own.prefillMsPerToken).toBeGreaterThan(0.22);
    expect(own.prefillMsPerToken).toBeLessThan(0.27);
    expect(pool.find(other!)!.learned.prefillMsPerToken).toBe(own.prefillMsPerToken);
  });
});
