import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { createModelPlan } from '../../src/engine/model/model-plan.ts';
import { loadNative } from '../../src/engine/native/load.ts';
import type { ModelPlan, NativeBackend, NativeModel } from '../../src/engine/native/native.ts';
import { emulatedLibrary, hasCompiler } from './cuda/emulated-library.ts';
import { differences, type ExpectedLogits, rootMeanSquare } from './expected-logits.ts';
import {
  batchOf,
  blocksFor,
  dummyPlan,
  logitsOf,
  type Part,
  prompt,
  type Sampling,
  withModel,
} from './sequences.ts';

/** Models of every architecture, see test/fixtures/make-parity-fixtures.py. */
const parity = join(import.meta.dirname, '../fixtures/parity');
const parityFixtures = readdirSync(parity, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);
/** Models that amplify rounding, on the CPU with the same dtypes alike (5.5e-2 and 3.2e-2). */
const AMPLIFICATION: Readonly<Record<string, number>> = { 'phi3-long': 5, 'llama-biases': 1.5 };
const build = join(import.meta.dirname, '../../build');
const native = loadNative();
let backend: NativeBackend;

/** Of the program that checks the kernels: it runs beside the tests of this process, and is judged last. */
let checks: Promise<string>;

beforeAll(async () => {
  if (!hasCompiler) return;
  backend = native.openBackend(await emulatedLibrary());
  checks = outputOf(join(build, 'cuda-check.emulated'));
}, 600_000);

