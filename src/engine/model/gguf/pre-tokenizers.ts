/** How a byte-level BPE splits text before merging. */
export interface PreTokenizer {
  /** Applied one after the other; none: GPT-2's own. */
  readonly patterns: readonly string[];
  /** Unicode normalization form C first. */
  readonly normalizes: boolean;
  /** A word that is a token as a whole is never taken apart. */
  readonly ignoresMerges: boolean;
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const WORD = '[^\\r\\n\\p{L}\\p{N}]?';
const SPACES = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

/** The pattern of cl100k and its kin, with up to `digits` digits together. */
const cl100k = (digits: string) =>
  `${CONTRACTIONS}|${WORD}\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`;
/** The pattern of o200k and its kin, which splits words also where lower case ends. */
const o200k = (digits: string, contractions: string) =>
  `${WORD}${UPPER}*${LOWER}+${contractions}|${WORD}${UPPER}+${LOWER}*${contractions}|${digits}` +
  `| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`;

const GPT2: PreTokenizer = { patterns: [], normalizes: false, ignoresMerges: false };
const LLAMA3: PreTokenizer = { patterns: [cl100k('\\p{N}{1,3}')], normalizes: false, ignoresMerges: true };

/** By `tokenizer.ggml.pre`. */
export const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  default: GPT2,
  'gpt-2': GPT2,
  'llama-bpe': LLAMA3,
  'llama-v3': LLAMA3,
  llama3: LLAMA3,
  dbrx: { ...LLAMA3, ignoresMerges: false },
  qwen2: { patterns: [cl100k('\\p{N}')], normalizes: true, ignoresMerges: false },
  smollm: {
    ...GPT2,
    patterns: [
      '\\p{N}',
      "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    ],
  },
  tekken: { patterns: [o200k('\\p{N}', '')], normalizes: false, ignoresMerges: true },
  'gpt-4o': { patterns: [o200k('\\p{N}{1,3}', `${CONTRACTIONS}?`)], normalizes: false, ignoresMerges: false },
};
