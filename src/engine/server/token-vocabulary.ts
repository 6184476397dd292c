import type { Tokenizer } from '../../tokenizer/index.ts';
import type { Vocabulary } from '../structured-output/index.ts';
import { packVocabulary } from '../structured-output/index.ts';

/** SentencePiece writes a space as this, and bytes without a token of their own as `<0x0A>`. */
const sentencePieceSpace = '\u2581';

/** The bytes that each token adds to a text. Control tokens add none: no structure contains them. */
export function readVocabulary(tokenizer: Tokenizer): Vocabulary {
  const control = new Set(tokenizer.specialTokens.values());
  const none = new Uint8Array();
  return packVocabulary(
    Array.from({ length: tokenizer.vocabSize }, (_, id) => {
      if (control.has(id) || id === tokenizer.eosTokenId) return none;
      const written = tokenizer.tokenString(id) ?? '';
      const byte = /^<0x([0-9A-F]{2})>$/.exec(written)?.[1];
      if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
      // Decoded alone, such a token would lose its space.
      if (written.includes(sentencePieceSpace))
        return Buffer.from(written.replaceAll(sentencePieceSpace, ' '), 'utf8');
      return tokenizer.tokenBytes(id);
    }),
  );
}
