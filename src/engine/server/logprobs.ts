import type { Tokenizer } from '../../tokenizer/index.ts';
import type { StepOutput } from '../step-output.ts';

/** Log-probabilities below this are reported as this: JSON has no -Infinity. As vLLM does. */
const lowest = -9999;

function tokenText(tokenizer: Tokenizer, tokenId: number): string {
  return Buffer.from(tokenizer.tokenBytes(tokenId)).toString('utf8');
}

/** `choices[].logprobs` of chat completions. */
export function chatLogprobs(tokenizer: Tokenizer, outputs: readonly StepOutput[], count: number) {
  const entry = (tokenId: number, logprob: number) => ({
    token: tokenText(tokenizer, tokenId),
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

/** `choices[].logprobs` of completions. `offset`: characters of the choice before the first output. */
export function completionLogprobs(tokenizer: Tokenizer, outputs: readonly StepOutput[], offset: number) {
  const tokens = outputs.map(({ tokenId }) => tokenText(tokenizer, tokenId));
  let at = offset;
  const offsets = tokens.map((token) => {
    const start = at;
    at += token.length;
    return start;
  });
  return {
    tokens,
    token_logprobs: outputs.map(({ logprobs }) => Math.max(logprobs?.logprob ?? lowest, lowest)),
    top_logprobs: outputs.map(({ tokenId, logprobs }) => {
      // The chosen token is always among them, as OpenAI does.
      const top = new Map([[tokenText(tokenizer, tokenId), Math.max(logprobs?.logprob ?? lowest, lowest)]]);
      logprobs?.topIds.forEach((topId, i) => {
        top.set(tokenText(tokenizer, topId), Math.max(logprobs.topLogprobs[i]!, lowest));
      });
      return Object.fromEntries(top);
    }),
    text_offset: offsets,
  };
}
