import type { PromptEncoder, Tokenizer } from '../../tokenizer/index.ts';
import { checkCharacters } from './prompt-length.ts';
import type { Truncate } from './prompt-truncation.ts';
import type { RequestBody } from './request-fields.ts';
import { checkTokenIds, invalid, readBoolean, shown } from './request-fields.ts';

/** One prompt of a request that may have several. */
export interface Prompt {
  readonly tokenIds: readonly number[];
  /** As `echo` gives it back; empty for token ids unless text is needed. */
  readonly text: string;
}

/** The field that holds them. */
export type PromptField = 'prompt' | 'input';

export interface PromptReader {
  readonly tokenizer: Tokenizer;
  readonly prompts: PromptEncoder;
  readonly vocabSize: number;
  readonly maxModelLen: number;
  readonly needsText?: boolean;
  readonly cut: Truncate;
}

const maxPrompts = 1024;

/** Rejects with a `ServiceError` that names the field. */
export async function readPrompts(
  body: RequestBody,
  field: PromptField,
  { tokenizer, prompts, vocabSize, maxModelLen, needsText = false, cut }: PromptReader,
): Promise<readonly Prompt[]> {
  const textOf = (tokenIds: readonly number[]) =>
    needsText ? tokenizer.decode(tokenIds, { skipSpecialTokens: false }) : '';
  const addSpecialTokens = readBoolean(body, 'add_special_tokens', true);
  return Promise.all(
    promptForms(body, field, vocabSize).map(async (form): Promise<Prompt> => {
      if (typeof form === 'string') {
        checkCharacters(form.length, field, {
          maxModelLen,
          maxTokenCharacters: tokenizer.maxTokenCharacters,
        });
        const encoded = await prompts.encode(form, { addSpecialTokens });
        const tokenIds = cut(encoded);
        return { text: tokenIds === encoded ? form : textOf(tokenIds), tokenIds };
      }
      const tokenIds = cut(form);
      return { text: textOf(tokenIds), tokenIds };
    }),
  );
}

/** A string, token ids, or a list of either. */
function promptForms(
  body: RequestBody,
  field: PromptField,
  vocabSize: number,
): readonly (string | readonly number[])[] {
  const prompt = body[field];
  if (typeof prompt === 'string') return [prompt];
  if (!Array.isArray(prompt) || prompt.length === 0)
    throw invalid(
      `${field} must be a string, a list of strings, token ids, or a list of token id lists; got ${
        Array.isArray(prompt) ? 'an empty list' : shown(prompt)
      }.`,
      field,
    );
  if (typeof prompt[0] === 'number') return [checkTokenIds(prompt, field, vocabSize)];
  if (prompt.length > maxPrompts)
    throw invalid(`${field} may hold at most ${maxPrompts} prompts, got ${prompt.length}.`, field);
  return prompt.map((entry: unknown) => {
    if (typeof entry === 'string') return entry;
    if (Array.isArray(entry)) return checkTokenIds(entry, field, vocabSize);
    throw invalid(`${field} must hold strings or token id lists only; it has ${shown(entry)}.`, field);
  });
}
