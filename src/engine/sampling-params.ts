import type { Constraint } from './structured-output/index.ts';

/** How the tokens of one request are chosen and when it ends. Validated by the server; the core trusts it. */
export interface SamplingParams {
  /** 0 = greedy. */
  readonly temperature: number;
  /** (0, 1], 1 = off. */
  readonly topP: number;
  /** 0 = off. */
  readonly topK: number;
  /** [0, 1], 0 = off. */
  readonly minP: number;
  /** > 0, 1 = off. */
  readonly repetitionPenalty: number;
  /** [-2, 2], 0 = off. */
  readonly presencePenalty: number;
  /** [-2, 2], 0 = off. */
  readonly frequencyPenalty: number;
  /** Choice `i` of the request draws with `seed + i`; without a seed, from the engine's own. */
  readonly seed: bigint | undefined;
  /** Output tokens at most, at least 1. */
  readonly maxTokens: number;
  /** End-of-text and stop tokens are banned until there are this many output tokens. */
  readonly minTokens: number;
  readonly stopTokenIds: readonly number[];
  /** Do not end at the model's end-of-text tokens. */
  readonly ignoreEos: boolean;
  /** How many most likely tokens to report beside the chosen one; absent = no log-probabilities at all. */
  readonly logprobs: number | undefined;
  /** The same for the tokens of the prompt but the first; absent = none. Such a prompt is computed, never cached. */
  readonly promptLogprobs: number | undefined;
  /** Added to the logits of these tokens. */
  readonly logitBias: readonly (readonly [tokenId: number, bias: number])[];
  /** Runs of tokens that the text must not have: the last one of each is banned after the others. */
  readonly badWords: readonly (readonly number[])[];
  /** Only these tokens may be chosen. */
  readonly allowedTokenIds: readonly number[] | undefined;
  /** What the text must look like, from its first token on. */
  readonly constraint: Constraint | undefined;
}

/** OpenAI's defaults: plain sampling from the model's distribution. */
export const defaultSamplingParams: SamplingParams = {
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  seed: undefined,
  maxTokens: 16,
  minTokens: 0,
  stopTokenIds: [],
  ignoreEos: false,
  logprobs: undefined,
  promptLogprobs: undefined,
  logitBias: [],
  badWords: [],
  allowedTokenIds: undefined,
  constraint: undefined,
};

export function hasPenalties(params: SamplingParams): boolean {
  return params.repetitionPenalty !== 1 || params.presencePenalty !== 0 || params.frequencyPenalty !== 0;
}
