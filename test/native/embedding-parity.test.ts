import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { createModelPlan } from '../../src/engine/model/model-plan.ts';
import { loadNative } from '../../src/engine/native/load.ts';
import type { ModelPlan, TensorSource } from '../../src/engine/native/native.ts';
import type { ExpectedLogits } from './expected-logits.ts';
import { batchOf, blocksFor, withModel } from './sequences.ts';

const PARITY = fileURLToPath(new URL('../fixtures/parity/', import.meta.url));
const native = loadNative();

/**
 * The last hidden state that transformers had: its logits are head times state, and the head has more rows than
 * columns, so least squares give the state back: (H^T H) state = H^T logits.
 */
function stateOf(head: readonly Float64Array[], logits: readonly number[]): readonly number[] {
  const n = head[0]!.length;
  const rows = Array.from({ length: n }, (_, i) =>
    Float64Array.from({ length: n + 1 }, (_, j) =>
      head.reduce((sum, row, id) => sum + row[i]! * (j < n ? row[j]! : logits[id]!), 0),
    ),
  );
  for (let pivot = 0; pivot < n; pivot++)
    for (let r = 0; r < n; r++) {
      if (r === pivot) continue;
      const factor = rows[r]![pivot]! / rows[pivot]![pivot]!;
      for (let j = pivot; j <= n; j++) rows[r]![j]! -= factor * rows[pivot]![j]!;
    }
  return rows.map((row, i) => row[n]! / row[i]!);
}

function readMatrix(plan: ModelPlan, { file, offset, dtype, shape }: TensorSource): readonly Float64Array[] {
  const [count, columns] = shape as [number, number];
  const bytes = Buffer.alloc(count * columns * (dtype === 'F32' ? 4 : 2));
  const fd = openSync(plan.files[file]!, 'r');
  readSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
  const bits = new DataView(new ArrayBuffer(4));
  const read = (i: number): number => {
    if (dtype === 'F32') return bytes.readFloatLE(4 * i);
    bits.setUint32(0, bytes.readUInt16LE(2 * i) << 16);
    return bits.getFloat32(0);
  };
  return Array.from({ length: count }, (_, row) =>
    Float64Array.from({ length: columns }, (_, column) => read(row * columns + column)),
  );
}

function unit(vector: readonly number[]): readonly number[] {
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

// Fixtures with float16 weights are left out: the reader above knows float32 and bfloat16.
const variants = readdirSync(PARITY, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !['llama-biases', 'gemma3-v4'].includes(entry.name))
  .map(({ name }) => name);

it.each(variants)('pooled states agree with the last hidden states of transformers: %s', (name) => {
  const folder = join(PARITY, name);
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as ExpectedLogits;
  const plan = createModelPlan(folder, {
    blocks: 64,
    threads: 2,
    maxTokens: 256,
    maxSamples: 8,
    maxModelLen: 256,
    kvCacheDtype: 'F32',
    weightDtype: 'F32',
  });
  const source = plan.tensors.find(
    ({ role }) => role === (plan.tieWordEmbeddings ? 'embed_tokens' : 'lm_head'),
  )!;
  const head = readMatrix(plan, source);
  const cap = plan.logitSoftcap;
  for (const isa of native.cpuInfo().available)
    withModel(native, { ...plan, isa } as ModelPlan, (model) => {
      for (const { prompt, rows } of expected.cases) {
        const batch = {
          ...batchOf([{ tokens: prompt, start: 0, blocks: blocksFor(prompt.length, 3, 2), rows: [] }]),
          pooled: rows.length,
          pooledRows: Int32Array.from(rows, ({ row }) => row),
          pooledStates: new Float32Array(rows.length * plan.hiddenSize),
        };
        model.step(batch);
        for (const [i, { logits }] of rows.entries()) {
          const uncapped = cap > 0 ? logits.map((l) => cap * Math.atanh(l / cap)) : logits;
          const reference = unit(stateOf(head, uncapped));
          const found = unit([
            ...batch.pooledStates.subarray(i * plan.hiddenSize, (i + 1) * plan.hiddenSize),
          ]);
          const worst = Math.max(...reference.map((value, c) => Math.abs(value - found[c]!)));
          // Logits of the fixtures have 7 digits; float32 sums of both sides are as in parity.test.ts.
          expect(worst, `${isa}, ${prompt.length} tokens`).toBeLessThan(1e-4);
        }
      }
    });
});
