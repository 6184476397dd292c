import { expect, it } from 'vitest';
import { fuzzProtobuf } from '../../bench/fuzz/fuzz-protobuf.ts';

it('both codecs read 5,000 random and mutated frames alike, or refuse them', { timeout: 120_000 }, () => {
  const { outcomes, failures } = fuzzProtobuf({ seed: 1, from: 0, to: 5_000 });
  expect(failures).toEqual([]);
  expect(outcomes.get('one meaning, read alike')).toBeGreaterThan(2_000);
  expect(outcomes.get('refused by both')).toBeGreaterThan(500);
});