describe.skipIf(!hasCompiler)('the CUDA backend, emulated', () => {
  it('names its device', () => {
    expect(backend).toMatchObject({ name: 'emulated on the CPU', computeCapability: '9.0' });
    expect(backend.freeBytes).toBeGreaterThan(0);
  });

  describe.each(shapes())('a model with $name', ({ plan }) => {
    it('gives the logits of the CPU backend, in one step or in chunks, alone or in a batch', () => {
      const vocab = plan.vocabSize;
      const tokens = prompt(90, 7, vocab);
      const blocks = blocksFor(120, 3, 2);
      const other: Part = { tokens: prompt(40, 8, vocab), start: 0, blocks: blocksFor(40, 100) };
      const chunks = (model: NativeModel) => [
        ...logitsOf(model, [{ tokens: tokens.slice(0, 37), start: 0, blocks, rows: [] }, other], vocab),
        ...logitsOf(model, [{ tokens: tokens.slice(37, 42), start: 37, blocks }], vocab),
        ...logitsOf(model, [{ tokens: tokens.slice(42, 89), start: 42, blocks, rows: [3, 46] }], vocab),
        ...logitsOf(model, [{ tokens: tokens.slice(89), start: 89, blocks }], vocab),
      ];
      const [expected, found] = onBoth(plan, chunks);
      expect(found).toHaveLength(expected.length);
      for (const [i, logits] of expected.entries())
        expect(differenceOf(found[i]!, logits)).toBeLessThan(TOLERANCE);
    });
  });

  it('gives them with its plain kernels, too', () => {
    const { plan } = shapes()[0];
    const tokens = prompt(90, 7, plan.vocabSize);
    const part = { tokens, start: 0, blocks: blocksFor(90, 3, 2), rows: [0, 70, 89] };
    const steps = (model: NativeModel) => logitsOf(model, [part], plan.vocabSize);
    const expected = withModel(native, plan, steps);
    const best = withModel(backend, plan, steps);
    const plain = withModel(backend, { ...plan, isa: 'plain' }, steps);
    for (const [i, logits] of expected.entries())
      expect(differenceOf(plain[i]!, logits)).toBeLessThan(TOLERANCE);
    expect(plain).not.toEqual(best); // other sums
  });

  // As in parity.test.ts: the logits that transformers computed in float32; here weights, activations and the cache are
  // rounded to bfloat16, so whole rows are compared.
  it.each(parityFixtures)('gives the logits of transformers for %s', (name) => {
    const folder = join(parity, name);
    const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as ExpectedLogits;
    const plan = createModelPlan(folder, {
      ...{ blocks: 64, threads: 1, maxTokens: 256, maxSamples: 8, maxModelLen: 256 },
      ...{ weightDtype: 'BF16', kvCacheDtype: 'BF16' },
    });
    const measured = differences(backend, plan, expected, rootMeanSquare);
    expect(measured.length).toBeGreaterThan(0);
    expect(Math.max(...measured)).toBeLessThan(TOLERANCE * (AMPLIFICATION[name] ?? 1));
  });

  it('repeats a decoding step from a graph, with batches that change', () => {
    const plan = shapes()[0].plan;
    const [expected, found] = onBoth(plan, (model) => {
      const vocab = plan.vocabSize;
      // Caches of more than 256 tokens are split: some grow past that here.
      const start = (s: number) => 246 + s * 6;
      const blocksOf = (s: number) => blocksFor(288, s * 20);
      for (const s of [0, 1, 2])
        model.step(
          batchOf([{ tokens: prompt(start(s), s, vocab), start: 0, blocks: blocksOf(s), rows: [] }]),
        );
      const rows: Float32Array[] = [];
      const computed = [start(0), start(1), start(2)];
      for (let step = 0; step < 6; step++) {
        const active = step === 3 ? [2, 0] : [0, 1, 2];
        const parts = active.map((s) => ({
          tokens: [(17 * step + s) % vocab],
          start: computed[s]!++,
          blocks: blocksOf(s),
          samplings: [{ logprobs: 4 }],
        }));
        const batch = batchOf(parts, 4);
        model.step(batch);
        rows.push(Float32Array.from(batch.topLogprobs), Float32Array.from(batch.sampledLogprobs));
      }
      return rows;
    });
    for (const [i, logprobs] of expected.entries())
      expect(differenceOf(found[i]!, logprobs)).toBeLessThan(TOLERANCE);
  });

  it('repeats a graph with lists of other lengths than it was recorded with', () => {
    const plan = gpuPlan({ tieWordEmbeddings: false });
    const [expected, found] = onBoth(plan, (model) => {
      const vocab = plan.vocabSize;
      const blocks = blocksFor(64, 3);
      model.step(batchOf([{ tokens: prompt(20, 1, vocab), start: 0, blocks, rows: [] }]));
      // Plain steps until the graph is recorded; then a history of some length, a bias that decides, and both.
      const past = prompt(150, 2, vocab);
      const biased = { bias: new Map([[7, 100]]) };
      const samplings: readonly Sampling[] = [
        ...[{}, {}, {}, {}],
        ...[
          biased,
          { presencePenalty: 0.5, output: past },
          { ...biased, presencePenalty: 0.5, output: past },
        ],
      ];
      return samplings.map((sampling, i) => {
        const batch = batchOf([{ tokens: [(31 * i) % vocab], start: 20 + i, blocks, samplings: [sampling] }]);
        model.step(batch);
        return batch.sampledIds[0]!;
      });
    });
    expect(expected[4]).toBe(7);
    expect(expected[6]).toBe(7);
    expect(found).toEqual(expected);
  });

  it('keeps keys and values as e4m3, at the cost of their precision', () => {
    const [{ plan }] = shapes();
    const steps = (model: NativeModel) => {
      const tokens = prompt(80, 5, plan.vocabSize);
      const blocks = blocksFor(81, 2, 3);
      return [
        ...logitsOf(model, [{ tokens: tokens.slice(0, 79), start: 0, blocks }], plan.vocabSize),
        ...logitsOf(model, [{ tokens: tokens.slice(79), start: 79, blocks }], plan.vocabSize),
      ];
    };
    const expected = withModel(native, plan, steps);
    const found = withModel(backend, { ...plan, kvCacheDtype: 'F8_E4M3' }, steps);
    // Three bits of mantissa: a key or value is off by up to 1/16.
    for (const [i, logits] of expected.entries()) {
      expect(differenceOf(found[i]!, logits)).toBeLessThan(0.1);
      expect(differenceOf(found[i]!, logits)).toBeGreaterThan(0);
    }
  });

  it('holds weights as e4m3, half the bytes at the cost of their precision', () => {
    const plan = gpuPlan({ vocabSize: 64, maxTokens: 520 });
    const steps = (model: NativeModel) => {
      // A chunk that is long enough for weights to be expanded, one of the own kernel, one of decoding.
      const tokens = prompt(616, 5, plan.vocabSize);
      const blocks = blocksFor(617, 2, 3);
      const part = (from: number, to: number) => ({ tokens: tokens.slice(from, to), start: from, blocks });
      const parts = [part(0, 515), part(515, 615), part(615, 616)];
      return {
        logits: parts.flatMap((each) => logitsOf(model, [each], plan.vocabSize)),
        weights: model.memory().weights,
      };
    };
    const [, bf16] = onBoth(plan, steps);
    const fp8 = withModel(backend, { ...plan, weightDtype: 'F8_E4M3' }, steps);
    expect(fp8.weights).toBeLessThan(0.65 * bf16.weights); // embeddings and head stay
    for (const [i, logits] of bf16.logits.entries()) {
      // Weights are off by up to 1/16 and by 1/40 in the root of the mean square, independently in each of two layers.
      const difference = rootMeanSquare([...logits], fp8.logits[i]!);
      expect(difference).toBeLessThan(0.1);
      expect(difference).toBeGreaterThan(0.005);
    }
  });

  it('returns hidden states of the rows that are pooled', () => {
    const plan = shapes()[0].plan;
    const [expected, found] = onBoth(plan, (model) => {
      const pooledStates = new Float32Array(2 * plan.hiddenSize);
      const parts = [
        { tokens: prompt(30, 3, plan.vocabSize), start: 0, blocks: blocksFor(30, 0), rows: [4] },
      ];
      model.step({ ...batchOf(parts), pooled: 2, pooledRows: Int32Array.of(29, 11), pooledStates });
      return [pooledStates];
    });
    expect(differenceOf(found[0]!, expected[0]!)).toBeLessThan(TOLERANCE);
  });

  it.each([
    [{ weightDtype: 'F32' as const }, /holds weights as bfloat16 or fp8; use --quantization fp8 or none/],
    [
      { weightDtype: 'F8_E4M3' as const, intermediateSize: 104 },
      /with --quantization fp8 .* multiples of 16/,
    ],
    [{ kvCacheDtype: 'F32' as const }, /KV cache as bfloat16 or fp8/],
    [{ adapterSlots: 1, maxAdapterRank: 4 }, /LoRA adapters do not run on it/],
    [{ heads: 34, kvHeads: 2 }, /17 query heads per kv head are more than its 16/],
    [{ intermediateSize: 100 }, /must be multiples of 8/],
    [{ isa: 'sse2' }, /no kernels called sse2, but own and plain/],
    [{ blocks: 1_000_000_000 }, /MiB free, \d+ MiB more are needed: lower --gpu-memory-utilization/],
  ])('refuses %j with what to change', (changes, message) => {
    expect(() => backend.open(gpuPlan(changes))).toThrow(message);
  });

  it('gives all memory back when a model is closed', () => {
    const { freeBytes } = native.openBackend(join(build, 'pointsman_cuda.emulated.so'));
    const model = backend.open(gpuPlan());
    expect(model.memory().weights).toBeGreaterThan(0);
    expect(native.openBackend(join(build, 'pointsman_cuda.emulated.so')).freeBytes).toBeLessThan(freeBytes);
    model.close();
    expect(native.openBackend(join(build, 'pointsman_cuda.emulated.so')).freeBytes).toBe(freeBytes);
  });

  it('has kernels that agree with their plain twins, whatever the order of threads and copies', async () => {
    const output = await checks;
    expect(output.split('\n').filter((line) => line.startsWith('FAILED'))).toEqual([]);
    expect(output).toMatch(/\n[1-9]\d* passed, 0 failed\n$/);
  }, 900_000);
});

