import type { BatchLimits } from './batch.ts';
import type { StepResults } from './native/native.ts';
import type { TokenLogprobs } from './step-output.ts';

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Memory for the results of any step; that of pooled states, rarely used, grows on demand. */
export type ReusedResults = Mutable<Required<StepResults>>;

export function createStepResults(limits: BatchLimits): ReusedResults {
  const { maxSequences, maxSamples, maxLogprobs, hiddenSize } = limits;
  return {
    sampledIds: new Int32Array(maxSamples),
    sampledLogprobs: new Float32Array(maxSamples),
    sampledRanks: new Int32Array(maxSamples),
    topIds: new Int32Array(maxSamples * maxLogprobs),
    topLogprobs: new Float32Array(maxSamples * maxLogprobs),
    pooledStates: new Float32Array(maxSequences * hiddenSize),
  };
}

/** Makes room for `floats` of pooled states. What was there is lost. */
export function reservePooledStates(results: ReusedResults, floats: number): void {
  if (floats > results.pooledStates.length) results.pooledStates = new Float32Array(2 * floats);
}

/** What a row of the results says of its token, with the `count` most likely ones; undefined unless that is asked for. */
export function readLogprobs(
  results: StepResults,
  topStride: number,
  row: number,
  count: number | undefined,
): TokenLogprobs | undefined {
  if (count === undefined) return undefined;
  const start = row * topStride;
  return {
    logprob: results.sampledLogprobs[row]!,
    rank: results.sampledRanks[row]!,
    topIds: Array.from(results.topIds.subarray(start, start + count)),
    topLogprobs: Array.from(results.topLogprobs.subarray(start, start + count)),
  };
}
