import { afterAll, describe, expect, it } from 'vitest';
import { loadNative } from '../../src/engine/native/load.ts';
import type { StepBatch } from '../../src/engine/native/native.ts';
import { sampleReference } from './sampler-reference.ts';
import { batchOf, dummyPlan, prompt, type Sampling } from './sequences.ts';

const native = loadNative();
const VOCAB = 40;
const ROWS = 64;
const small = native.open(dummyPlan({ vocabSize: VOCAB, threads: 2, maxSamples: ROWS }));
const large = native.open(dummyPlan({ vocabSize: 5003, threads: 2, maxSamples: ROWS }));
afterAll(() => {
  small.close();
  large.close();
});

/** One step that samples the same token row once per sampling. */
function step(
  model: typeof small,
  samplings: readonly Sampling[],
  topStride = 0,
  logits?: Float32Array,
): StepBatch {
  const part = { tokens: [5], start: 0, blocks: [0], rows: samplings.map(() => 0), samplings };
  const batch = batchOf([part], topStride);
  model.step(batch, logits);
  return batch;
}

/** Draws `count` tokens, numbered 0, 1, 2, ... of one seed. */
function draws(sampling: Sampling, count: number): readonly number[] {
  const ids: number[] = [];
  for (let first = 0; first < count; first += ROWS) {
    const rows = Array.from({ length: Math.min(ROWS, count - first) }, (_, i) => ({
      ...sampling,
      draw: first + i,
    }));
    ids.push(...step(small, rows).sampledIds);
  }
  return ids;
}

const raw = new Float32Array(VOCAB);
step(small, [{}], 0, raw);

/** Biases that turn the model's logits into log-probabilities of the given distribution; other ids are banned. */
function distribution(probabilities: readonly number[]): ReadonlyMap<number, number> {
  return new Map(
    Array.from(raw, (logit, id) => {
      const p = probabilities[id] ?? 0;
      return [id, p > 0 ? Math.log(p) - logit : -Infinity];
    }),
  );
}

const distinct = (ids: readonly number[]) => [...new Set(ids)].sort((a, b) => a - b);
const bias = distribution([0.05, 0.5, 0.15, 0.3]);

describe('which tokens can be drawn', () => {
  it.each<readonly [string, Sampling, readonly number[]]>([
    ['all that are not banned', {}, [0, 1, 2, 3]],
    ['top-k keeps the k most likely', { topK: 2 }, [1, 3]],
    ['top-k above the vocabulary keeps all', { topK: 1000 }, [0, 1, 2, 3]],
    ['top-k above what is allowed keeps all that is allowed', { topK: 10 }, [0, 1, 2, 3]],
    ['top-p keeps tokens until the mass before them reaches p', { topP: 0.79 }, [1, 3]],
    ['top-p keeps the token that crosses p', { topP: 0.81 }, [1, 2, 3]],
    ['top-p always keeps the most likely', { topP: 0.001 }, [1]],
    ['top-p counts the mass that top-k left', { topK: 3, topP: 0.52 }, [1]],
    ['min-p keeps at least that share of the greatest probability', { minP: 0.5 }, [1, 3]],
    ['min-p of 1 keeps the most likely', { minP: 1 }, [1]],
    ['a low temperature leaves the most likely', { temperature: 0.02 }, [1]],
  ])('%s', (_, sampling, expected) => {
    expect(distinct(draws({ temperature: 1, bias, seed: 3n, ...sampling }, 640))).toEqual(expected);
  });

  it('equal logits at the k-th place all stay', () => {
    const even = distribution([0.25, 0.25, 0.25, 0.25]);
    // 1e9 swallows the rounding of the logits beneath, so that the four are exactly equal.
    const equal = new Map([...even].map(([id, value]) => [id, value === -Infinity ? value : 1e9]));
    expect(distinct(draws({ temperature: 1, topK: 2, bias: equal }, 640))).toEqual([0, 1, 2, 3]);
  });
});

describe('greedy', () => {
  it('takes the most likely token, the lowest id among equals', () => {
    expect(step(small, [{ bias }]).sampledIds[0]).toBe(1);
    const equal = new Map([
      [31, 1e9],
      [7, 1e9],
      [12, 1e9],
    ]);
    expect(step(small, [{ bias: equal }]).sampledIds[0]).toBe(7);
  });

  it('never takes a banned token, and survives a ban of everything', () => {
    const best = raw.indexOf(Math.max(...raw));
    expect(step(small, [{ bias: new Map([[best, -Infinity]]) }]).sampledIds[0]).not.toBe(best);
    const all = new Map(Array.from(raw, (_, id) => [id, -Infinity]));
    const { sampledIds } = step(small, [{ bias: all }, { bias: all, temperature: 1, topP: 0.9, topK: 3 }]);
    expect(Math.max(...sampledIds)).toBeLessThan(VOCAB);
  });
});

