import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { createModelPlan, type ModelPlanOptions } from '../../src/engine/model/model-plan.ts';
import { loadNative } from '../../src/engine/native/load.ts';
import { differences, type ExpectedLogits, largest, rootMeanSquare } from './expected-logits.ts';

interface Expected extends ExpectedLogits {
  /** Of all safetensors files of the folder, in name order. */
  readonly weightsSha256: string;
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

type Dtypes = Pick<ModelPlanOptions, 'weightDtype' | 'kvCacheDtype'>;

function check(
  folder: string,
  expectedFile: string,
  isa: string,
  { measure = largest, ...dtypes }: Dtypes & { readonly measure?: typeof largest } = {},
): readonly number[] {
  const expected = JSON.parse(readFileSync(expectedFile, 'utf8')) as Expected;
  expect(weightsSha256(folder), 'run test/fixtures/make-parity-fixtures.py again').toBe(
    expected.weightsSha256,
  );
  const plan = { ...createModelPlan(folder, { ...OPTIONS, ...dtypes }), isa };
  return differences(native, plan, expected, measure);
}

function weightsSha256(folder: string): string {
  const files = readdirSync(folder).filter((file) => file.endsWith('.safetensors'));
  const hash = createHash('sha256');
  for (const file of files.sort()) hash.update(readFileSync(join(folder, file)));
  return hash.digest('hex');
}

// Both sides compute in float32 from the same weights; only the order of additions differs. Measured: below 8e-6.
const TOLERANCE = 1e-4;
// Where activations are rounded the whole row of logits is compared, by root mean square: single logits scatter.
// With bfloat16 dot products activations keep 8 bits before each product, as transformers does when it runs a
// checkpoint in bfloat16; measured up to 1.2e-2. In groups of 32 in 8 bits half a step is 1/254 of the group's
// largest magnitude, in weights and in activations; measured up to 6.6e-2 on rows of 64. The kernels' own bounds
// are checked in kernels.test.ts.
const ROUNDED_TOLERANCE = { BF16: 2e-2, I8: 1e-1 };
// Keys and values within max / 252 of their head, everything else in float32; measured up to 4e-2 on heads of 8 to 32.
const KV_TOLERANCE = 5e-2;
/** Models that amplify: phi3-long sharpens its softmax, qwen3-moe-v4 has near ties between experts. */
const AMPLIFICATION: Readonly<Record<string, number>> = { 'phi3-long': 5, 'qwen3-moe-v4': 2 };

/** Sets that multiply bfloat16 with bfloat16. */
const ROUNDING = new Set(['amx', 'avx512_bf16']);

/** Those compute in float32 when weights are held so; the same bits, exactly. */
function inFloat32(isa: string): Dtypes {
  return { weightDtype: ROUNDING.has(isa) ? 'F32' : 'auto' };
}

describe('logits agree with Hugging Face transformers in float32', () => {
  const variants = readdirSync(PARITY, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  it.each(variants.map((entry) => entry.name))('%s', (name) => {
    const folder = join(PARITY, name);
    for (const isa of native.cpuInfo().available) {
      const found = check(folder, join(folder, 'expected.json'), isa, inFloat32(isa));
      expect(found.length).toBeGreaterThan(6);
      expect(Math.max(...found), isa).toBeLessThan(TOLERANCE);
    }
  });

  it.for([...ROUNDING].map((isa) => ({ isa, runs: native.cpuInfo().available.includes(isa) })))(
    'within the rounding of activations where bfloat16 weights meet bfloat16 products: $isa',
    ({ isa, runs }, { skip }) => {
      if (!runs) skip(`this processor has no ${isa}`);
      for (const { name } of variants) {
        const folder = join(PARITY, name);
        const found = check(folder, join(folder, 'expected.json'), isa, { measure: rootMeanSquare });
        expect(Math.max(...found), name).toBeLessThan(ROUNDED_TOLERANCE.BF16 * (AMPLIFICATION[name] ?? 1));
      }
    },
  );

  it('within the error of 8-bit weights and activations', () => {
    for (const { name } of variants) {
      const folder = join(PARITY, name);
      for (const isa of native.cpuInfo().available) {
        const found = check(folder, join(folder, 'expected.json'), isa, {
          weightDtype: 'I8',
          measure: rootMeanSquare,
        });
        const tolerance = ROUNDED_TOLERANCE.I8 * (AMPLIFICATION[name] ?? 1);
        expect(Math.max(...found), `${name}, ${isa}`).toBeLessThan(tolerance);
      }
    }
  });

  it('within the error of an 8-bit KV cache', () => {
    for (const { name } of variants) {
      const folder = join(PARITY, name);
      for (const isa of native.cpuInfo().available) {
        const found = check(folder, join(folder, 'expected.json'), isa, {
          ...inFloat32(isa),
          kvCacheDtype: 'I8',
          measure: rootMeanSquare,
        });
        const tolerance = KV_TOLERANCE * (AMPLIFICATION[name] ?? 1);
        expect(Math.max(...found), `${name}, ${isa}`).toBeLessThan(tolerance);
        // And it is in use: float32 pages are exact to 1e-5.
        expect(Math.max(...found), `${name}, ${isa}`).toBeGreaterThan(1e-4);
      }
    }
  });

  const miniExpected = join(PARITY, 'pointsman-mini.json');
  it.skipIf(!existsSync(miniExpected) || !existsSync(join(MINI, 'model.safetensors')))(
    'pointsman-mini',
    () => {
      for (const isa of native.cpuInfo().available)
        expect(Math.max(...check(MINI, miniExpected, isa, inFloat32(isa))), isa).toBeLessThan(TOLERANCE);
    },
  );
});
