import type {
  AdapterSource,
  NativeModel,
  StepBatch,
  StepInputs,
  StepResults,
} from '../../../src/engine/native/native.ts';
import {
  SAMPLING_FLOATS,
  SAMPLING_INTS,
  SamplingFloat,
  SamplingInt,
  STEPS_IN_FLIGHT,
  TABLE_DELTA_INTS,
} from '../../../src/engine/native/native.ts';

export interface FakeModelOptions {
  readonly blocks: number;
  readonly blockSize: number;
  readonly vocabSize: number;
  /** Called before each step; may throw, as a broken device would. */
  readonly onStep?: (batch: StepInputs) => void;
}

/** Floats of a pooled state. */
export const fakeHiddenSize = 4;

/**
 * A fake of the native model: no neural network, but the same use of paged memory. Each token writes a number
 * into its slot that depends on itself and on every earlier slot of its sequence, read through the block
 * table that it keeps; logits are a function of that number. A wrong slot, a block shared by mistake or reused too
 * early, a delta that is missing changes the output. Nobody sees what a step has sampled before it is waited for.
 */
export class FakeModel implements NativeModel {
  readonly #options: FakeModelOptions;
  readonly #slots: Int32Array;
  /** Rows of block ids, as far as the deltas have told. */
  readonly #tables = new Map<number, number[]>();
  readonly #inFlight: StepResults[] = [];
  #latestIds: Int32Array = new Int32Array(0);
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

  get stepsInFlight(): number {
    return this.#inFlight.length;
  }

  step(batch: StepBatch): void {
    this.launch(batch);
    this.wait(batch);
  }

  launch(batch: StepInputs): void {
    this.#options.onStep?.(batch);
    if (this.#inFlight.length === STEPS_IN_FLIGHT) throw new Error('too many steps in flight');
    this.steps++;
    this.#applyDeltas(batch);
    const fed = {
      ...batch,
      tokenIds: batch.tokenIds.slice(0, batch.tokens).map((id) => this.#known(id)),
    };
    const states = new Int32Array(batch.tokens);
    for (let s = 0; s < batch.sequences; s++)
      for (let row = batch.queryStarts[s]!; row < batch.queryStarts[s + 1]!; row++)
        states[row] = this.#write(fed, s, row);
    const results = {
      sampledIds: new Int32Array(batch.samples),
      sampledLogprobs: new Float32Array(batch.samples),
      sampledRanks: new Int32Array(batch.samples),
      topIds: new Int32Array(batch.samples * batch.topStride),
      topLogprobs: new Float32Array(batch.samples * batch.topStride),
      pooledStates: new Float32Array((batch.pooled ?? 0) * fakeHiddenSize),
    };
    for (let sample = 0; sample < batch.samples; sample++)
      this.#sample(fed, sample, states[batch.sampleRows[sample]!]!, results);
    for (let i = 0; i < (batch.pooled ?? 0); i++)
      for (let channel = 0; channel < fakeHiddenSize; channel++)
        results.pooledStates[i * fakeHiddenSize + channel] =
          unit(mix(states[batch.pooledRows![i]!]!, channel)) - 0.5;
    this.#latestIds = results.sampledIds;
    this.#inFlight.push(results);
  }

  wait(to: StepResults): void {
    const results = this.#inFlight.shift();
    if (results === undefined) throw new Error('no step is in flight');
    to.sampledIds.set(results.sampledIds);
    to.sampledLogprobs.set(results.sampledLogprobs);
    to.sampledRanks.set(results.sampledRanks);
    to.topIds.set(results.topIds);
    to.topLogprobs.set(results.topLogprobs);
    to.pooledStates?.set(results.pooledStates!);
  }

  memory() {
    return { weights: 0, kvCache: this.#slots.byteLength, scratch: 0 };
  }

  close(): void {
    this.isClosed = true;
  }

  /** A token, or what a placeholder stands for. */
  #known(id: number): number {
    if (id >= 0) return id;
    const chosen = this.#latestIds[-1 - id];
    if (chosen === undefined) throw new Error(`the step before has no sample ${-1 - id}`);
    return chosen;
  }

  #applyDeltas({ tableDeltas, tableDeltaCount }: StepInputs): void {
    for (let i = 0; i < tableDeltaCount; i++) {
      const [row, column, block] = tableDeltas.subarray(i * TABLE_DELTA_INTS) as unknown as number[];
      const table = this.#tables.get(row!) ?? [];
      this.#tables.set(row!, table);
      if (block === -1) table.length = 0;
      else if (column! > table.length) throw new Error(`row ${row} has a gap before column ${column}`);
      else table[column!] = block!;
    }
  }

  #write(batch: StepInputs, sequence: number, row: number): number {
    const { blockSize } = this.#options;
    const table = this.#tables.get(batch.tableRows[sequence]!)!;
    const position = batch.positions[row]!;
    let state = mix(batch.tokenIds[row]! + 1, position);
    const adapter = batch.adapters?.[sequence] ?? -1;
    if (adapter >= 0) {
      const held = this.adapters.get(adapter);
      if (held === undefined) throw new Error(`slot ${adapter} holds no adapter`);
      state = mix(state, held.pairs[0]!.rank);
    }
    for (let p = 0; p < position; p++) {
      const block = table[Math.floor(p / blockSize)]!;
      state = mix(state, this.#slots[block * blockSize + (p % blockSize)]!);
    }
    const slot = table[Math.floor(position / blockSize)]! * blockSize + (position % blockSize);
    if (slot !== batch.slotMapping[row])
      throw new Error(`slotMapping[${row}] is ${batch.slotMapping[row]}, table says ${slot}`);
    this.#slots[slot] = state;
    return state;
  }

  /** What a subclass writes instead. */
  protected chosen(_batch: StepInputs, _sample: number): number | undefined {
    return undefined;
  }

  #sample(batch: StepInputs, sample: number, state: number, results: StepResults): void {
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
      logits[this.#known(batch.history[start + i]!)]! -= floats[SamplingFloat.FrequencyPenalty]!;
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
    const best =
      forced >= 0 ? forced : logits.reduce((best, value, token) => (value > logits[best]! ? token : best), 0);
    results.sampledIds[sample] = this.chosen(batch, sample) ?? best;
    const count = ints[SamplingInt.Logprobs]!;
    if (count >= 0) reportLogprobs(results, { sample, topStride: batch.topStride }, raw, count);
  }
}

function reportLogprobs(
  results: StepResults,
  { sample, topStride }: { readonly sample: number; readonly topStride: number },
  raw: Float64Array,
  count: number,
): void {
  const normalizer = Math.log(raw.reduce((sum, value) => sum + Math.exp(value), 0));
  const order = Array.from(raw.keys()).sort((a, b) => raw[b]! - raw[a]!);
  const chosen = results.sampledIds[sample]!;
  results.sampledLogprobs[sample] = raw[chosen]! - normalizer;
  results.sampledRanks[sample] = order.indexOf(chosen) + 1;
  for (let i = 0; i < count; i++) {
    results.topIds[sample * topStride + i] = order[i]!;
    results.topLogprobs[sample * topStride + i] = raw[order[i]!]! - normalizer;
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