describe('the random numbers', () => {
  it('follow the distribution (chi-square over 19,200 draws)', () => {
    const probabilities = [0.02, 0.4, 0.08, 0.1, 0.15, 0.25];
    const count = 19_200;
    const ids = draws({ temperature: 1, bias: distribution(probabilities), seed: 99n }, count);
    const statistic = probabilities.reduce((sum, p, id) => {
      const found = ids.filter((other) => other === id).length;
      return sum + (found - p * count) ** 2 / (p * count);
    }, 0);
    expect(statistic).toBeLessThan(20.5); // 5 degrees of freedom, p = 0.001; the seed is fixed
  });

  it('temperature flattens it', () => {
    const ids = draws({ temperature: 2, bias: distribution([0.9, 0.1]), seed: 4n }, 6400);
    // Square roots of the probabilities: 0.9487 to 0.3162.
    expect(ids.filter((id) => id === 0).length / 6400).toBeCloseTo(0.75, 1);
  });

  it('are a function of seed and draw alone', () => {
    const sampling = { temperature: 1, bias, seed: 0x1234_5678_9abc_def0n };
    const once = draws(sampling, 200);
    expect(draws(sampling, 200)).toEqual(once);
    expect(step(small, [{ ...sampling, draw: 150 }]).sampledIds[0]).toBe(once[150]);
    expect(draws({ ...sampling, seed: 1n }, 200)).not.toEqual(once);
    expect(draws({ ...sampling, seed: 0x0234_5678_9abc_def0n }, 200)).not.toEqual(once);
  });
});

describe('penalties', () => {
  const history = { prompt: [1, 1, 2], output: [3, 3, 3, 4] };
  it.each<readonly [string, Sampling, (logit: number, id: number) => number]>([
    [
      'repetition divides positive logits of seen tokens, prompt included',
      { repetitionPenalty: 2 },
      (l, id) => ([1, 2, 3, 4].includes(id) ? l / 2 : l),
    ],
    [
      'presence lowers each output token once',
      { presencePenalty: 1.5 },
      (l, id) => ([3, 4].includes(id) ? l - 1.5 : l),
    ],
    [
      'frequency lowers output tokens by their count',
      { frequencyPenalty: 0.5 },
      (l, id) => (id === 3 ? l - 1.5 : id === 4 ? l - 0.5 : l),
    ],
  ])('%s', (_, sampling, expected) => {
    for (const id of [1, 3, 4, 5]) {
      const level = 20;
      // `id` is lifted to a known positive logit; a rival sits just below or above where it should end.
      const lands = expected(level, id);
      for (const [offset, winner] of [
        [-0.01, id],
        [0.01, 9],
      ] as const) {
        const lift = new Map([
          [id, level - raw[id]!],
          [9, lands + offset - raw[9]!],
        ]);
        const found = step(small, [{ ...history, ...sampling, bias: lift }]).sampledIds[0];
        expect(found, `id ${id}, offset ${offset}`).toBe(winner);
      }
    }
  });

  it('repetition multiplies negative logits', () => {
    const lift = new Map(Array.from(raw, (l, id) => [id, (id === 1 ? -2 : id === 9 ? -3.9 : -9) - l]));
    expect(step(small, [{ bias: lift }]).sampledIds[0]).toBe(1);
    expect(step(small, [{ bias: lift, repetitionPenalty: 2, prompt: [1] }]).sampledIds[0]).toBe(9);
  });
});

describe('log-probabilities', () => {
  it('are those of the raw logits, whatever biases and penalties did', () => {
    const logits = new Float32Array(2 * VOCAB);
    const batch = step(small, [{ logprobs: 5 }, { logprobs: 2, bias: new Map([[30, 1e6]]) }], 6, logits);
    const total = Math.log(raw.reduce((sum, l) => sum + Math.exp(l), 0));
    const sorted = Array.from(raw, (logit, id) => ({ logit, id })).sort((a, b) => b.logit - a.logit);
    expect(logits.subarray(VOCAB)).toEqual(raw);
    expect(batch.sampledIds[1]).toBe(30);
    for (const r of [0, 1]) {
      const id = batch.sampledIds[r]!;
      expect(batch.sampledLogprobs[r]).toBeCloseTo(raw[id]! - total, 5);
      expect(batch.sampledRanks[r]).toBe(1 + sorted.findIndex((entry) => entry.id === id));
      for (let i = 0; i < [5, 2][r]!; i++) {
        expect(batch.topIds[r * 6 + i]).toBe(sorted[i]!.id);
        expect(batch.topLogprobs[r * 6 + i]).toBeCloseTo(sorted[i]!.logit - total, 5);
      }
    }
  });
});

it('agrees with a plain definition on random settings over 5,003 tokens', () => {
  const logits = new Float32Array(5003);
  step(large, [{}], 0, logits);
  const pick = <T>(values: readonly T[], i: number) => values[i % values.length]!;
  const samplings = Array.from(
    { length: 320 },
    (_, i): Sampling => ({
      temperature: pick([0.3, 0.7, 1, 1.5], i),
      topK: pick([0, 0, 1, 20, 300, 4000], Math.floor(i / 4)),
      topP: pick([1, 0.95, 0.5, 0.1], Math.floor(i / 3)),
      minP: pick([0, 0, 0.05, 0.4], Math.floor(i / 7)),
      repetitionPenalty: pick([1, 1.2], Math.floor(i / 5)),
      frequencyPenalty: pick([0, 0.3], Math.floor(i / 11)),
      presencePenalty: pick([0, -0.4], Math.floor(i / 13)),
      seed: BigInt(i) * 7919n - 5n,
      draw: i,
      prompt: prompt(30, i, 5003),
      output: prompt(20, i + 1, 60),
      // Sharpens the flat logits of random weights: every 17th token stands out.
      bias: new Map(Array.from({ length: 200 }, (_, b) => [b * 17 + (i % 17), (b % 13) * 0.6])),
    }),
  );
  const mismatches = [];
  for (let first = 0; first < samplings.length; first += ROWS) {
    const rows = samplings.slice(first, first + ROWS);
    const found = step(large, rows).sampledIds;
    for (const [i, sampling] of rows.entries()) {
      const expected = sampleReference([...logits], sampling);
      if (found[i] !== expected) mismatches.push({ row: first + i, found: found[i], expected });
    }
  }
  expect(mismatches).toEqual([]);
});
