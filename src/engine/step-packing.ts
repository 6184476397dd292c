import type { FirstToken, StepOutput, TokenLogprobs } from './step-output.ts';
import type { Finish } from './stop-condition.ts';

/**
 * The outputs of a step as two flat arrays: cheap to pass between threads at hundreds of sequences.
 *
 *   integers  requestId choice tokenId flags [cachedTokens] [length prompt logprobs…] [stopTokenId] [logprobs]
 *   numbers                                  [scheduledMs]
 *
 * where logprobs are `rank count topId…` and `logprob topLogprob…`.
 */
export interface PackedOutputs {
  readonly count: number;
  readonly integers: Int32Array;
  readonly numbers: Float64Array;
}

const isFirst = 1;
const endsText = 2;
const endsAtToken = 4;
const endsAtLength = 8;
const hasLogprobs = 16;
const endsStructure = 32;
const hasPromptLogprobs = 64;

export function packOutputs(outputs: readonly StepOutput[]): PackedOutputs {
  const integers: number[] = [];
  const numbers: number[] = [];
  for (const { requestId, choice, tokenId, first, finish, logprobs } of outputs) {
    const ofPrompt = first?.promptLogprobs;
    const flags =
      (first ? isFirst : 0) |
      finishFlag(finish) |
      (logprobs ? hasLogprobs : 0) |
      (ofPrompt ? hasPromptLogprobs : 0);
    integers.push(requestId, choice, tokenId, flags);
    if (first !== undefined) {
      integers.push(first.cachedTokens);
      numbers.push(first.scheduledMs);
    }
    if (ofPrompt !== undefined) {
      integers.push(ofPrompt.length);
      for (const token of ofPrompt) pushLogprobs(integers, numbers, token);
    }
    if (finish?.reason === 'stop' && finish.stopTokenId !== undefined) integers.push(finish.stopTokenId);
    if (logprobs !== undefined) pushLogprobs(integers, numbers, logprobs);
  }
  return { count: outputs.length, integers: Int32Array.from(integers), numbers: Float64Array.from(numbers) };
}

function pushLogprobs(integers: number[], numbers: number[], logprobs: TokenLogprobs): void {
  integers.push(logprobs.rank, logprobs.topIds.length, ...logprobs.topIds);
  numbers.push(logprobs.logprob, ...logprobs.topLogprobs);
}

export function unpackOutputs({ count, integers, numbers }: PackedOutputs): StepOutput[] {
  let i = 0;
  let n = 0;
  const readLogprobs = (): TokenLogprobs => {
    const rank = integers[i++]!;
    const length = integers[i++]!;
    const logprobs = {
      logprob: numbers[n++]!,
      rank,
      topIds: Array.from(integers.subarray(i, i + length)),
      topLogprobs: Array.from(numbers.subarray(n, n + length)),
    };
    i += length;
    n += length;
    return logprobs;
  };
  const readFirst = (flags: number): FirstToken => {
    const first = { cachedTokens: integers[i++]!, scheduledMs: numbers[n++]! };
    if ((flags & hasPromptLogprobs) === 0) return first;
    const length = integers[i++]!;
    return { ...first, promptLogprobs: Array.from({ length }, readLogprobs) };
  };
  return Array.from({ length: count }, () => {
    const requestId = integers[i++]!;
    const choice = integers[i++]!;
    const tokenId = integers[i++]!;
    const flags = integers[i++]!;
    const first = (flags & isFirst) === 0 ? undefined : readFirst(flags);
    let finish: Finish | undefined;
    if ((flags & endsText) !== 0) finish = { reason: 'stop', stopTokenId: undefined };
    if ((flags & endsAtToken) !== 0) finish = { reason: 'stop', stopTokenId: integers[i++]! };
    if ((flags & endsAtLength) !== 0) finish = { reason: 'length' };
    if ((flags & endsStructure) !== 0) finish = { reason: 'complete' };
    const logprobs = (flags & hasLogprobs) === 0 ? undefined : readLogprobs();
    return { requestId, choice, tokenId, first, finish, logprobs };
  });
}

function finishFlag(finish: Finish | undefined): number {
  if (finish === undefined) return 0;
  if (finish.reason === 'length') return endsAtLength;
  if (finish.reason === 'complete') return endsStructure;
  return finish.stopTokenId === undefined ? endsText : endsAtToken;
}
