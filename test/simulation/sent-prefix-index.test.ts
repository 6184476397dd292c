import { expect, it } from 'vitest';
import type { PrefixHashes } from '../../src/scheduling/index.ts';
import { SentPrefixIndex } from '../../src/simulation/sent-prefix-index.ts';

/** A prompt of four blocks that shares nothing with those of another number. */
function prompt(number: number): PrefixHashes {
  const low = Uint32Array.from({ length: 4 }, (_, i) => number * 16 + i);
  return { count: 4, low, high: low, blockTokens: 16 };
}

it('what llm-d would know of caches: least recently sent goes first, whenever its request ends', () => {
  const index = new SentPrefixIndex({ blockTokens: 16, blocksPerEndpoint: 8 });
  index.record(0, prompt(1));
  index.record(0, prompt(2));
  index.release();
  index.forget(0, prompt(2), 4);
  index.record(0, prompt(3));
  expect([1, 2, 3].map((number) => index.match(prompt(number)).cachedBlocks(0))).toEqual([0, 4, 4]);
});
