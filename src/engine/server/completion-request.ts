import type { PromptEncoder, Tokenizer } from '../../tokenizer/index.ts';
import { checkCharacters } from './prompt-length.ts';
import type { RequestBody } from './request-fields.ts';
import {
  checkTokenIds,
  invalid,
  readBoolean,
  readNumber,
  refuseUnsupported,
  shown,
} from './request-fields.ts';

/** One prompt of a completions request. */
export interface Prompt {
  readonly tokenIds: readonly number[];
  /** As `echo` gives it back. */
  readonly text: string;
}

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

const maxPrompts = 1024;

/** Rejects with a `ServiceError` that names the field at fault. */
export async function readCompletionFields(
  body: RequestBody,
  { tokenizer, prompts: encoder }: { readonly tokenizer: Tokenizer; readonly prompts: PromptEncoder },
  { vocabSize, maxLogprobs, maxModelLen }: CompletionLimits,
): Promise<CompletionFields> {
  refuseUnsupported(body, { suffix: '', prompt_embeds: undefined });
  const bestOf = readNumber(body, 'best_of', { min: 1, isInteger: true });
  if (bestOf !== undefined && bestOf !== (body['n'] ?? 1))
    throw invalid('best_of other than n is not supported by this engine; leave it out.', 'best_of');
  const logprobs = readLogprobs(body, maxLogprobs);
  const isEcho = readBoolean(body, 'echo', false);
  if (isEcho && logprobs !== undefined)
    throw invalid(
      'echo together with logprobs is not supported by this engine; ask for one of them.',
      'echo',
    );
  const addSpecialTokens = readBoolean(body, 'add_special_tokens', true);
  const prompts = await Promise.all(
    promptForms(body, vocabSize).map(async (form): Promise<Prompt> => {
      if (typeof form === 'string') {
        checkCharacters(form.length, 'prompt', {
          maxModelLen,
          maxTokenCharacters: tokenizer.maxTokenCharacters,
        });
        return { text: form, tokenIds: await encoder.encode(form, { addSpecialTokens }) };
      }
      return { text: isEcho ? tokenizer.decode(form, { skipSpecialTokens: false }) : '', tokenIds: form };
    }),
  );
  return { prompts, isEcho, logprobs };
}

/** A string, token ids, or a list of either. */
function promptForms(body: RequestBody, vocabSize: number): readonly (string | readonly number[])[] {
  const { prompt } = body;
  if (typeof prompt === 'string') return [prompt];
  if (!Array.isArray(prompt) || prompt.length === 0)
    throw invalid(
      `prompt must be a string, a list of strings, token ids, or a list of token id lists; got ${
        Array.isArray(prompt) ? 'an empty list' : shown(prompt)
      }.`,
      'prompt',
    );
  if (typeof prompt[0] === 'number') return [checkTokenIds(prompt, 'prompt', vocabSize)];
  if (prompt.length > maxPrompts)
    throw invalid(`prompt may hold at most ${maxPrompts} prompts, got ${prompt.length}.`, 'prompt');
  return prompt.map((entry: unknown) => {
    if (typeof entry === 'string') return entry;
    if (Array.isArray(entry)) return checkTokenIds(entry, 'prompt', vocabSize);
    throw invalid(`prompt must hold strings or token id lists only; it has ${shown(entry)}.`, 'prompt');
  });
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
