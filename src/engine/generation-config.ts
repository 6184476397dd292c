import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** `generation_config.json` of a model folder: what its authors recommend. */
export interface GenerationConfig {
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly maxTokens?: number;
  readonly eosTokenIds: readonly number[];
}

const fields = {
  temperature: 'temperature',
  topP: 'top_p',
  topK: 'top_k',
  minP: 'min_p',
  repetitionPenalty: 'repetition_penalty',
  maxTokens: 'max_new_tokens',
} as const;

/** What a request may ask for, too. */
const bounds: Readonly<Record<string, readonly [holds: (value: number) => boolean, expected: string]>> = {
  temperature: [(value) => value >= 0, 'at least 0'],
  top_p: [(value) => value > 0 && value <= 1, 'above 0 and at most 1'],
  top_k: [(value) => Number.isInteger(value) && value >= -1, 'a whole number from -1'],
  min_p: [(value) => value >= 0 && value <= 1, 'from 0 to 1'],
  repetition_penalty: [(value) => value > 0, 'above 0'],
  max_new_tokens: [(value) => Number.isInteger(value) && value >= 1, 'a whole number from 1'],
};

/** Empty if the folder has no such file. */
export function readGenerationConfig(folder: string): GenerationConfig {
  const path = join(folder, 'generation_config.json');
  if (!existsSync(path)) return { eosTokenIds: [] };
  let file: Readonly<Record<string, unknown>>;
  try {
    file = JSON.parse(readFileSync(path, 'utf8')) as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw new Error(`${path} could not be read as JSON: ${(error as Error).message}`, { cause: error });
  }
  return toGenerationConfig(file);
}

/** From the fields of such a file; wrong types are left out, as transformers treats them as unset. */
function toGenerationConfig(file: Readonly<Record<string, unknown>>): GenerationConfig {
  const numbers = Object.entries(fields).flatMap(([name, key]) =>
    typeof file[key] === 'number' ? [[name, file[key]] as const] : [],
  );
  const eos = [file['eos_token_id']].flat().filter((id) => typeof id === 'number');
  return { ...Object.fromEntries(numbers), eosTokenIds: eos };
}

/**
 * From `--override-generation-config`. Throws with one message that names every field that is unknown, of the wrong
 * type or out of bounds: a misspelt one would go unnoticed.
 */
export function overridingGenerationConfig(given: Readonly<Record<string, unknown>>): GenerationConfig {
  const names: readonly string[] = Object.values(fields);
  const wrong = Object.entries(given).flatMap(([name, value]) => {
    if (name === 'eos_token_id')
      return [value].flat().every(Number.isInteger) ? [] : [`${name} must be token ids`];
    if (!names.includes(name)) return [`${name} is not known`];
    if (typeof value !== 'number') return [`${name} must be a number, got ${JSON.stringify(value)}`];
    const [holds, expected] = bounds[name]!;
    return holds(value) ? [] : [`${name} must be ${expected}, got ${value}`];
  });
  if (wrong.length > 0)
    throw new Error(
      `--override-generation-config: ${wrong.join('; ')}; it takes ${names.join(', ')} and eos_token_id`,
    );
  return toGenerationConfig(given);
}
