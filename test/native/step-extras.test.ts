import { describe, expect, it } from 'vitest';
import { loadNative } from '../../src/engine/native/load.ts';
import type { StepBatch } from '../../src/engine/native/native.ts';
import { batchOf, blocksFor, dummyPlan, logitsOf, prompt, withModel } from './sequences.ts';

const native = loadNative();
const VOCAB = 331;
const WORDS = Math.ceil(VOCAB / 32);
const tokens = prompt(40, 1, VOCAB);
const whole = { tokens, start: 0, blocks: blocksFor(40, 2) };

function greedy(batch: StepBatch): readonly number[] {
  withModel(native, dummyPlan(), (model) => model.step(batch));
  return [...batch.sampledIds];
}

describe('a mask', () => {
  it('leaves the row that has it to the tokens of its bits, and other rows alone', () => {
    const part = { ...whole, rows: [10, 20, 30] };
    const free = greedy(batchOf([part]));
    const masks = new Uint32Array(2 * WORDS);
    for (const id of [7, 40, 330]) masks[WORDS + (id >>> 5)]! |= 1 << (id & 31);
    masks.fill(0xffffffff, 0, WORDS);
    const maskOf = Int32Array.of(-1, 1, 0);
    const held = greedy({ ...batchOf([part]), maskOf, masks, maskCount: 2 });
    expect([held[0], held[2]]).toEqual([free[0], free[2]]);
    const row = withModel(native, dummyPlan(), (model) => logitsOf(model, [part], VOCAB))[1]!;
    const best = [7, 40, 330].reduce((a, b) => (row[b]! > row[a]! ? b : a));
    expect(held[1]).toBe(best);
    expect(best).not.toBe(free[1]);
  });

  it('is refused, by name, if it is shorter than the vocabulary or its index is none', () => {
    const batch = batchOf([whole]);
    const maskOf = Int32Array.of(0);
    const masks = new Uint32Array(WORDS - 1);
    expect(() => greedy({ ...batch, maskOf, masks, maskCount: 1 })).toThrow(/masks has 10 .* needs 11/);
    expect(() =>
      greedy({ ...batch, maskOf: Int32Array.of(1), masks: new Uint32Array(WORDS), maskCount: 1 }),
    ).toThrow(/maskOf\[0\] is 1, expected 0 to 0/);
  });
});

describe('a forced token', () => {
  it('is reported with its log-probability and rank, whatever the sampling says', () => {
    const rows = [3, 17, 39];
    const samplings = rows.map(() => ({ logprobs: 5, temperature: 1.3, seed: 5n }));
    const batch = { ...batchOf([{ ...whole, rows, samplings }], 5), forcedIds: Int32Array.of(-1, 99, 5) };
    const logits = withModel(native, dummyPlan(), (model) => {
      const raw = new Float32Array(rows.length * VOCAB);
      model.step(batch, raw);
      return raw;
    });
    expect([...batch.sampledIds].slice(1)).toEqual([99, 5]);
    for (const r of [1, 2]) {
      const row = [...logits.subarray(r * VOCAB, (r + 1) * VOCAB)];
      const most = Math.max(...row);
      const normalizer = most + Math.log(row.reduce((sum, l) => sum + Math.exp(l - most), 0));
      const own = row[batch.sampledIds[r]!]!;
      expect(batch.sampledLogprobs[r]).toBeCloseTo(own - normalizer, 4);
      expect(batch.sampledRanks[r]).toBe(1 + row.filter((l) => l > own).length);
      expect(batch.topLogprobs[r * 5]).toBeCloseTo(most - normalizer, 4);
    }
  });

  it('outside the vocabulary is refused', () => {
    expect(() => greedy({ ...batchOf([whole]), forcedIds: Int32Array.of(VOCAB) })).toThrow(
      /forcedIds\[0\] is 331, expected 0 to 330/,
    );
  });
});

describe('a pooled row', () => {
  const hidden = 64;
  const pool = (rows: readonly number[], sampled: readonly number[], threads = 1) => {
    const batch = {
      ...batchOf([{ ...whole, rows: sampled }]),
      pooled: rows.length,
      pooledRows: Int32Array.from(rows),
      pooledStates: new Float32Array(rows.length * hidden),
    };
    withModel(native, dummyPlan({ threads }), (model) => model.step(batch));
    return { states: batch.pooledStates, ids: [...batch.sampledIds] };
  };

  it('gives its state after the final norm, the same beside sampled rows and alone', () => {
    const alone = pool([39], []).states;
    const beside = pool([12, 39], [5, 39], 2);
    expect(beside.states.subarray(hidden)).toEqual(alone);
    expect(beside.ids).toEqual(greedy(batchOf([{ ...whole, rows: [5, 39] }])));
    // A norm with weights 1 leaves a mean square of 1.
    const meanSquare = alone.reduce((sum, x) => sum + x * x, 0) / hidden;
    expect(meanSquare).toBeCloseTo(1, 3);
  });

  it('counts with the samples', () => {
    const rows = Array.from({ length: 64 }, (_, i) => i % 40);
    expect(() => pool(rows, [5])).toThrow(/pooled is 64, expected 0 to 63/);
    expect(() => pool([40], [])).toThrow(/pooledRows\[0\] is 40, expected 0 to 39/);
  });
});
