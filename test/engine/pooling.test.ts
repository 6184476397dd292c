import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { EngineCore } from '../../src/engine/engine-core.ts';
import type { EngineCoreOptions } from '../../src/engine/engine-core-options.ts';
import type { PoolingType } from '../../src/engine/pooled-state.ts';
import { defaultPooling, readPoolingConfig } from '../../src/engine/pooling-config.ts';
import { createFakeCore, engineRequest, runToEnd } from './support/fake-core.ts';

const prompt = Array.from({ length: 50 }, (_, i) => 1 + ((i * 7) % 90));
let id = 0;

function pool(core: EngineCore, tokens: readonly number[], pooling: PoolingType) {
  core.add({ ...engineRequest({ id: id++, prompt: tokens }), pooling });
  runToEnd(core);
  const [only] = core.drainPooled();
  return only!;
}

/** By the states of all beginnings of the prompt, each the last one of its own request. */
function meanOfLast(): number[] {
  const states = prompt.map(
    (_, i) => pool(createFakeCore({ maxNumBatchedTokens: 512 }), prompt.slice(0, i + 1), 'last').state,
  );
  return Array.from(states[0]!, (_, channel) =>
    Math.fround(states.reduce((sum, state) => sum + state[channel]!, 0) / states.length),
  );
}

describe('the mean of all states', () => {
  const chunks: readonly Partial<EngineCoreOptions>[] = [
    { maxNumBatchedTokens: 512 },
    { maxNumBatchedTokens: 16 },
    { longPrefillTokenThreshold: 7 },
    { longPrefillTokenThreshold: 7, isAsync: true },
    { blocks: 4, maxModelLen: 64, maxNumSeqs: 2 },
  ];
  const expected = meanOfLast();

  test.each(chunks)('is that of the beginnings’ last states, with %j', (options) => {
    expect(Array.from(pool(createFakeCore(options), prompt, 'mean').state)).toEqual(expected);
  });

  test('is computed in full where the prompt is cached, and leaves it cached', () => {
    const core = createFakeCore();
    pool(core, prompt, 'last');
    const { state, first } = pool(core, prompt, 'mean');
    expect(Array.from(state)).toEqual(expected);
    expect(first.cachedTokens).toBe(0);
    expect(pool(core, prompt, 'last').first.cachedTokens).toBe(48);
  });

  test.each([false, true])('survives preemption beside others, with two steps in flight: %s', (isAsync) => {
    const limits = { blocks: 8, maxModelLen: 128, maxNumSeqs: 4, maxNumBatchedTokens: 16 };
    const core = createFakeCore({ ...limits, isAsync });
    const long = { maxTokens: 60, ignoreEos: true };
    core.add(engineRequest({ id: id++, prompt: prompt.slice(0, 30), ...long }));
    for (let step = 0; step < 30; step++) core.step();
    core.add({ ...engineRequest({ id: id++, prompt }), pooling: 'mean' });
    runToEnd(core);
    expect(Array.from(core.drainPooled()[0]!.state)).toEqual(expected);
  });
});

test('the first state is that of the first token alone, cached or not', () => {
  const alone = pool(createFakeCore(), prompt.slice(0, 1), 'last').state;
  const core = createFakeCore({ maxNumBatchedTokens: 16 });
  expect(pool(core, prompt, 'cls').state).toEqual(alone);
  expect(pool(core, prompt, 'cls').state).toEqual(alone);
});

describe('how embeddings are made', () => {
  const folder = (files: Readonly<Record<string, unknown>>) => {
    const root = mkdtempSync(join(tmpdir(), 'pointsman-pooling-'));
    mkdirSync(join(root, '1_Pooling'));
    for (const [name, value] of Object.entries(files)) writeFileSync(join(root, name), JSON.stringify(value));
    return root;
  };
  const modules = (...names: string[]) =>
    names.map((name) => ({
      type: `sentence_transformers.models.${name}`,
      path: name === 'Pooling' ? '1_Pooling' : '',
    }));
  const mean = { pooling_mode_mean_tokens: true, pooling_mode_cls_token: false };

  test('is said by sentence-transformers’ files, and by the flag before them', () => {
    const model = folder({
      'modules.json': modules('Transformer', 'Pooling'),
      '1_Pooling/config.json': mean,
      'config.json': { matryoshka_dimensions: [32, 64] },
    });
    const own = { type: 'mean', isNormalized: false, dimensions: [32, 64], defaultDimensions: undefined };
    expect(readPoolingConfig(model)).toEqual(own);
    expect(readPoolingConfig(model, { pooling_type: 'CLS', normalize: true, dimensions: 32 })).toEqual({
      ...own,
      type: 'cls',
      isNormalized: true,
      defaultDimensions: 32,
    });
    expect(readPoolingConfig(folder({}))).toEqual(defaultPooling);
    expect(readPoolingConfig(folder({ 'modules.json': modules('Normalize') })).isNormalized).toBe(true);
  });

  test.each([
    [{ pooling_type: 'ALL' }, /one of LAST, CLS, MEAN, got "ALL"/],
    [{ pooling_type: 'MEAN', seq_pooling_type: 'MEAN' }, /say the same/],
    [{ poling_type: 'MEAN' }, /unknown keys: poling_type/],
    [{ normalize: 'yes' }, /normalize must be true or false/],
    [{ dimensions: 0 }, /dimensions must be a whole number/],
  ])('is refused where it cannot be done: %j', (given, message) => {
    expect(() => readPoolingConfig('/nowhere', given)).toThrow(message);
  });

  test('is refused where the folder asks for what is not known', () => {
    const model = folder({
      'modules.json': modules('Pooling'),
      '1_Pooling/config.json': { pooling_mode_max_tokens: true },
    });
    expect(() => readPoolingConfig(model)).toThrow(/asks for pooling_mode_max_tokens; one of/);
  });
});
