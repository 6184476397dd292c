import type { IncrementalDetokenizer } from './incremental-detokenizer.ts';

export interface EncodeOptions {
  /** Adds what the model expects around a text, such as a beginning-of-text token. */
  readonly addSpecialTokens: boolean;
}

export interface DecodeOptions {
  /** Leaves out control tokens such as end of text. */
  readonly skipSpecialTokens: boolean;
}

/** One model's vocabulary. Decoding never changes spaces: texts of consecutive tokens can be joined. */
export interface Tokenizer {
  /** Ids are below this. */
  readonly vocabSize: number;
  /** No token stands for more characters (UTF-16 units) than this, before normalization. */
  readonly maxTokenCharacters: number;
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  readonly eosTokenId: number | undefined;
  /** Control tokens by their text, e.g. `<|im_end|>`. In a text to encode they mean themselves. */
  readonly specialTokens: ReadonlyMap<string, number>;
  encode(text: string, options: EncodeOptions): number[];
  decode(tokenIds: readonly number[], options: DecodeOptions): string;
  /** The token as its vocabulary writes it; undefined if there is no such token. */
  tokenString(tokenId: number): string | undefined;
  /** The bytes that the token stands for; parts of a character are possible. */
  tokenBytes(tokenId: number): Uint8Array;
  /** A stream of tokens to a stream of text. */
  createDetokenizer(options: DecodeOptions): IncrementalDetokenizer;
}
