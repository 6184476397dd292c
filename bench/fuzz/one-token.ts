import type { StepBatch } from '../../src/engine/native/native.ts';
import {
  SAMPLING_FLOATS,
  SAMPLING_INTS,
  SamplingFloat,
  SamplingInt,
} from '../../src/engine/native/native.ts';

/** The smallest step: token 0 of a new sequence, greedy, with the adapter in a slot or -1. */
export function oneToken(adapter: number): StepBatch {
  const samplingFloats = new Float32Array(SAMPLING_FLOATS);
  samplingFloats[SamplingFloat.TopP] = 1;
  samplingFloats[SamplingFloat.RepetitionPenalty] = 1;
  const samplingInts = new Int32Array(SAMPLING_INTS);
  samplingInts[SamplingInt.Logprobs] = -1;
  return {
    tokens: 1,
    sequences: 1,
    samples: 1,
    tokenIds: Int32Array.of(0),
    positions: Int32Array.of(0),
    slotMapping: Int32Array.of(0),
    queryStarts: Int32Array.of(0, 1),
    tableRows: Int32Array.of(0),
    tableDeltas: Int32Array.of(0, 0, 0),
    tableDeltaCount: 1,
    adapters: Int32Array.of(adapter),
    sampleRows: Int32Array.of(0),
    samplingFloats,
    samplingInts,
    history: new Int32Array(0),
    biasStarts: Int32Array.of(0, 0),
    biasIds: new Int32Array(0),
    biasValues: new Float32Array(0),
    sampledIds: new Int32Array(1),
    sampledLogprobs: new Float32Array(1),
    sampledRanks: new Int32Array(1),
    topStride: 0,
    topIds: new Int32Array(0),
    topLogprobs: new Float32Array(0),
  };
}
