/** Turns a stream of tokens into a stream of text; the concatenation equals decoding all tokens at once. */
export interface IncrementalDetokenizer {
  /** The text that this token completes; empty while a character is unfinished. */
  push(tokenId: number): string;
  /** The end: an unfinished character becomes U+FFFD, as in any UTF-8 decoder. */
  flush(): string;
}
