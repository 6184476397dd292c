import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { createModelPlan } from '../../src/engine/model/model-plan.ts';
import { loadNative } from '../../src/engine/native/load.ts';
import { splitGguf } from '../engine/model/support/split-gguf.ts';
import { differences, type ExpectedLogits } from './expected-logits.ts';

const GGUF = fileURLToPath(new URL('../fixtures/gguf/', import.meta.url));
const native = loadNative();
const variants = readdirSync(GGUF).filter((file) => file.endsWith('.gguf'));

// Weights are dequantized to float32 on both sides, then only the order of additions differs.
const TOLERANCE = 1e-4;

describe('logits of GGUF files agree with transformers over the weights that the gguf package reads', () => {
  it.each(variants)('%s', (file) => {
    const path = join(GGUF, file);
    const expected = JSON.parse(readFileSync(path.replace('.gguf', '.json'), 'utf8')) as ExpectedLogits;
    const plan = createModelPlan(path, {
      blocks: 64,
      threads: 2,
      maxTokens: 256,
      maxSamples: 8,
      weightDtype: 'F32',
      kvCacheDtype: 'F32',
    });
    const found = differences(native, plan, expected);
    expect(found).toHaveLength(9);
    expect(Math.max(...found)).toBeLessThan(TOLERANCE);
  });

  it('in parts as in one', () => {
    const folder = mkdtempSync(join(tmpdir(), 'pointsman-parts-'));
    const parts = splitGguf(join(GGUF, 'qwen3-q4_k.gguf'), join(folder, 'qwen3'), 4);
    const expected = JSON.parse(readFileSync(join(GGUF, 'qwen3-q4_k.json'), 'utf8')) as ExpectedLogits;
    const plan = createModelPlan(parts[0]!, {
      blocks: 64,
      threads: 1,
      maxTokens: 256,
      maxSamples: 8,
      weightDtype: 'F32',
      kvCacheDtype: 'F32',
    });
    expect(plan.files).toEqual(parts);
    expect(Math.max(...differences(native, plan, expected))).toBeLessThan(TOLERANCE);
    rmSync(folder, { recursive: true });
  });

  it('covers every type that is read, and holds quantized weights as BF16 unless told otherwise', () => {
    const plans = variants.map((file) =>
      createModelPlan(join(GGUF, file), { blocks: 8, threads: 1, maxTokens: 16, maxSamples: 4 }),
    );
    expect(new Set(plans.flatMap(({ tensors }) => tensors.map(({ dtype }) => dtype)))).toEqual(
      new Set(['F32', 'F16', 'BF16', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'Q4_K', 'Q5_K', 'Q6_K']),
    );
    const weights = (weightDtype: 'auto' | 'BF16') => {
      const model = native.open({ ...plans[variants.indexOf('llama-q8_0.gguf')]!, weightDtype });
      const bytes = model.memory().weights;
      model.close();
      return bytes;
    };
    expect(weights('auto')).toBe(weights('BF16'));
  });
});
