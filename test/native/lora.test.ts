import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readAdapter } from '../../src/engine/lora/index.ts';
import { readModelConfig } from '../../src/engine/model/model-files.ts';
import { createModelPlan } from '../../src/engine/model/model-plan.ts';
import { loadNative } from '../../src/engine/native/load.ts';
import type { ModelPlan } from '../../src/engine/native/native.ts';
import { differences, type ExpectedLogits, largest } from './expected-logits.ts';
import { blocksFor, dummyPlan, logitsOf, prompt, withModel } from './sequences.ts';

const FIXTURES = fileURLToPath(new URL('../fixtures/', import.meta.url));
const native = loadNative();
const names = readdirSync(join(FIXTURES, 'lora'));

const modelOf = (base: string) => join(FIXTURES, 'parity', base);
const adapterOf = (name: string, base: string, maxRank = 8) =>
  readAdapter(join(FIXTURES, 'lora', name), readModelConfig(modelOf(base)), maxRank);

function planOf(base: string, changes: Partial<ModelPlan & { isa: string }> = {}): ModelPlan {
  const plan = createModelPlan(modelOf(base), {
    blocks: 256,
    threads: 2,
    maxTokens: 1024,
    maxSamples: 16,
    adapterSlots: 3,
    maxAdapterRank: 8,
    weightDtype: 'F32',
    kvCacheDtype: 'F32',
  });
  return { ...plan, ...changes };
}

// Both sides compute in float32, unmerged; only the order of additions differs.
const TOLERANCE = 1e-4;

describe('logits agree with PEFT', () => {
  it.each(names)('%s', (name) => {
    const expected = JSON.parse(
      readFileSync(join(FIXTURES, 'lora', name, 'expected.json'), 'utf8'),
    ) as ExpectedLogits & { readonly base: string };
    const adapter = adapterOf(name, expected.base);
    for (const isa of native.cpuInfo().available) {
      const plan = planOf(expected.base, { isa });
      const found = differences(native, plan, expected, largest, adapter);
      expect(Math.max(...found), isa).toBeLessThan(TOLERANCE);
      // Without it they are far away: the adapter is what makes them agree.
      expect(Math.max(...differences(native, plan, expected)), isa).toBeGreaterThan(0.05);
    }
  });
});

describe('several adapters in one batch', () => {
  const sequences = Array.from({ length: 8 }, (_, s) => ({
    tokens: prompt(9 + 17 * s, s + 3, 160),
    start: 0,
    blocks: blocksFor(9 + 17 * s, s * 12),
    adapter: (s % 4) - 1,
  }));
  const dtypes: readonly ModelPlan['weightDtype'][] = ['F32', 'BF16', 'I8'];

  it.each(dtypes)('give the same bits as each alone, whatever is beside it: weights in %s', (weightDtype) => {
    for (const isa of native.cpuInfo().available) {
      withModel(native, planOf('llama', { weightDtype, isa }), (model) => {
        for (const [slot, name] of ['llama-all', 'llama-attention', 'llama-patterns'].entries())
          model.loadAdapter(slot, adapterOf(name, 'llama'));
        const together = logitsOf(model, sequences, 160);
        for (const [s, sequence] of sequences.entries())
          expect(logitsOf(model, [sequence], 160)[0], `${isa}, sequence ${s}`).toEqual(together[s]);
      });
    }
  });

  it('leave the base model alone, and are gone when unloaded', () => {
    const part = { tokens: prompt(40, 1, 160), start: 0, blocks: blocksFor(40, 0) };
    const base = withModel(native, planOf('llama', { adapterSlots: 0 }), (model) =>
      logitsOf(model, [part], 160),
    );
    withModel(native, planOf('llama'), (model) => {
      const unloaded = model.memory().weights;
      model.loadAdapter(2, adapterOf('llama-all', 'llama'));
      expect(model.memory().weights).toBeGreaterThan(unloaded);
      expect(logitsOf(model, [part], 160)).toEqual(base);
      expect(logitsOf(model, [{ ...part, adapter: 2 }], 160)).not.toEqual(base);
      model.unloadAdapter(2);
      expect(model.memory().weights).toBe(unloaded);
    });
  });

  it('are refused when slot, rank or file do not fit', () => {
    const adapter = adapterOf('llama-all', 'llama');
    withModel(native, planOf('llama'), (model) => {
      expect(() => model.loadAdapter(3, adapter)).toThrow(/slot 3 is not one of 3/);
      const pair = adapter.pairs[0]!;
      const load = (changes: object) => () =>
        model.loadAdapter(0, { ...adapter, pairs: [{ ...pair, ...changes }] });
      expect(load({ rank: 9 })).toThrow(/rank 9, expected 1 to 8/);
      expect(load({ layer: 2 })).toThrow(/layer or file that is not there/);
      expect(load({ aOffset: 2 ** 40 })).toThrow(/is truncated/);
      expect(load({ role: 'q_norm' })).toThrow(/q_norm cannot be adapted/);
      expect(load({ dtype: 'Q8_0' })).toThrow(/must be F32, BF16 or F16/);
      expect(() => model.loadAdapter(0, { ...adapter, pairs: [pair, pair, pair, pair] })).toThrow(/twice/);
      expect(() => logitsOf(model, [{ tokens: [1], start: 0, blocks: [0], adapter: 3 }], 160)).toThrow(
        /adapters\[0\] is 3, expected 0 to 2/,
      );
    });
    withModel(native, dummyPlan(), (model) =>
      expect(() => model.loadAdapter(0, adapter)).toThrow(/slot 0 is not one of 0/),
    );
  });
});
