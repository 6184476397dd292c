import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { bytesOfToken, createTableDetokenizer, tokenTexts } from './byte-level.ts';
import type { Tokenizer } from './tokenizer.ts';
import { createWindowDetokenizer } from './window-detokenizer.ts';

/** `tokenizer.json` and `tokenizer_config.json`, parsed. */
export interface TokenizerFiles {
  readonly tokenizer: object;
  readonly config: Readonly<Record<string, unknown>>;
}

/** Normalization form C makes at most four units of text into one. */
const normalizationShrinkage = 4;

/** A tokenizer from a checkpoint's files. Throws what the library says of a file that it cannot use. */
export function createHuggingfaceTokenizer({ tokenizer, config }: TokenizerFiles): Tokenizer {
  const library = new LibraryTokenizer(tokenizer, config);
  const vocab = library.get_vocab();
  let vocabSize = 0;
  let longestToken = 1;
  for (const [token, id] of vocab) {
    vocabSize = Math.max(vocabSize, id + 1);
    longestToken = Math.max(longestToken, token.length);
  }
  const added = library.get_added_tokens_decoder();
  const specialTokens = new Map<string, number>();
  for (const [id, token] of added) if (token.special) specialTokens.set(token.content, id);
  const special = new Set(specialTokens.values());
  const none = new Set<number>();

  const decode = (tokenIds: readonly number[], skipSpecialTokens: boolean): string => {
    const known = tokenIds.filter(
      (id) => library.id_to_token(id) !== undefined && !(skipSpecialTokens && special.has(id)),
    );
    if (known.length === 0) return '';
    return library.decode(known, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  };

  const bytes = new Array<Uint8Array | undefined>(vocabSize);
  const isByteLevel = usesByteLevel(tokenizer);
  for (const [token, id] of vocab)
    bytes[id] = isByteLevel && !added.has(id) ? bytesOfToken(token) : Buffer.from(token, 'utf8');
  const table = isByteLevel ? tokenTexts(bytes) : undefined;

  const bosToken = tokenContent(config['bos_token']);
  const eosToken = tokenContent(config['eos_token']);
  return {
    vocabSize,
    maxTokenCharacters: longestToken * normalizationShrinkage,
    bosToken,
    eosToken,
    eosTokenId: eosToken === undefined ? undefined : library.token_to_id(eosToken),
    specialTokens,
    encode: (text, { addSpecialTokens }) =>
      text === '' && !addSpecialTokens
        ? []
        : library.encode(text, { add_special_tokens: addSpecialTokens }).ids,
    decode: (tokenIds, { skipSpecialTokens }) => decode(tokenIds, skipSpecialTokens),
    tokenString: (id) => library.id_to_token(id),
    tokenBytes: (id) =>
      (table === undefined ? Buffer.from(decode([id], false), 'utf8') : bytes[id]) ?? new Uint8Array(),
    createDetokenizer: ({ skipSpecialTokens }) => {
      const skipped = skipSpecialTokens ? special : none;
      return table === undefined
        ? createWindowDetokenizer((ids) => decode(ids, false), skipped)
        : createTableDetokenizer(table, skipped);
    },
  };
}

/** True if the decoder is GPT-2's byte table, alone or as the only step of a sequence. */
function usesByteLevel(tokenizer: object): boolean {
  const decoder = 'decoder' in tokenizer ? tokenizer.decoder : undefined;
  if (typeof decoder !== 'object' || decoder === null || !('type' in decoder)) return false;
  if (decoder.type === 'ByteLevel') return true;
  if (decoder.type !== 'Sequence' || !('decoders' in decoder) || !Array.isArray(decoder.decoders))
    return false;
  return decoder.decoders.length === 1 && decoder.decoders[0]?.type === 'ByteLevel';
}

/** A special token in `tokenizer_config.json` is a string or an object with `content`. */
function tokenContent(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'object' && value !== null && 'content' in value && typeof value.content === 'string')
    return value.content;
  return undefined;
}
