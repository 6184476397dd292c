import type { AdapterSource, NativeModel, StepBatch } from '../../../src/engine/native/native.ts';
import {
  SAMPLING_FLOATS,
  SAMPLING_INTS,
  SamplingFloat,
  SamplingInt,
} from '../../../src/engine/native/native.ts';

export interface FakeModelOptions {
  readonly blocks: number;
  readonly blockSize: number;
  readonly vocabSize: number;
  /** Called before each step; may throw, as a broken device would. */
  readonly onStep?: (batch: StepBatch) => void;
}

/** Floats of a pooled state. */
export const fakeHiddenSize = 4;

/**
 * A fake of the native model: no neural network, but the same use of paged memory. Each token writes a number
 * into its slot that depends on itself and on every earlier slot of its sequence, read through the block
 * table; logits are a function of that number. A wrong slot, a block shared by mistake or reused too early
 * changes the output.
 */
export class FakeModel implements NativeModel {
  readonly #options: FakeModelOptions;
  readonly #slots: Int32Array;
  steps = 0;
  isClosed = false;

  constructor(options: FakeModelOptions) {
    this.#options = options;
    this.#slots = new Int32Array(options.blocks * options.blockSize);
  }

  readonly adapters = new Map<number, AdapterSource>();

  loadAdapter(slot: number, adapter: AdapterSource): void {
    this.adapters.set(slot, adapter);
  }

  unloadAdapter(slot: number): void {
    this.adapters.delete(slot);
  }

  step(batch: StepBatch): void {
    this.#options.onStep?.(batch);
    this.steps++;
    const states = new Int32Array(batch.tokens);
    for (let s = 0; s < batch.sequences; s++)
      for (let row = batch.queryStarts[s]!; row < batch.queryStarts[s + 1]!; row++)
        states[row] = this.#write(batch, s, row);
    for (let sample = 0; sample < batch.samples; sample++)
      this.#sample(batch, sample, states[batch.sampleRows[sample]!]!);
    for (let i = 0; i < (batch.pooled ?? 0); i++)
      for (let channel = 0; channel < fakeHiddenSize; channel++)
        batch.pooledStates![i * fakeHiddenSize + channel] =
          unit(mix(states[batch.pooledRows![i]!]!, channel)) - 0.5;
  }

  memory() {
    return { weights: 0, kvCache: this.#slots.byteLength, scratch: 0 };
  }

  close(): void {
    this.isClosed = true;
  }

  #write(batch: StepBatch, sequence: number, row: number): number {
    const { blockSize } = this.#options;
    const table = sequence * batch.blockTableStride;
    const position = batch.positions[row]!;
    let state = mix(batch.tokenIds[row]! + 1, position);
    const adapter = batch.adapters?.[sequence] ?? -1;
    if (adapter >= 0) {
      const held = this.adapters.get(adapter);
      if (held === undefined) throw new Error(`slot ${adapter} holds no adapter`);
      state = mix(state, held.pairs[0]!.rank);
    }
    for (let p = 0; p < position; p++) {
      const block = batch.blockTables[table + Math.floor(p / blockSize)]!;
      state = mix(state, this.#slots[block * blockSize + (p % blockSize)]!);
    }
    const slot =
      batch.blockTables[table + Math.floor(position / blockSize)]! * blockSize + (position % blockSize);
    if (slot !== batch.slotMapping[row])
      throw new Error(`slotMapping[${row}] is ${batch.slotMapping[row]}, table says ${slot}`);
    this.#slots[slot] = state;
    return state;
  }

  #sample(batch: StepBatch, sample: number, state: number): void {
    const { vocabSize } = this.#options;
    const ints = batch.samplingInts.subarray(sample * SAMPLING_INTS, (sample + 1) * SAMPLING_INTS);
    const floats = batch.samplingFloats.subarray(sample * SAMPLING_FLOATS, (sample + 1) * SAMPLING_FLOATS);
    const raw = Float64Array.from({ length: vocabSize }, (_, token) => unit(mix(state, token)) * 8);
    const logits = raw.slice();
    for (let i = batch.biasStarts[sample]!; i < batch.biasStarts[sample + 1]!; i++)
      logits[batch.biasIds[i]!]! += batch.biasValues[i]!;
    const mask = batch.maskOf?.[sample] ?? -1;
    const words = Math.ceil(vocabSize / 32);
    if (mask >= 0)
      for (let token = 0; token < vocabSize; token++)
        if (((batch.masks![mask * words + (token >>> 5)]! >>> (token & 31)) & 1) === 0)
          logits[token] = Number.NEGATIVE_INFINITY;
    const start = ints[SamplingInt.HistoryStart]!;
    for (let i = ints[SamplingInt.HistoryPromptLength]!; i < ints[SamplingInt.HistoryLength]!; i++)
      logits[batch.history[start + i]!]! -= floats[SamplingFloat.FrequencyPenalty]!;
    const temperature = floats[SamplingFloat.Temperature]!;
    if (temperature > 0) {
      // Gumbel noise: the argmax of the sum is a sample from the softmax.
      const seed = mix(ints[SamplingInt.SeedLow]!, ints[SamplingInt.SeedHigh]!);
      for (let token = 0; token < vocabSize; token++) {
        const uniform = unit(mix(mix(seed, ints[SamplingInt.Draw]!), token));
        logits[token] = logits[token]! / temperature - Math.log(-Math.log((uniform + 1e-9) / (1 + 2e-9)));
      }
    }
    const forced = batch.forcedIds?.[sample] ?? -1;
    const chosen =
      forced >= 0 ? forced : logits.reduce((best, value, token) => (value > logits[best]! ? token : best), 0);
    batch.sampledIds[sample] = chosen;
    if (ints[SamplingInt.Logprobs]! >= 0) reportLogprobs(batch, sample, raw, ints[SamplingInt.Logprobs]!);
  }
}

function reportLogprobs(batch: StepBatch, sample: number, raw: Float64Array, count: number): void {
  const normalizer = Math.log(raw.reduce((sum, value) => sum + Math.exp(value), 0));
  const order = Array.from(raw.keys()).sort((a, b) => raw[b]! - raw[a]!);
  const chosen = batch.sampledIds[sample]!;
  batch.sampledLogprobs[sample] = raw[chosen]! - normalizer;
  batch.sampledRanks[sample] = order.indexOf(chosen) + 1;
  for (let i = 0; i < count; i++) {
    batch.topIds[sample * batch.topStride + i] = order[i]!;
    batch.topLogprobs[sample * batch.topStride + i] = raw[order[i]!]! - normalizer;
  }
}

/** Murmur3's finalizer over both numbers. */
function mix(a: number, b: number): number {
  let h = Math.imul(a ^ Math.imul(b, 0xcc9e2d51), 0x85ebca6b) + 0x9e3779b9;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}

function unit(h: number): number {
  return (h >>> 0) / 2 ** 32;
}
