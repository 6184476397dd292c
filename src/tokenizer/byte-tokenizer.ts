import { createTableDetokenizer, tokenTexts } from './byte-level.ts';
import type { Tokenizer } from './tokenizer.ts';

/**
 * A tokenizer for models without one (random weights from a configuration alone): ids 0–255 are the bytes of
 * the text; higher ids, which such a model emits too, show as printable ASCII.
 */
export function createByteTokenizer(vocabSize: number): Tokenizer {
  const table = tokenTexts(
    Array.from({ length: vocabSize }, (_, id) => Uint8Array.of(id < 256 ? id : 32 + (id % 95))),
  );
  const none = new Set<number>();
  const createDetokenizer = () => createTableDetokenizer(table, none);
  return {
    vocabSize,
    maxTokenCharacters: 1,
    bosToken: undefined,
    eosToken: undefined,
    eosTokenId: undefined,
    specialTokens: new Map(),
    encode: (text) => Array.from(Buffer.from(text, 'utf8')),
    decode: (tokenIds) => {
      const detokenizer = createDetokenizer();
      return tokenIds.map((id) => detokenizer.push(id)).join('') + detokenizer.flush();
    },
    tokenString: (id) => table.textOf(id) ?? (id < vocabSize ? `<0x${id.toString(16)}>` : undefined),
    tokenBytes: (id) => table.bytes[id] ?? new Uint8Array(),
    createDetokenizer,
  };
}
