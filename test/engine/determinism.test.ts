import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, test } from 'vitest';
import type { EngineCore } from '../../src/engine/engine-core.ts';
import type { OpenEngineOptions } from '../../src/engine/open-engine.ts';
import { openEngine } from '../../src/engine/open-engine.ts';
import { toOpenOptions } from '../../src/engine/to-open-options.ts';
import type { RequestFields } from './support/fake-core.ts';
import { engineRequest, runToEnd, tokensByChoice } from './support/fake-core.ts';

const inRepository = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const addon = inRepository('build/pointsman_native.node');
const hasAddon = existsSync(addon);
beforeEach(({ skip }) => skip(!hasAddon, `${addon} is not built; run npm run build`));

const models = ['config/models/pointsman-mini', 'test/fixtures/parity/mistral-window'];

const options = (folder: string, changes: Partial<OpenEngineOptions>): OpenEngineOptions => ({
  ...toOpenOptions(
    { model: inRepository(folder), numGpuBlocksOverride: 128, threads: 1, maxModelLen: 256 },
    [],
  ),
  ...changes,
});

function withCore<T>(folder: string, changes: Partial<OpenEngineOptions>, use: (core: EngineCore) => T): T {
  const { core } = openEngine(options(folder, changes));
  try {
    return use(core);
  } finally {
    core.close();
  }
}

const prompt = (seed: number, length: number) =>
  Array.from({ length }, (_, i) => 3 + ((seed * 31 + i * i * 7) % 150));

/** Sixteen requests: half share a long beginning, one in four is sampled. */
const requests: readonly RequestFields[] = Array.from({ length: 16 }, (_, id) => ({
  id,
  prompt: id % 2 === 0 ? [...prompt(99, 50), ...prompt(id, 10 + id)] : prompt(id, 5 + 7 * id),
  maxTokens: 24,
  ignoreEos: true,
  temperature: id % 4 === 3 ? 0.8 : 0,
  seed: BigInt(id),
  logprobs: 2,
}));

type Answer = readonly (readonly [tokenId: number, logprob: number])[];

function answers(core: EngineCore, batch: readonly RequestFields[]): Map<number, Answer> {
  for (const request of batch) core.add(engineRequest(request));
  const all = new Map<number, [number, number][]>();
  for (const { requestId, tokenId, logprobs } of runToEnd(core))
    all.set(requestId, [...(all.get(requestId) ?? []), [tokenId, logprobs!.logprob]]);
  return all;
}

describe.each(models)('the same tokens and log-probabilities, bit for bit: %s', (folder) => {
  const alone = new Map<number, Answer>();
  const expectAlone = (actual: ReadonlyMap<number, Answer>) => {
    if (alone.size === 0)
      for (const request of requests)
        withCore(folder, { hasPrefixCaching: false, maxNumBatchedTokens: 512, maxNumSeqs: 1 }, (core) => {
          alone.set(request.id, answers(core, [request]).get(request.id)!);
        });
    for (const { id } of requests) expect(actual.get(id), `request ${id}`).toEqual(alone.get(id));
  };

  test('in a batch of sixteen', () => {
    expectAlone(withCore(folder, { hasPrefixCaching: false }, (core) => answers(core, requests)));
  });

  test.each([1, 7, 16, 33])('in chunks of at most %i tokens', (longPrefillTokenThreshold) => {
    expectAlone(withCore(folder, { longPrefillTokenThreshold }, (core) => answers(core, requests)));
  });

  test('with and without a prefix hit', () => {
    withCore(folder, {}, (core) => {
      expectAlone(answers(core, requests));
      const before = core.gauges.prefixHits;
      expectAlone(answers(core, requests));
      expect(core.gauges.prefixHits - before).toBeGreaterThan(500);
    });
  });

  test.each([1, 4])('with drafts of %i tokens, sampled requests included', (draftTokens) => {
    const speculation = { draftTokens, minNgram: 1, maxNgram: 3 };
    withCore(folder, { speculation }, (core) => {
      expectAlone(answers(core, requests));
      const { draftTokens: drafted, acceptedTokens, acceptedAt } = core.gauges.drafts;
      expect(acceptedTokens).toBeGreaterThan(5);
      expect(drafted).toBeGreaterThan(acceptedTokens);
      expect(acceptedAt.reduce((sum, count) => sum + count)).toBe(acceptedTokens);
    });
  });

  test('after preemption', () => {
    withCore(folder, { numGpuBlocksOverride: 24 }, (core) => {
      expectAlone(answers(core, requests));
      expect(core.gauges.preemptions).toBeGreaterThan(3);
    });
  });

  test.each([128, 24])('with two steps in flight and %i blocks', (numGpuBlocksOverride) => {
    const changes = { asyncScheduling: true, numGpuBlocksOverride, longPrefillTokenThreshold: 16 };
    withCore(folder, changes, (core) => {
      expectAlone(answers(core, requests));
      expectAlone(answers(core, requests));
      if (numGpuBlocksOverride === 24) expect(core.gauges.preemptions).toBeGreaterThan(3);
      else expect(core.gauges.prefixHits).toBeGreaterThan(500);
    });
  });

  test('with two threads, whoever else comes and goes', () => {
    withCore(folder, { threads: 2, maxNumBatchedTokens: 64, maxNumSeqs: 16 }, (core) => {
      for (let i = 0; i < 4; i++)
        core.add(
          engineRequest({ id: 100 + i, prompt: prompt(i, 40), choices: 2, ignoreEos: true, logprobs: 0 }),
        );
      core.step();
      core.abort(101);
      core.step();
      core.abort(103, 1);
      expectAlone(new Map([...answers(core, requests)].filter(([id]) => id < 100)));
    });
  });
});

test('several choices start from one computed prompt', () => {
  withCore(models[0]!, {}, (core) => {
    core.add(engineRequest({ id: 1, prompt: prompt(1, 60), choices: 3, temperature: 0, maxTokens: 12 }));
    const [first, ...others] = tokensByChoice(runToEnd(core)).values();
    for (const other of others) expect(other).toEqual(first);
  });
});
