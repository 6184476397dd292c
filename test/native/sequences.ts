import type { ModelPlan, NativeModel, NativeModule, StepBatch } from '../../src/engine/native/native.ts';
import {
  SAMPLING_FLOATS,
  SAMPLING_INTS,
  SamplingFloat,
  SamplingInt,
  TABLE_DELTA_INTS,
} from '../../src/engine/native/native.ts';

/** A plan with random weights, small enough for tests. */
export function dummyPlan(changes: Partial<ModelPlan> = {}): ModelPlan {
  const headDim = changes.headDim ?? 32;
  const layers = changes.layers ?? 2;
  return {
    hiddenSize: 64,
    layers,
    heads: 6,
    kvHeads: 2,
    headDim,
    intermediateSize: 112,
    vocabSize: 331,
    rmsNormEps: 1e-6,
    ropeInverseFrequencies: Float32Array.from(
      { length: headDim / 2 },
      (_, i) => 10_000 ** ((-2 * i) / headDim),
    ),
    rotaryDim: headDim,
    ropeAttentionFactors: Float32Array.of(1),
    ropeOfLayer: new Int32Array(layers),
    slidingWindows: new Int32Array(layers),
    qkNorm: false,
    hasOutputNorms: false,
    normOffset: 0,
    embeddingScale: 1,
    attentionScale: 1 / Math.sqrt(headDim),
    attentionSoftcap: 0,
    logitSoftcap: 0,
    activation: 'silu',
    tieWordEmbeddings: true,
    files: [],
    tensors: [],
    dummySeed: 42,
    weightDtype: 'F32',
    kvCacheDtype: 'F32',
    blockSize: 16,
    blocks: 256,
    threads: 1,
    maxTokens: 512,
    maxSamples: 64,
    maxSequences: 64,
    maxSequenceBlocks: 64,
    ...changes,
  };
}

/** Sampling of one row; everything off unless given. */
export interface Sampling {
  readonly temperature?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly topK?: number;
  readonly seed?: bigint;
  readonly draw?: number;
  readonly logprobs?: number;
  readonly prompt?: readonly number[];
  readonly output?: readonly number[];
  readonly bias?: ReadonlyMap<number, number>;
}

/** Tokens of one sequence to compute in a step, and the rows (relative to them) to sample. */
export interface Part {
  readonly tokens: readonly number[];
  /** Position of the first token. */
  readonly start: number;
  readonly blocks: readonly number[];
  /** Slot of its adapter. */
  readonly adapter?: number;
  readonly rows?: readonly number[];
  /** One per row of `rows`, in order; rows beyond are greedy. */
  readonly samplings?: readonly Sampling[];
}

/** Lays parts out as one step, each with a whole block table of its own. */
export function batchOf(parts: readonly Part[], topStride = 0): StepBatch {
  const tokens = parts.reduce((sum, part) => sum + part.tokens.length, 0);
  const picks = parts.flatMap((part, p) =>
    (part.rows ?? [part.tokens.length - 1]).map((row, i) => ({
      p,
      row,
      sampling: part.samplings?.[i] ?? {},
    })),
  );
  const deltas = parts.flatMap((part, row) => tableDeltas(row, part.blocks));
  const queryStarts = boundsOf(parts.map((part) => part.tokens));
  const histories = picks.map(({ sampling }) => [...(sampling.prompt ?? []), ...(sampling.output ?? [])]);
  const biases = picks.map(({ sampling }) => [...(sampling.bias ?? [])]);
  const batch: StepBatch = {
    tokens,
    sequences: parts.length,
    samples: picks.length,
    tokenIds: Int32Array.from(parts.flatMap((part) => part.tokens)),
    positions: Int32Array.from(parts.flatMap((part) => part.tokens.map((_, i) => part.start + i))),
    slotMapping: Int32Array.from(
      parts.flatMap((part) => part.tokens.map((_, i) => slotOf(part, part.start + i))),
    ),
    queryStarts,
    tableRows: Int32Array.from(parts.keys()),
    tableDeltas: Int32Array.from(deltas),
    tableDeltaCount: deltas.length / TABLE_DELTA_INTS,
    adapters: Int32Array.from(parts.map(({ adapter }) => adapter ?? -1)),
    sampleRows: Int32Array.from(picks.map(({ p, row }) => queryStarts[p]! + row)),
    samplingFloats: new Float32Array(picks.length * SAMPLING_FLOATS),
    samplingInts: new Int32Array(picks.length * SAMPLING_INTS),
    history: Int32Array.from(histories.flat()),
    biasStarts: boundsOf(biases),
    biasIds: Int32Array.from(biases.flat().map(([id]) => id)),
    biasValues: Float32Array.from(biases.flat().map(([, value]) => value)),
    sampledIds: new Int32Array(picks.length),
    sampledLogprobs: new Float32Array(picks.length),
    sampledRanks: new Int32Array(picks.length),
    topStride,
    topIds: new Int32Array(picks.length * topStride),
    topLogprobs: new Float32Array(picks.length * topStride),
  };
  let historyStart = 0;
  for (const [r, { sampling }] of picks.entries()) {
    writeSampling(batch, r, sampling, historyStart);
    historyStart += histories[r]!.length;
  }
  return batch;
}

