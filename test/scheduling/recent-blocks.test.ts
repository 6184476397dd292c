import { describe, expect, it } from 'vitest';
import type { PrefixHashes } from '../../src/scheduling/inference-request.ts';
import { RecentBlocks } from '../../src/scheduling/recent-blocks.ts';

/** Odd multipliers spread the bits and are bijections, so different blocks have different hashes. */
function blocksFrom(first: number, count: number): PrefixHashes {
  const block = (_: unknown, i: number) => first + i + 1;
  return {
    count,
    blockTokens: 16,
    low: Uint32Array.from({ length: count }, block).map((id) => Math.imul(id, 0x9e3779b1) ^ (id >>> 3)),
    high: Uint32Array.from({ length: count }, block).map((id) => Math.imul(id, 0x85ebca6b) >>> 7),
  };
}

describe('RecentBlocks', () => {
  it('knows what was asked for and hardly anything else', () => {
    const recent = new RecentBlocks(2 ** 16);
    const prompt = (first: number) => blocksFrom(first, 100);
    for (let i = 0; i < 40; i++) recent.countKnownAndAdd(prompt(i * 100), 0);
    expect(recent.countKnownAndAdd(prompt(3900), 0)).toBe(100);
    expect(recent.countKnownAndAdd(prompt(3900), 60)).toBe(40);
    expect(recent.countKnownAndAdd(prompt(900_000), 0)).toBeLessThan(10);
  });

  it('forgets after two generations', () => {
    const recent = new RecentBlocks(2 ** 10);
    const prompt = blocksFrom(5, 1);
    recent.countKnownAndAdd(prompt, 0);
    for (let i = 1000; i < 1400; i++) recent.countKnownAndAdd(blocksFrom(i, 1), 0);
    const isKnown = recent.countKnownAndAdd(prompt, 0);
    expect(isKnown).toBe(0);
  });
});
