import type { Sequence } from './sequence.ts';

/** Why a sequence ended by itself. */
export type Finish =
  | { readonly reason: 'stop' /** Absent for end of text. */; readonly stopTokenId: number | undefined }
  | { readonly reason: 'length' }
  /** Nothing may follow in the structure that the text is held to; the last token is part of the text. */
  | { readonly reason: 'complete' };

const endOfText: Finish = { reason: 'stop', stopTokenId: undefined };
const endOfStructure: Finish = { reason: 'complete' };
const outOfLength: Finish = { reason: 'length' };

export interface StopLimits {
  readonly eosTokenIds: ReadonlySet<number>;
  readonly maxModelLen: number;
}

/** Whether the sequence ends with its latest known token. Stop strings are the server's: it has the text. */
export function finishOf(sequence: Sequence, { eosTokenIds, maxModelLen }: StopLimits): Finish | undefined {
  const { sampling, knownLength } = sequence;
  const outputLength = knownLength - sequence.promptLength;
  const token = sequence.tokens[knownLength - 1]!;
  if (outputLength >= sampling.minTokens) {
    if (!sampling.ignoreEos && eosTokenIds.has(token)) return endOfText;
    if (sampling.stopTokenIds.includes(token)) return { reason: 'stop', stopTokenId: token };
  }
  if (sequence.structured?.isOver) return endOfStructure;
  if (outputLength >= sampling.maxTokens || knownLength >= maxModelLen) return outOfLength;
  return undefined;
}
