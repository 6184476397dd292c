import { beforeAll, describe, expect, it } from 'vitest';
import { loadNative } from '../../src/engine/native/load.ts';
import type { ModelPlan, NativeModel, NativeModule, StepBatch } from '../../src/engine/native/native.ts';
import { emulatedLibrary, hasCompiler } from './cuda/emulated-library.ts';
import { batchOf, blocksFor, dummyPlan, type Part, prompt, type Sampling } from './sequences.ts';

const vocab = 331;
const steps = 14;
/** Tokens of the three prompts: the caches of two of them are split on a GPU, one grows past that. */
const promptLengths = [20, 250, 258];
const topStride = 3;

interface Backend {
  readonly name: string;
  readonly open: NativeModule['open'];
  readonly changes: Partial<ModelPlan>;
}

let emulated: Pick<NativeModule, 'open'>;
const native = loadNative();
const backends: readonly Backend[] = [
  { name: 'the CPU', open: (plan) => native.open(plan), changes: { threads: 2 } },
  ...(hasCompiler
    ? [
        {
          name: 'the emulated GPU, whose streams run as late as they may',
          open: (plan: ModelPlan) => emulated.open(plan),
          changes: { weightDtype: 'BF16', kvCacheDtype: 'BF16' } as const,
        },
      ]
    : []),
];

beforeAll(async () => {
  if (hasCompiler) emulated = native.openBackend(await emulatedLibrary());
}, 600_000);

/** Which sequences a step has: they come, pause and change places. */
function activeIn(step: number): readonly number[] {
  if (step === 5) return [2, 0];
  return step % 4 === 3 ? [1, 2, 0] : [0, 1, 2];
}

/** Greedy, with penalties over what has been written, and sampled; log-probabilities from the seventh step on. */
function samplingOf(sequence: number, step: number, output: readonly number[]): Sampling {
  const wanted = step > 6 ? { logprobs: topStride } : {};
  if (sequence === 0) return wanted;
  if (sequence === 1)
    return { ...wanted, prompt: prompt(promptLengths[1]!, 1, vocab), output, frequencyPenalty: 1.5 };
  return { ...wanted, temperature: 0.9, seed: 77n, draw: step };
}

interface Written {
  readonly ids: readonly number[];
  readonly logprobs: readonly number[];
}

/** Decodes three sequences; with `isAsync` each step is launched before the one before it is waited for. */
function write(model: NativeModel, isAsync: boolean): Written {
  const blocksOf = (sequence: number) => blocksFor(288, sequence * 20);
  const outputs: number[][] = [[], [], []];
  const logprobs: number[] = [];
  const inFlight: { readonly batch: StepBatch; readonly active: readonly number[] }[] = [];
  const wait = () => {
    const { batch, active } = inFlight.shift()!;
    model.wait(batch);
    for (const [sample, sequence] of active.entries()) {
      const at = outputs[sequence]!.findIndex((id) => id < 0);
      outputs[sequence]![at] = batch.sampledIds[sample]!;
    }
    logprobs.push(...batch.sampledLogprobs, ...batch.topLogprobs, ...batch.topIds);
  };
  const launch = (parts: readonly Part[], active: readonly number[], keepsTables: boolean) => {
    const batch = batchOf(parts, parts[0]!.samplings?.[0]?.logprobs === undefined ? 0 : topStride);
    for (const [index, sequence] of active.entries()) batch.tableRows[index] = sequence;
    model.launch(keepsTables ? { ...batch, tableDeltaCount: 0 } : batch);
    // A wait for the step before must not find this one's placeholders.
    if (inFlight.length > 0) wait();
    for (const [sample, sequence] of active.entries()) outputs[sequence]!.push(-1 - sample);
    inFlight.push({ batch, active });
    if (!isAsync) wait();
  };
  const all = [0, 1, 2];
  const prompts = all.map((sequence) => ({
    tokens: prompt(promptLengths[sequence]!, sequence, vocab),
    start: 0,
    blocks: blocksOf(sequence),
    samplings: [samplingOf(sequence, 0, [])],
  }));
  launch(prompts, all, false);
  for (let step = 1; step < steps; step++) {
    const active = activeIn(step);
    const parts = active.map((sequence) => ({
      tokens: [outputs[sequence]!.at(-1)!],
      start: promptLengths[sequence]! + outputs[sequence]!.length - 1,
      blocks: blocksOf(sequence),
      samplings: [samplingOf(sequence, step, outputs[sequence]!)],
    }));
    launch(parts, active, true);
  }
  while (inFlight.length > 0) wait();
  return { ids: outputs.flat(), logprobs };
}

describe.each(backends)('steps that are launched and waited for on $name', ({ open, changes }) => {
  const plan = dummyPlan({ maxTokens: 600, ...changes });
  const withModel = <T>(use: (model: NativeModel) => T): T => {
    const model = open(plan);
    try {
      return use(model);
    } finally {
      model.close();
    }
  };

  it('write the same with two in flight as one by one, bit for bit', () => {
    const expected = withModel((model) => write(model, false));
    const found = withModel((model) => write(model, true));
    expect(found).toEqual(expected);
    expect(expected.ids).toHaveLength(3 * steps - 1);
    expect(Math.min(...expected.ids)).toBeGreaterThanOrEqual(0);
    expect(new Set(expected.ids).size).toBeGreaterThan(10);
  });

  it('find the blocks that earlier steps have told of, and those that have changed since', () => {
    const tokens = prompt(60, 4, vocab);
    const last = (model: NativeModel, deltas: Int32Array | undefined, blocks: readonly number[]) => {
      const batch = batchOf([{ tokens: tokens.slice(40), start: 40, blocks }]);
      const told = deltas && { tableDeltas: deltas, tableDeltaCount: deltas.length / 3 };
      const logits = new Float32Array(vocab);
      model.step({ ...batch, ...told }, logits);
      return logits;
    };
    const first = (model: NativeModel, blocks: readonly number[]) =>
      model.step(batchOf([{ tokens: tokens.slice(0, 40), start: 0, blocks, rows: [] }]));
    const whole = withModel((model) => {
      first(model, [3, 9, 4]);
      return last(model, undefined, [3, 9, 4, 5]);
    });
    const grown = withModel((model) => {
      first(model, [3, 9, 4]);
      return last(model, Int32Array.of(0, 3, 5), [3, 9, 4, 5]);
    });
    const swapped = withModel((model) => {
      first(model, [7, 8, 4]);
      first(model, [3, 9, 4]);
      first(model, [7, 8, 4]);
      return last(model, Int32Array.of(0, 0, 3, 0, 1, 9, 0, 3, 5), [3, 9, 4, 5]);
    });
    expect(grown).toEqual(whole);
    expect(swapped).toEqual(whole);
  });

  it('are given up when the model is closed', () => {
    const model = open(plan);
    const batch = batchOf([{ tokens: prompt(30, 1, vocab), start: 0, blocks: blocksFor(30, 2) }]);
    model.launch(batch);
    model.launch({ ...batch, tableDeltaCount: 0 });
    model.close();
    expect(() => model.wait(batch)).toThrow(/the model is closed/);
  });
});