describe('the programs for a device', () => {
  it.skipIf(!hasCompiler)('time every kernel, if on the emulation to no purpose', () => {
    const output = execFileSync(join(build, 'cuda-bench.emulated'), ['--tiny'], { encoding: 'utf8' });
    for (const kernel of [
      'decode attention',
      'prefill attention',
      'gemm',
      'rms norm',
      'silu gate',
      'sample greedily',
    ])
      expect(output).toMatch(new RegExp(`\\| ${kernel}.* \\| \\d+\\.\\d \\|`));
  });

  it.each([
    [['--only', 'check,kernel'], /there is no stage kernel; see --help/],
    [['--minutes'], /--minutes needs a value/],
    [['--fast'], /unknown argument --fast/],
  ])('refuse %j', (arguments_, message) => {
    const { status, stderr } = spawnSync(join(build, '../bench/cuda/run'), arguments_, { encoding: 'utf8' });
    expect(stderr).toMatch(message);
    expect(status).toBe(1);
  });

  it.skipIf(spawnSync('nvidia-smi').status === 0)('say plainly that there is no GPU', () => {
    const { status, stderr } = spawnSync(join(build, '../bench/cuda/run'), { encoding: 'utf8' });
    expect(stderr).toMatch(/no GPU here/);
    expect(status).toBe(2);
  });
});

