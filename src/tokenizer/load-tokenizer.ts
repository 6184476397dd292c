import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkDefinition } from './check-definition.ts';
import type { TokenizerFiles } from './huggingface-tokenizer.ts';
import { createHuggingfaceTokenizer } from './huggingface-tokenizer.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface LoadedTokenizer {
  readonly tokenizer: Tokenizer;
  /** Jinja source; absent if the model has no chat template. */
  readonly chatTemplate: string | undefined;
}

/**
 * The tokenizer in a checkpoint folder, or undefined if there is no `tokenizer.json`. The chat template comes
 * from `chat_template.jinja`, `chat_template.json` or `tokenizer_config.json`, in this order (transformers
 * prefers the separate files).
 */
export function loadTokenizer(folder: string): LoadedTokenizer | undefined {
  const path = join(folder, 'tokenizer.json');
  if (!existsSync(path)) return undefined;
  const configPath = join(folder, 'tokenizer_config.json');
  const files: TokenizerFiles = {
    tokenizer: readJson(path),
    config: existsSync(configPath) ? readJson(configPath) : {},
  };
  return { tokenizer: createTokenizer(path, files), chatTemplate: readChatTemplate(folder, files.config) };
}

/** A tokenizer from parsed files. Throws an Error that names `path` and what is wrong with them. */
export function createTokenizer(path: string, files: TokenizerFiles): Tokenizer {
  try {
    checkDefinition(files.tokenizer);
    const tokenizer = createHuggingfaceTokenizer(files);
    tryOut(tokenizer);
    return tokenizer;
  } catch (error) {
    // The library trips over what does not fit together; only what it says on purpose helps a reader.
    const reason =
      error instanceof Error && error.constructor === Error
        ? error.message
        : 'its parts do not fit together; the file is damaged, or of a kind that is not known';
    throw new Error(`${path} is not a tokenizer that can be used here: ${reason}`, { cause: error });
  }
}

/** Encodes and decodes a little of everything, so that a broken vocabulary is found at start. */
function tryOut(tokenizer: Tokenizer): void {
  for (const text of ['Hello, world 123', ' naïve 東京 🚀\n\n']) {
    const ids = tokenizer.encode(text, { addSpecialTokens: true });
    const stranger = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= tokenizer.vocabSize);
    if (ids.some((id) => id === undefined) || stranger !== undefined)
      throw new Error(`it has no token for a part of ${JSON.stringify(text)}`);
    tokenizer.decode(ids, { skipSpecialTokens: true });
  }
}

function readChatTemplate(folder: string, config: Readonly<Record<string, unknown>>): string | undefined {
  const jinja = join(folder, 'chat_template.jinja');
  if (existsSync(jinja)) return readFileSync(jinja, 'utf8');
  const json = join(folder, 'chat_template.json');
  const template = existsSync(json) ? readJson(json)['chat_template'] : config['chat_template'];
  if (typeof template === 'string') return template;
  if (!Array.isArray(template)) return undefined;
  // Several named templates: [{name, template}]; "default" answers plain chat.
  const named = template.find((entry: { readonly name?: unknown }) => entry.name === 'default');
  return typeof named?.template === 'string' ? named.template : undefined;
}

function readJson(path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path} could not be read as JSON: ${messageOf(error)}`, { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${path} must hold a JSON object`);
  return value as Record<string, unknown>;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
