import { expect, it } from 'vitest';
import { predictedDelays } from '../../src/endpoint-picker/predicted-delays.ts';
import type { Endpoint } from '../../src/scheduling/index.ts';

const endpoint = (isPrefillKnown: boolean) =>
  ({
    learned: {
      isPrefillKnown,
      prefillMsPerToken: 0.1,
      pendingPrefillMs: 30,
      othersPrefillMs: 5,
      stepMs: 12,
    },
  }) as unknown as Endpoint;

it('adds what is waited for to the own prefill of tokens that are not cached', () => {
  const prompt = { tokens: 100, cachedTokens: 60, queuedMs: 7 };
  const { ttftMs, tpotMs } = predictedDelays(endpoint(true), prompt)!;
  // 40 tokens at 0.1 ms, a little more for attention.
  expect(ttftMs).toBeCloseTo(7 + 30 + 5 + 4, 1);
  expect(tpotMs).toBe(12);
  const cached = predictedDelays(endpoint(true), { ...prompt, cachedTokens: 100 })!;
  expect(cached.ttftMs).toBeCloseTo(42.1, 1);
});

it('says nothing while no engine has shown how fast it is', () => {
  expect(predictedDelays(endpoint(false), { tokens: 100, cachedTokens: 0, queuedMs: 0 })).toBeUndefined();
});
