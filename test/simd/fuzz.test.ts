import { expect, it } from 'vitest';
import { fuzzScans } from '../../bench/fuzz/fuzz-scans.ts';
import { simdCode, simdFault } from '../../src/simd/index.ts';

it('scans and hashes random and mutated bodies as JavaScript does', () => {
  const code = simdCode();
  if (code === undefined) throw new Error(simdFault());
  const { outcomes, failures } = fuzzScans({ seed: 1, from: 0, to: 20_000, code });
  expect(failures).toEqual([]);
  for (const kind of ['tokens', 'strings', 'request']) {
    expect(outcomes.get(`${kind}: read`), kind).toBeGreaterThan(50);
    expect(outcomes.get(`${kind}: refused`), kind).toBeGreaterThan(300);
  }
});
