/** How drafts are made. */
export interface SpeculativeConfig {
  /** Tokens drafted per sequence and step, at most. */
  readonly draftTokens: number;
  /** Lengths of the endings that are looked up, longest first. */
  readonly maxNgram: number;
  readonly minNgram: number;
}

const known = ['method', 'num_speculative_tokens', 'prompt_lookup_max', 'prompt_lookup_min'];
const mostDraftTokens = 32;

/** `--speculative-config`, with vLLM's keys. Undefined if absent; throws with what to change. */
export function readSpeculativeConfig(
  given: Readonly<Record<string, unknown>> | undefined,
): SpeculativeConfig | undefined {
  if (given === undefined) return undefined;
  for (const key of Object.keys(given))
    if (!known.includes(key))
      throw new Error(`--speculative-config has no key "${key}"; it knows ${known.join(', ')}`);
  const { method } = given;
  if (method !== 'ngram')
    throw new Error(
      `--speculative-config: method must be "ngram", which is all this engine has; got ${JSON.stringify(method)}`,
    );
  const draftTokens = read('num_speculative_tokens', mostDraftTokens);
  if (draftTokens === undefined)
    throw new Error(
      '--speculative-config: num_speculative_tokens is required, such as {"method":"ngram","num_speculative_tokens":4}',
    );
  // As vLLM: either bound stands for the other; without both, 5.
  const max = read('prompt_lookup_max', 64);
  const min = read('prompt_lookup_min', 64);
  const maxNgram = max ?? min ?? 5;
  const minNgram = min ?? maxNgram;
  if (minNgram > maxNgram)
    throw new Error(
      `--speculative-config: prompt_lookup_min (${minNgram}) must not be above prompt_lookup_max (${maxNgram})`,
    );
  return { draftTokens, maxNgram, minNgram };

  function read(key: string, most: number): number | undefined {
    const value = given?.[key];
    if (value === undefined || value === null) return undefined;
    if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > most)
      throw new Error(
        `--speculative-config: ${key} must be a whole number from 1 to ${most}, got ${JSON.stringify(value)}`,
      );
    return value as number;
  }
}
