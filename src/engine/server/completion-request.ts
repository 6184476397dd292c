import type { PromptEncoder, Tokenizer } from '../../tokenizer/index.ts';
import { readTruncation } from './prompt-truncation.ts';
import type { Prompt } from './prompts.ts';
import { readPrompts } from './prompts.ts';
import type { RequestBody } from './request-fields.ts';
import { invalid, readBoolean, readNumber, refuseUnsupported } from './request-fields.ts';

export interface CompletionFields {
  readonly prompts: readonly Prompt[];
  readonly isEcho: boolean;
  /** How many top log-probabilities; undefined for none at all. */
  readonly logprobs: number | undefined;
}

export interface CompletionLimits {
  readonly vocabSize: number;
  readonly maxLogprobs: number;
  readonly maxModelLen: number;
}

/** Rejects with a `ServiceError` that names the field at fault. */
export async function readCompletionFields(
  body: RequestBody,
  collaborators: { readonly tokenizer: Tokenizer; readonly prompts: PromptEncoder },
  { vocabSize, maxLogprobs, maxModelLen }: CompletionLimits,
): Promise<CompletionFields> {
  refuseUnsupported(body, { suffix: '', prompt_embeds: undefined });
  const bestOf = readNumber(body, 'best_of', { min: 1, isInteger: true });
  if (bestOf !== undefined && bestOf !== (body['n'] ?? 1))
    throw invalid('best_of other than n is not supported by this engine; leave it out.', 'best_of');
  const logprobs = readLogprobs(body, maxLogprobs);
  const isEcho = readBoolean(body, 'echo', false);
  const cut = readTruncation(body, {
    most: maxModelLen - Math.max(1, readNumber(body, 'max_tokens') ?? 1),
    side: 'left',
  });
  const prompts = await readPrompts(body, 'prompt', {
    ...collaborators,
    vocabSize,
    maxModelLen,
    needsText: isEcho,
    cut,
  });
  return { prompts, isEcho, logprobs };
}

function readLogprobs(body: RequestBody, maxLogprobs: number): number | undefined {
  const logprobs = readNumber(body, 'logprobs', { min: 0, isInteger: true });
  if (logprobs !== undefined && logprobs > maxLogprobs)
    throw invalid(
      `Requested sample logprobs of ${logprobs}, which is greater than max allowed: ${maxLogprobs}`,
      'logprobs',
    );
  return logprobs;
}
