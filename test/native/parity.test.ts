import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { createModelPlan, type ModelPlanOptions } from '../../src/engine/model/model-plan.ts';
import { loadNative } from '../../src/engine/native/load.ts';
import { blocksFor, logitsOf, withModel } from './sequences.ts';

interface Expected {
  /** Of all safetensors files of the folder, in name order. */
  readonly weightsSha256: string;
  readonly cases: readonly {
    readonly prompt: readonly number[];
    readonly rows: readonly { readonly row: number; readonly logits: readonly number[] }[];
  }[];
}

const PARITY = fileURLToPath(new URL('../fixtures/parity/', import.meta.url));
const MINI = fileURLToPath(new URL('../../config/models/pointsman-mini/', import.meta.url));
const native = loadNative();

const OPTIONS: ModelPlanOptions = {
  blocks: 64,
  threads: 2,
  maxTokens: 256,
  maxSamples: 8,
  maxModelLen: 256,
  kvCacheDtype: 'F32',
};

function differences(folder: string, expectedFile: string, isa?: string): readonly number[] {
  const expected = JSON.parse(readFileSync(expectedFile, 'utf8')) as Expected;
  expect(weightsSha256(folder), 'run test/fixtures/make-parity-fixtures.py again').toBe(
    expected.weightsSha256,
  );
  const plan = { ...createModelPlan(folder, OPTIONS), ...(isa === undefined ? {} : { isa }) };
  return withModel(native, plan, (model) =>
    expected.cases.flatMap(({ prompt, rows }) => {
      const part = {
        tokens: prompt,
        start: 0,
        blocks: blocksFor(prompt.length, 3, 2),
        rows: rows.map(({ row }) => row),
      };
      const found = logitsOf(model, [part], plan.vocabSize);
      return rows.map(({ logits }, i) => {
        const worst = Math.max(...logits.map((value, id) => Math.abs(value - found[i]![id]!)));
        return worst / Math.max(...logits.map(Math.abs));
      });
    }),
  );
}

function weightsSha256(folder: string): string {
  const files = readdirSync(folder).filter((file) => file.endsWith('.safetensors'));
  const hash = createHash('sha256');
  for (const file of files.sort()) hash.update(readFileSync(join(folder, file)));
  return hash.digest('hex');
}

// Both sides compute in float32 from the same weights; only the order of additions differs. Measured: below 8e-6.
const TOLERANCE = 1e-4;

describe('logits agree with Hugging Face transformers in float32', () => {
  const variants = readdirSync(PARITY, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  it.each(variants.map((entry) => entry.name))('%s', (name) => {
    const folder = join(PARITY, name);
    for (const isa of native.cpuInfo().available) {
      const found = differences(folder, join(folder, 'expected.json'), isa);
      expect(found.length).toBeGreaterThan(6);
      expect(Math.max(...found), isa).toBeLessThan(TOLERANCE);
    }
  });

  const miniExpected = join(PARITY, 'pointsman-mini.json');
  it.skipIf(!existsSync(miniExpected) || !existsSync(join(MINI, 'model.safetensors')))(
    'pointsman-mini',
    () => {
      expect(Math.max(...differences(MINI, miniExpected))).toBeLessThan(TOLERANCE);
    },
  );
});
