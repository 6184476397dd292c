import type { Tokenizer } from '../../tokenizer/index.ts';
import type { StepOutput, TokenLogprobs } from '../step-output.ts';

/** Log-probabilities below this are reported as this: JSON has no -Infinity. As vLLM does. */
const lowest = -9999;

/** What the answer calls a token. */
export type TokenName = (tokenId: number) => string;

/** By its text, or as `token_id:7`. */
export function tokenNames(tokenizer: Tokenizer, isById: boolean): TokenName {
  if (isById) return (tokenId) => `token_id:${tokenId}`;
  return (tokenId) => Buffer.from(tokenizer.tokenBytes(tokenId)).toString('utf8');
}

/** `choices[].logprobs` of chat completions. */
export function chatLogprobs(
  tokenizer: Tokenizer,
  nameOf: TokenName,
  outputs: readonly StepOutput[],
  count: number,
) {
  const entry = (tokenId: number, logprob: number) => ({
    token: nameOf(tokenId),
    logprob: Math.max(logprob, lowest),
    bytes: Array.from(tokenizer.tokenBytes(tokenId)),
  });
  const content = outputs.flatMap(({ tokenId, logprobs }) =>
    logprobs === undefined
      ? []
      : [
          {
            ...entry(tokenId, logprobs.logprob),
            top_logprobs: logprobs.topIds
              .slice(0, count)
              .map((topId, i) => entry(topId, logprobs.topLogprobs[i]!)),
          },
        ],
  );
  return { content };
}

/** One token with what is known of it; nothing is known of the first token of a prompt. */
export interface ScoredToken {
  readonly tokenId: number;
  readonly logprobs: TokenLogprobs | undefined;
}

/** The tokens of a prompt with `FirstToken.promptLogprobs`. */
export function scorePrompt(
  promptTokens: readonly number[],
  logprobs: readonly TokenLogprobs[],
): readonly ScoredToken[] {
  return promptTokens.map((tokenId, i) => ({ tokenId, logprobs: i === 0 ? undefined : logprobs[i - 1] }));
}

/** vLLM's `prompt_logprobs`: per token of the prompt null (the first), or an object by token id. */
export function promptLogprobs(nameOf: TokenName, prompt: readonly ScoredToken[]) {
  return prompt.map(({ tokenId, logprobs }) => {
    if (logprobs === undefined) return null;
    const entry = (id: number, logprob: number, rank: number) =>
      [id, { logprob: Math.max(logprob, lowest), rank, decoded_token: nameOf(id) }] as const;
    return Object.fromEntries([
      ...logprobs.topIds.map((id, i) => entry(id, logprobs.topLogprobs[i]!, i + 1)),
      entry(tokenId, logprobs.logprob, logprobs.rank),
    ]);
  });
}

/**
 * `choices[].logprobs` of completions, of the echoed prompt too. `offset`: characters of the choice before the first
 * of these tokens.
 */
export function completionLogprobs(nameOf: TokenName, outputs: readonly ScoredToken[], offset: number) {
  const tokens = outputs.map(({ tokenId }) => nameOf(tokenId));
  let at = offset;
  const offsets = tokens.map((token) => {
    const start = at;
    at += token.length;
    return start;
  });
  return {
    tokens,
    token_logprobs: outputs.map(({ logprobs }) =>
      logprobs === undefined ? null : Math.max(logprobs.logprob, lowest),
    ),
    top_logprobs: outputs.map(({ tokenId, logprobs }) => {
      if (logprobs === undefined) return null;
      // The chosen token is always among them, as OpenAI does.
      const top = new Map([[nameOf(tokenId), Math.max(logprobs.logprob, lowest)]]);
      logprobs.topIds.forEach((topId, i) => {
        top.set(nameOf(topId), Math.max(logprobs.topLogprobs[i]!, lowest));
      });
      return Object.fromEntries(top);
    }),
    text_offset: offsets,
  };
}
