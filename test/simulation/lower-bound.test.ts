import { describe, expect, it } from 'vitest';
import { enginePresets, isolatedPrefillMs } from '../../src/simulation/engine-model.ts';
import { ttftBounds } from '../../src/simulation/lower-bound.ts';
import { workloadRequest } from '../../src/simulation/workload-request.ts';

/** Pods of four blocks each. */
const model = { ...enginePresets['llama8b-h100'], kvCapacityTokens: 4 * 512 };

/** Prompts of whole blocks, one a second. */
function bounds(prompts: readonly (readonly number[])[], pods = 1) {
  const arrivals = prompts.map((blocks, i) =>
    workloadRequest({
      id: `r${i}`,
      arrivalMs: 1000 * i,
      promptTokens: 512 * blocks.length,
      outputTokens: 10,
      blocks: Int32Array.from(blocks),
    }),
  );
  return ttftBounds({ arrivals, model, pods, warmShare: 0 });
}

describe('the least mean TTFT', () => {
  it('is that of cold prompts alone where nothing comes twice', () => {
    const { sharedLruMs, clairvoyantMs } = bounds([[1, 2], [3], [4]]);
    const cold = [1024, 512, 512].map((tokens) => isolatedPrefillMs(model, tokens));
    expect(sharedLruMs).toBeCloseTo((cold[0]! + cold[1]! + cold[2]!) / 3);
    expect(clairvoyantMs).toBeLessThanOrEqual(sharedLruMs);
    // All but a step's fixed cost, which it takes in proportion.
    expect(clairvoyantMs).toBeGreaterThan(sharedLruMs - model.baseMs - model.sequenceMs);
  });

  it('keeps a prompt that comes again while the memory of all pods lasts, with a token left to compute', () => {
    const again = [[1, 2], [3, 4, 5], [6], [1, 2]];
    expect(bounds(again).sharedLruHitShare).toBe(0);
    const { sharedLruHitShare, sharedLruMs } = bounds(again, 2);
    expect(sharedLruHitShare).toBeCloseTo(1023 / (8 * 512));
    expect(sharedLruMs).toBeLessThan(bounds(again).sharedLruMs);
  });

  it('knowing the future is never above what an LRU reaches, and below it where the LRU thrashes', () => {
    const loop = Array.from({ length: 60 }, (_, i) => [i % 6]);
    const { sharedLruMs, sharedLruHitShare, clairvoyantMs } = bounds(loop);
    expect(sharedLruHitShare).toBe(0);
    expect(clairvoyantMs).toBeLessThan(0.6 * sharedLruMs);
    const fits = Array.from({ length: 60 }, (_, i) => [i % 3]);
    expect(bounds(fits).clairvoyantMs).toBeLessThanOrEqual(bounds(fits).sharedLruMs);
  });
});
