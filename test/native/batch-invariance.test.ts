import { describe, expect, it } from 'vitest';
import { loadNative } from '../../src/engine/native/load.ts';
import type { ModelPlan, NativeModel } from '../../src/engine/native/native.ts';
import { batchOf, blocksFor, dummyPlan, logitsOf, type Part, prompt, withModel } from './sequences.ts';

const native = loadNative();
const VOCAB = 331;
const LENGTH = 150;

/** Prompt chunk by chunk, then three more tokens one by one: the logits after each chunk's last token. */
function runChunks(model: NativeModel, tokens: readonly number[], chunk: number, blocks: readonly number[]) {
  const seen = new Map<number, Float32Array>();
  const cuts = Array.from({ length: Math.ceil(LENGTH / chunk) }, (_, i) => i * chunk);
  for (const start of [...cuts, LENGTH, LENGTH + 1, LENGTH + 2]) {
    const end = start < LENGTH ? Math.min(start + chunk, LENGTH) : start + 1;
    const part: Part = { tokens: tokens.slice(start, end), start, blocks };
    seen.set(end - 1, logitsOf(model, [part], VOCAB)[0]!);
  }
  return seen;
}

/** All rows at once: the reference that every other way of computing must reproduce bit for bit. */
function runWhole(
  model: NativeModel,
  tokens: readonly number[],
  blocks: readonly number[],
): readonly Float32Array[] {
  const wanted = Array.from({ length: 40 }, (_, i) => tokens.length - 40 + i);
  return logitsOf(model, [{ tokens, start: 0, blocks, rows: wanted }], VOCAB);
}

const plans: readonly (readonly [string, Partial<ModelPlan>])[] = [
  ['float32 weights and cache', {}],
  ['bfloat16 weights and cache', { weightDtype: 'BF16', kvCacheDtype: 'BF16' }],
  ['bfloat16 weights, 8-bit cache', { weightDtype: 'BF16', kvCacheDtype: 'I8' }],
  [
    '8-bit cache of odd heads',
    {
      kvCacheDtype: 'I8',
      heads: 5,
      kvHeads: 5,
      headDim: 20,
      hiddenSize: 72,
      slidingWindows: Int32Array.of(21, 0),
    },
  ],
  [
    'bfloat16 cache of odd heads, sliding windows, a soft cap',
    {
      kvCacheDtype: 'BF16',
      attentionSoftcap: 5,
      heads: 6,
      kvHeads: 2,
      headDim: 20,
      hiddenSize: 72,
      slidingWindows: Int32Array.of(21, 70),
    },
  ],
  ['8-bit weights, bfloat16 cache', { weightDtype: 'I8', kvCacheDtype: 'BF16' }],
  [
    '8-bit weights, sizes that are no multiple of a group',
    { weightDtype: 'I8', heads: 5, kvHeads: 5, headDim: 20, hiddenSize: 72, intermediateSize: 50 },
  ],
  ['long bfloat16 rows', { weightDtype: 'BF16', hiddenSize: 1040, intermediateSize: 1104 }],
  ['long 8-bit rows', { weightDtype: 'I8', hiddenSize: 1040, intermediateSize: 2100 }],
  ['float16 weights, sliding windows', { weightDtype: 'F16', slidingWindows: Int32Array.of(21, 0) }],
  [
    'one query head per kv head, odd sizes',
    { heads: 5, kvHeads: 5, headDim: 20, hiddenSize: 72, intermediateSize: 50 },
  ],
  ['wide groups, qk norm, long rows', { heads: 8, kvHeads: 1, headDim: 64, hiddenSize: 1040, qkNorm: true }],
  [
    'a mixture of experts after a plain layer',
    {
      experts: {
        count: 20,
        perToken: 3,
        intermediateSize: 40,
        renormalizes: true,
        layers: Int32Array.of(0, 1),
      },
    },
  ],
  [
    'soft caps, output norms, GELU, two rotations, a part of each head rotated',
    {
      attentionSoftcap: 5,
      logitSoftcap: 3,
      hasOutputNorms: true,
      activation: 'gelu_tanh',
      rotaryDim: 12,
      ropeInverseFrequencies: Float32Array.from({ length: 12 }, (_, i) => (i < 6 ? 0.5 : 0.03) ** (i % 6)),
      ropeAttentionFactors: Float32Array.of(1, 1.2),
      ropeOfLayer: Int32Array.of(1, 0),
    },
  ],
];

