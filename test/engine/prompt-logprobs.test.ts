import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { EngineCore } from '../../src/engine/engine-core.ts';
import { openEngine } from '../../src/engine/open-engine.ts';
import type { TokenLogprobs } from '../../src/engine/step-output.ts';
import { packOutputs, unpackOutputs } from '../../src/engine/step-packing.ts';
import { toOpenOptions } from '../../src/engine/to-open-options.ts';
import type { RequestFields } from './support/fake-core.ts';
import { createFakeCore, engineRequest, runToEnd } from './support/fake-core.ts';

const prompt = Array.from({ length: 75 }, (_, i) => 1 + ((i * i * 7) % 90));
const base: RequestFields = { id: 0, prompt, maxTokens: 4, ignoreEos: true, promptLogprobs: 3 };

/** Prompt log-probabilities by request. */
function run(core: EngineCore, requests: readonly RequestFields[]): Map<number, readonly TokenLogprobs[]> {
  for (const request of requests) core.add(engineRequest(request));
  // Packed and unpacked, as on their way between threads.
  const outputs = unpackOutputs(packOutputs(runToEnd(core)));
  const found = outputs.flatMap(({ requestId, first }) =>
    first?.promptLogprobs === undefined ? [] : [[requestId, first.promptLogprobs] as const],
  );
  expect(new Set(found.map(([id]) => id)).size).toBe(found.length);
  return new Map(found);
}

const alone = run(createFakeCore({ hasPrefixCaching: false, maxNumBatchedTokens: 128 }), [base]).get(0)!;

describe('log-probabilities of a prompt', () => {
  test('are there for every token but the first, with the most likely ones', () => {
    expect(alone).toHaveLength(prompt.length - 1);
    for (const { logprob, rank, topIds, topLogprobs } of alone) {
      expect(topIds).toHaveLength(3);
      expect(logprob).toBeLessThanOrEqual(topLogprobs[0]!);
      if (rank <= 3) expect(topLogprobs[rank - 1]).toBe(logprob);
    }
  });

  test('are each token’s own: another last token changes the last entry alone', () => {
    const other = run(createFakeCore(), [{ ...base, prompt: [...prompt.slice(0, -1), 96] }]).get(0)!;
    expect(other.slice(0, -1)).toEqual(alone.slice(0, -1));
    expect(other.at(-1)!.topIds).toEqual(alone.at(-1)!.topIds);
    expect(other.at(-1)!.logprob).not.toBe(alone.at(-1)!.logprob);
  });

  test.each([1, 5, 16, 33])('do not depend on chunks of %i tokens', (longPrefillTokenThreshold) => {
    const core = createFakeCore({ longPrefillTokenThreshold });
    expect(run(core, [base, { ...base, id: 1 }]).get(1)).toEqual(alone);
  });

  test('are computed though the prompt is cached, and not again for a request that does not ask', () => {
    const core = createFakeCore();
    run(core, [{ ...base, promptLogprobs: undefined }]);
    expect(run(core, [base]).get(0)).toEqual(alone);
    core.add(engineRequest({ ...base, promptLogprobs: undefined }));
    expect(runToEnd(core)[0]!.first).toMatchObject({ cachedTokens: 64, promptLogprobs: undefined });
  });

  test('come with the first of several choices', () => {
    const core = createFakeCore();
    core.add(engineRequest({ ...base, choices: 3 }));
    const firsts = runToEnd(core).filter(({ first }) => first !== undefined);
    expect(firsts.map(({ choice, first }) => [choice, first!.promptLogprobs?.length])).toEqual([
      [0, 74],
      [1, undefined],
      [2, undefined],
    ]);
  });

  test('survive preemption', () => {
    const core = createFakeCore({ blocks: 33, maxNumBatchedTokens: 40 });
    const requests = Array.from({ length: 6 }, (_, id) => ({
      ...base,
      id,
      maxTokens: 60,
      cacheSalt: `${id}`,
    }));
    const found = run(core, requests);
    expect(core.gauges.preemptions).toBeGreaterThan(0);
    for (const { id } of requests) expect(found.get(id), `request ${id}`).toEqual(alone);
  });
});

const addon = fileURLToPath(new URL('../../build/pointsman_native.node', import.meta.url));
const model = fileURLToPath(new URL('../../config/models/pointsman-mini', import.meta.url));

test.skipIf(!existsSync(addon))('are, bit for bit, what decoding the same tokens reported', () => {
  const options = { model, numGpuBlocksOverride: 64, threads: 1, maxModelLen: 256 };
  const { core } = openEngine({ ...toOpenOptions(options, []), longPrefillTokenThreshold: 9 });
  const start = prompt.slice(0, 20);
  core.add(engineRequest({ id: 0, prompt: start, maxTokens: 30, ignoreEos: true, logprobs: 2 }));
  const decoded = runToEnd(core);
  const whole = [...start, ...decoded.map(({ tokenId }) => tokenId)];
  const found = run(core, [{ id: 1, prompt: whole, maxTokens: 1, promptLogprobs: 2 }]).get(1)!;
  expect(found.slice(start.length - 1)).toEqual(decoded.map(({ logprobs }) => logprobs));
  core.close();
});
