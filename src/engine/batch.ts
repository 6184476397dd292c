import type { StepInputs } from './native/native.ts';
import {
  SAMPLING_FLOATS,
  SAMPLING_INTS,
  SamplingFloat,
  SamplingInt,
  TABLE_DELTA_INTS,
} from './native/native.ts';
import type { SamplingParams } from './sampling-params.ts';
import { hasPenalties } from './sampling-params.ts';
import type { Sequence } from './sequence.ts';
import { TokenMasks } from './token-masks.ts';

export interface BatchLimits {
  /** Tokens, sequences and samples of one step, at most. */
  readonly maxTokens: number;
  readonly maxSequences: number;
  readonly maxSamples: number;
  readonly blockSize: number;
  readonly vocabSize: number;
  /** Floats of a pooled state. */
  readonly hiddenSize: number;
  /** Most likely tokens reported per position, at most. */
  readonly maxLogprobs: number;
  readonly eosTokenIds: ReadonlySet<number>;
}

/** Sampling that changes nothing: the token is given. */
const greedy = [0, 1, 0, 1, 0, 0];

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/**
 * Writes one step as the flat arrays that native code reads. The arrays are allocated once for the largest
 * step; only those of penalties, biases and pooled states, rarely used, grow on demand.
 */
export class BatchBuilder {
  readonly #limits: BatchLimits;
  readonly #batch: Mutable<Required<StepInputs>>;
  readonly #masks: TokenMasks;
  #historyLength = 0;
  #biases = 0;