describe.each(native.cpuInfo().available)('the same bits, however a token is computed (%s)', (isa) => {
  const open = (changes: Partial<ModelPlan>) => dummyPlan({ ...changes, isa } as Partial<ModelPlan>);

  it.each(plans)('in chunks of any size and with any number of threads: %s', (_, changes) => {
    const tokens = prompt(LENGTH + 3, 1, VOCAB);
    const blocks = blocksFor(tokens.length, 7, 3);
    const whole = withModel(native, open(changes), (model) => runWhole(model, tokens, blocks));
    for (const threads of [1, 2]) {
      withModel(native, open({ ...changes, threads }), (model) => {
        for (const chunk of [1, 3, 7, 16, 64, LENGTH]) {
          for (const [row, logits] of runChunks(model, tokens, chunk, blocks)) {
            const reference = whole[row - (tokens.length - 40)];
            if (reference !== undefined)
              expectSame(logits, reference, `chunk ${chunk}, row ${row}, threads ${threads}`);
          }
        }
      });
    }
  });

  it.each(plans)('alone or among other sequences, decoding beside prefill: %s', (_, changes) => {
    const sequences = Array.from({ length: 16 }, (_, s) => ({
      tokens: prompt(20 + s * 9, s, VOCAB),
      blocks: blocksFor(180, s * 13),
    }));
    const alone = sequences.map(({ tokens, blocks }) =>
      withModel(native, open(changes), (model) => logitsOf(model, [{ tokens, start: 0, blocks }], VOCAB)[0]!),
    );
    withModel(native, open({ ...changes, threads: 2, maxTokens: 2048 }), (model) => {
      // Even ones decode their last token, odd ones prefill: all in one step.
      const decoding = sequences.filter((_, s) => s % 2 === 0);
      for (const { tokens, blocks } of decoding)
        logitsOf(model, [{ tokens: tokens.slice(0, -1), start: 0, blocks }], VOCAB);
      const parts = sequences.map(({ tokens, blocks }, s) =>
        s % 2 === 0
          ? { tokens: tokens.slice(-1), start: tokens.length - 1, blocks }
          : { tokens, start: 0, blocks },
      );
      for (const [s, logits] of logitsOf(model, parts, VOCAB).entries())
        expectSame(logits, alone[s]!, `sequence ${s}`);
    });
  });

  it('after a prefix hit on blocks that another sequence wrote', () => {
    const shared = prompt(64, 5, VOCAB);
    const tails = [prompt(30, 6, VOCAB), prompt(30, 7, VOCAB)];
    const sharedBlocks = blocksFor(64, 0);
    const cold = tails.map((tail) =>
      withModel(native, open({}), (model) => {
        const blocks = [...sharedBlocks, ...blocksFor(30, 50)];
        return logitsOf(model, [{ tokens: [...shared, ...tail], start: 0, blocks }], VOCAB)[0]!;
      }),
    );
    withModel(native, open({ threads: 3 }), (model) => {
      const first = {
        tokens: [...shared, ...tails[0]!],
        start: 0,
        blocks: [...sharedBlocks, ...blocksFor(30, 20)],
      };
      expectSame(logitsOf(model, [first], VOCAB)[0]!, cold[0]!, 'cold');
      const second = { tokens: tails[1]!, start: 64, blocks: [...sharedBlocks, ...blocksFor(30, 30)] };
      expectSame(logitsOf(model, [second], VOCAB)[0]!, cold[1]!, 'hit');
    });
  });
});

it('AVX-512 and AVX2 give the same bits', ({ skip }) => {
  if (!native.cpuInfo().available.includes('avx512')) skip('this processor has no AVX-512');
  const tokens = prompt(100, 3, VOCAB);
  const run = (isa: string) =>
    withModel(native, dummyPlan({ isa, qkNorm: true, weightDtype: 'BF16' }), (model) =>
      logitsOf(model, [{ tokens, start: 0, blocks: blocksFor(100, 0), rows: [0, 50, 99] }], VOCAB),
    );
  const [wide, narrow] = [run('avx512'), run('avx2')];
  for (const [i, logits] of wide.entries()) expectSame(logits, narrow[i]!, `row ${i}`);
});

it.each(['BF16', 'I8'] as const)(
  'every set whose multiply-add is fused gives the same bits, tiles apart: %s',
  (weightDtype) => {
    const tokens = prompt(100, 3, VOCAB);
    const fused = native
      .cpuInfo()
      .available.filter((isa) => !['portable', 'amx'].includes(isa))
      .filter((isa) => !(weightDtype === 'BF16' && isa === 'avx512_bf16'));
    const [first, ...others] = fused.map((isa) =>
      withModel(native, dummyPlan({ isa, weightDtype, kvCacheDtype: weightDtype }), (model) =>
        logitsOf(model, [{ tokens, start: 0, blocks: blocksFor(100, 0), rows: [0, 50, 99] }], VOCAB),
      ),
    );
    for (const [s, other] of others.entries())
      for (const [i, logits] of other.entries()) expectSame(logits, first![i]!, `${fused[s + 1]}, row ${i}`);
  },
);

it('sampled rows in any order and twice get the same logits', () => {
  withModel(native, dummyPlan(), (model) => {
    const part = { tokens: prompt(20, 3, VOCAB), start: 0, blocks: [4, 9] };
    const [a, b, c] = logitsOf(model, [{ ...part, rows: [19, 3, 19] }], VOCAB);
    expectSame(a!, c!, 'twice');
    expectSame(b!, logitsOf(model, [{ ...part, rows: [3] }], VOCAB)[0]!, 'alone');
  });
});

it('a chunk that samples nothing still fills the cache', () => {
  const tokens = prompt(40, 8, VOCAB);
  const blocks = blocksFor(40, 0);
  const whole = withModel(native, dummyPlan(), (m) => logitsOf(m, [{ tokens, start: 0, blocks }], VOCAB)[0]!);
  withModel(native, dummyPlan(), (model) => {
    model.step(batchOf([{ tokens: tokens.slice(0, 25), start: 0, blocks, rows: [] }]));
    expectSame(logitsOf(model, [{ tokens: tokens.slice(25), start: 25, blocks }], VOCAB)[0]!, whole, 'rest');
  });
});

function expectSame(found: Float32Array, expected: Float32Array, what: string): void {
  const a = Buffer.from(found.buffer, found.byteOffset, found.byteLength);
  const b = Buffer.from(expected.buffer, expected.byteOffset, expected.byteLength);
  if (!a.equals(b)) {
    const at = found.findIndex((value, i) => !Object.is(value, expected[i]));
    expect.fail(`${what}: logit ${at} is ${found[at]}, expected ${expected[at]}`);
  }
  expect(expected.every(Number.isFinite)).toBe(true);
}