/** What makes a row of the block tables these blocks, whatever it was. */
export function tableDeltas(row: number, blocks: readonly number[]): readonly number[] {
  return [row, 0, -1, ...blocks.flatMap((block, column) => [row, column, block])];
}

/** `[0, a, a + b, ...]` for lists of lengths a, b, ... */
function boundsOf(lists: readonly (readonly unknown[])[]): Int32Array {
  const bounds = new Int32Array(lists.length + 1);
  for (const [i, list] of lists.entries()) bounds[i + 1] = bounds[i]! + list.length;
  return bounds;
}

function slotOf(part: Part, position: number): number {
  return part.blocks[Math.floor(position / 16)]! * 16 + (position % 16);
}

function writeSampling(batch: StepBatch, row: number, s: Sampling, historyStart: number): void {
  const floats = batch.samplingFloats.subarray(row * SAMPLING_FLOATS);
  floats[SamplingFloat.Temperature] = s.temperature ?? 0;
  floats[SamplingFloat.TopP] = s.topP ?? 1;
  floats[SamplingFloat.MinP] = s.minP ?? 0;
  floats[SamplingFloat.RepetitionPenalty] = s.repetitionPenalty ?? 1;
  floats[SamplingFloat.PresencePenalty] = s.presencePenalty ?? 0;
  floats[SamplingFloat.FrequencyPenalty] = s.frequencyPenalty ?? 0;
  const ints = batch.samplingInts.subarray(row * SAMPLING_INTS);
  const seed = s.seed ?? 0n;
  ints[SamplingInt.TopK] = s.topK ?? 0;
  ints[SamplingInt.SeedLow] = Number(BigInt.asIntN(32, seed));
  ints[SamplingInt.SeedHigh] = Number(BigInt.asIntN(32, seed >> 32n));
  ints[SamplingInt.Draw] = s.draw ?? 0;
  ints[SamplingInt.Logprobs] = s.logprobs ?? -1;
  ints[SamplingInt.HistoryStart] = historyStart;
  ints[SamplingInt.HistoryPromptLength] = s.prompt?.length ?? 0;
  ints[SamplingInt.HistoryLength] = (s.prompt?.length ?? 0) + (s.output?.length ?? 0);
}

/** Blocks for `tokens` tokens, from `first` on, `step` apart: pages of a sequence need not be adjacent. */
export function blocksFor(tokens: number, first: number, step = 1): readonly number[] {
  return Array.from({ length: Math.ceil(tokens / 16) }, (_, i) => first + i * step);
}

/** Deterministic token ids. */
export function prompt(length: number, seed: number, vocabSize: number): readonly number[] {
  let state = seed * 2654435761 + 12345;
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % vocabSize;
  });
}

/** Runs the parts as one step and returns the raw logits of its sampled rows. */
export function logitsOf(
  model: NativeModel,
  parts: readonly Part[],
  vocabSize: number,
): readonly Float32Array[] {
  const batch = batchOf(parts);
  const logits = new Float32Array(batch.samples * vocabSize);
  model.step(batch, logits);
  return Array.from({ length: batch.samples }, (_, r) => logits.slice(r * vocabSize, (r + 1) * vocabSize));
}

/** Opens a model for the length of `use`. */
export function withModel<T>(
  native: Pick<NativeModule, 'open'>,
  plan: ModelPlan,
  use: (model: NativeModel) => T,
): T {
  const model = native.open(plan);
  try {
    return use(model);
  } finally {
    model.close();
  }
}