  constructor(limits: BatchLimits) {
    const { maxTokens, maxSequences, maxSamples } = limits;
    this.#limits = limits;
    this.#masks = new TokenMasks(limits.vocabSize, limits.eosTokenIds);
    this.#batch = {
      tokens: 0,
      sequences: 0,
      samples: 0,
      tokenIds: new Int32Array(maxTokens),
      positions: new Int32Array(maxTokens),
      slotMapping: new Int32Array(maxTokens),
      queryStarts: new Int32Array(maxSequences + 1),
      tableRows: new Int32Array(maxSequences),
      tableDeltas: new Int32Array(1024 * TABLE_DELTA_INTS),
      tableDeltaCount: 0,
      adapters: new Int32Array(maxSequences),
      sampleRows: new Int32Array(maxSamples),
      samplingFloats: new Float32Array(maxSamples * SAMPLING_FLOATS),
      samplingInts: new Int32Array(maxSamples * SAMPLING_INTS),
      history: new Int32Array(1024),
      biasStarts: new Int32Array(maxSamples + 1),
      biasIds: new Int32Array(256),
      biasValues: new Float32Array(256),
      forcedIds: new Int32Array(maxSamples),
      maskOf: new Int32Array(maxSamples),
      masks: this.#masks.words,
      maskCount: 0,
      pooled: 0,
      pooledRows: new Int32Array(maxSequences),
      topStride: 0,
    };
  }

  /**
   * The step that computes the `scheduled` next tokens of each sequence, and brings the model's block tables up to
   * theirs. Valid until the next call; to be launched, as the tables then count as sent.
   */
  build(sequences: readonly Sequence[]): StepInputs {
    const batch = this.#batch;
    batch.tokens = 0;
    batch.sequences = sequences.length;
    batch.samples = 0;
    batch.topStride = 0;
    batch.pooled = 0;
    this.#masks.clear();
    this.#historyLength = 0;
    this.#biases = 0;
    batch.tableDeltaCount = 0;
    for (let i = 0; i < sequences.length; i++) this.#addSequence(i, sequences[i]!);
    batch.queryStarts[sequences.length] = batch.tokens;
    batch.biasStarts[batch.samples] = this.#biases;
    batch.masks = this.#masks.words;
    batch.maskCount = this.#masks.count;
    return batch;
  }

  #addSequence(index: number, sequence: Sequence): void {
    const batch = this.#batch;
    const { blockSize } = this.#limits;
    const { computed, scheduled, table, tokens } = sequence;
    let row = batch.tokens;
    batch.queryStarts[index] = row;
    batch.adapters[index] = sequence.adapterSlot;
    for (let position = computed; position < computed + scheduled; position++, row++) {
      const block = Math.floor(position / blockSize);
      batch.tokenIds[row] = tokens[position]!;
      batch.positions[row] = position;
      batch.slotMapping[row] = table.blocks[block]! * blockSize + (position - block * blockSize);
    }
    batch.tokens = row;
    this.#addTable(index, sequence);
    this.#addPromptRows(sequence, batch.queryStarts[index]!);
    if (sequence.pooled !== undefined) {
      this.#addPooledRows(sequence.pooled.positions(sequence), batch.queryStarts[index]! - computed);
      return;
    }
    // One sample after the last token, and one after each token of a draft.
    const drafted = computed + scheduled - sequence.length;
    for (let i = 0; i <= drafted; i++) this.#addSample(row - 1 - drafted + i, sequence, i);
  }

  /** What of the sequence's blocks the model's block tables lack. */
  #addTable(index: number, { seat, table }: Sequence): void {
    this.#batch.tableRows[index] = seat;
    if (table.sent === 0) this.#addDelta(seat, 0, -1);
    for (; table.sent < table.length; table.sent++)
      this.#addDelta(seat, table.sent, table.blocks[table.sent]!);
  }

  #addDelta(row: number, column: number, block: number): void {
    const batch = this.#batch;
    const at = TABLE_DELTA_INTS * batch.tableDeltaCount++;
    if (at + TABLE_DELTA_INTS > batch.tableDeltas.length) {
      const longer = new Int32Array(2 * batch.tableDeltas.length);
      longer.set(batch.tableDeltas);
      batch.tableDeltas = longer;
    }
    batch.tableDeltas[at] = row;
    batch.tableDeltas[at + 1] = column;
    batch.tableDeltas[at + 2] = block;
  }

  /** A row for each prompt token whose log-probability is wanted, before the other rows of the sequence. */
  #addPromptRows(sequence: Sequence, firstRow: number): void {
    const rows = sequence.promptRows;
    if (rows === 0) return;
    const batch = this.#batch;
    const count = sequence.sampling.promptLogprobs ?? 0;
    const known = sequence.promptLogprobsAsked;
    batch.topStride = Math.max(batch.topStride, count);
    for (let i = 0; i < rows; i++) {
      const sample = this.#beginSample(
        firstRow + known + i - sequence.computed,
        sequence.tokens[known + i + 1]!,
      );
      batch.samplingFloats.set(greedy, sample * SAMPLING_FLOATS);
      const n = sample * SAMPLING_INTS;
      batch.samplingInts.fill(0, n, n + SAMPLING_INTS);
      batch.samplingInts[n + SamplingInt.Logprobs] = count;
    }
  }

  /** `rowOfStart`: the row that position 0 has, or would have. */
  #addPooledRows({ first, count }: { first: number; count: number }, rowOfStart: number): void {
    const batch = this.#batch;
    const needed = batch.pooled + count;
    if (needed > batch.pooledRows.length) {
      const rows = new Int32Array(2 * needed);
      rows.set(batch.pooledRows);
      batch.pooledRows = rows;
    }
    for (let i = 0; i < count; i++) batch.pooledRows[batch.pooled++] = rowOfStart + first + i;
  }

  /** `forced`: the token that counts as chosen, -1 to choose one. */
  #beginSample(row: number, forced: number): number {
    const batch = this.#batch;
    const sample = batch.samples++;
    batch.sampleRows[sample] = row;
    batch.forcedIds[sample] = forced;
    batch.maskOf[sample] = -1;
    batch.biasStarts[sample] = this.#biases;
    return sample;
  }

  /** `drafted`: tokens of a draft that lie before the sampled one. */
  #addSample(row: number, sequence: Sequence, drafted: number): void {
    const batch = this.#batch;
    const { sampling } = sequence;
    const sample = this.#beginSample(row, -1);
    const f = sample * SAMPLING_FLOATS;
    batch.samplingFloats[f + SamplingFloat.Temperature] = sampling.temperature;
    batch.samplingFloats[f + SamplingFloat.TopP] = sampling.topP;
    batch.samplingFloats[f + SamplingFloat.MinP] = sampling.minP;
    batch.samplingFloats[f + SamplingFloat.RepetitionPenalty] = sampling.repetitionPenalty;
    batch.samplingFloats[f + SamplingFloat.PresencePenalty] = sampling.presencePenalty;
    batch.samplingFloats[f + SamplingFloat.FrequencyPenalty] = sampling.frequencyPenalty;
    const n = sample * SAMPLING_INTS;
    batch.samplingInts[n + SamplingInt.TopK] = sampling.topK;
    batch.samplingInts[n + SamplingInt.SeedLow] = sequence.seedLow;
    batch.samplingInts[n + SamplingInt.SeedHigh] = sequence.seedHigh;
    batch.samplingInts[n + SamplingInt.Draw] = sequence.outputLength + drafted;
    batch.samplingInts[n + SamplingInt.Logprobs] = sampling.logprobs ?? -1;
    batch.topStride = Math.max(batch.topStride, sampling.logprobs ?? 0);
    this.#addHistory(n, sequence, sequence.length + drafted);
    this.#addBiases(sequence, sequence.outputLength + drafted);
    this.#banBadWords(sequence, sequence.length + drafted);
    batch.maskOf[sample] = this.#masks.indexFor(sequence);
  }

  #addHistory(n: number, sequence: Sequence, length: number): void {
    const batch = this.#batch;
    const isUsed = hasPenalties(sequence.sampling);
    const start = this.#historyLength;
    batch.samplingInts[n + SamplingInt.HistoryStart] = isUsed ? start : 0;
    batch.samplingInts[n + SamplingInt.HistoryPromptLength] = isUsed ? sequence.promptLength : 0;
    batch.samplingInts[n + SamplingInt.HistoryLength] = isUsed ? length : 0;
    if (!isUsed) return;
    this.#historyLength += length;
    if (this.#historyLength > batch.history.length) {
      const longer = new Int32Array(2 * this.#historyLength);
      longer.set(batch.history.subarray(0, start));
      batch.history = longer;
    }
    batch.history.set(sequence.tokens.subarray(0, length), start);
  }

  #addBiases(sequence: Sequence, outputLength: number): void {
    const { sampling } = sequence;
    for (const [tokenId, bias] of sampling.logitBias) this.#addBias(tokenId, bias);
    if (outputLength < sampling.minTokens) this.#banEnds(sampling);
  }

  /** A bad word lies in the output alone, as in vLLM. */
  #banBadWords({ sampling, tokens, promptLength }: Sequence, length: number): void {
    for (const word of sampling.badWords) {
      const start = length - (word.length - 1);
      const isBegun =
        start >= promptLength && word.every((id, i) => i === word.length - 1 || tokens[start + i] === id);
      if (isBegun) this.#addBias(word.at(-1)!, Number.NEGATIVE_INFINITY);
    }
  }

  #banEnds(sampling: SamplingParams): void {
    for (const tokenId of this.#limits.eosTokenIds) this.#addBias(tokenId, Number.NEGATIVE_INFINITY);
    for (const tokenId of sampling.stopTokenIds) this.#addBias(tokenId, Number.NEGATIVE_INFINITY);
  }

  #addBias(tokenId: number, bias: number): void {
    const batch = this.#batch;
    this.#reserveBiases(1);
    batch.biasIds[this.#biases] = tokenId;
    batch.biasValues[this.#biases++] = bias;
  }

  #reserveBiases(count: number): void {
    const batch = this.#batch;
    const needed = this.#biases + count;
    if (needed <= batch.biasIds.length) return;
    const ids = new Int32Array(2 * needed);
    const values = new Float32Array(2 * needed);
    ids.set(batch.biasIds);
    values.set(batch.biasValues);
    batch.biasIds = ids;
    batch.biasValues = values;
  }
}