describe('a library that is not a backend', () => {
  it('is refused with the reason', () => {
    expect(() => native.openBackend('/nowhere/libcuda-backend.so')).toThrow(/it cannot be opened/);
    const addon = join(build, 'pointsman_native.node');
    expect(() => native.openBackend(addon)).toThrow(/does not export pm_abi_version|cannot be opened/);
  });
});

/** What it prints, however it ends. */
function outputOf(program: string): Promise<string> {
  return new Promise((resolve) => {
    execFile(program, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
}

/** Activations are bfloat16 on the GPU and float32 on the CPU: a relative 2^-9 a product, over a few layers. */
const TOLERANCE = 0.03;

function gpuPlan(changes: Partial<ModelPlan> = {}): ModelPlan {
  return dummyPlan({ weightDtype: 'BF16', kvCacheDtype: 'BF16', ...changes });
}

function shapes(): readonly [Shape, ...Shape[]] {
  const frequencies = (headDim: number) =>
    Float32Array.from({ length: headDim / 2 }, (_, i) => 10_000 ** ((-2 * i) / headDim));
  return [
    { name: 'tied embeddings', plan: gpuPlan() },
    {
      name: 'norms of q and k, as Qwen3',
      plan: gpuPlan({ qkNorm: true, tieWordEmbeddings: false, hiddenSize: 200 }),
    },
    {
      name: 'windows, softcaps and norms of outputs, as Gemma 2',
      plan: gpuPlan({
        hasOutputNorms: true,
        activation: 'gelu_tanh',
        normOffset: 1,
        embeddingScale: 8,
        attentionSoftcap: 5,
        logitSoftcap: 3,
        slidingWindows: Int32Array.of(32, 0),
        headDim: 128,
        ropeInverseFrequencies: frequencies(128),
        rotaryDim: 128,
      }),
    },
    {
      name: 'partial rotation and heads of 96',
      plan: gpuPlan({ headDim: 96, rotaryDim: 48, ropeInverseFrequencies: frequencies(48) }),
    },
  ];
}

interface Shape {
  readonly name: string;
  readonly plan: ModelPlan;
}

/** Runs the same on the CPU backend and on this one. */
function onBoth<T>(plan: ModelPlan, run: (model: NativeModel) => T): readonly [T, T] {
  const results = [native, backend].map(({ open }) => {
    const model = open(plan);
    try {
      return run(model);
    } finally {
      model.close();
    }
  });
  return [results[0]!, results[1]!];
}

/** Largest difference over the largest value. */
function differenceOf(found: Float32Array, expected: Float32Array): number {
  let difference = 0;
  let most = 1e-30;
  for (const [i, value] of expected.entries()) {
    if (!Number.isFinite(found[i]!)) return Number.POSITIVE_INFINITY;
    difference = Math.max(difference, Math.abs(found[i]! - value));
    most = Math.max(most, Math.abs(value));
  }
  return difference / most;
}
