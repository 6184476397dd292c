/** The bytes of all tokens, as two arrays that can be sent to another thread. */
export interface Vocabulary {
  /** Token after token. */
  readonly bytes: Uint8Array;
  /** `[tokens + 1]` bounds into `bytes`; a token without bytes can never be part of a structure. */
  readonly starts: Int32Array;
}

export function packVocabulary(tokens: readonly Uint8Array[]): Vocabulary {
  const starts = new Int32Array(tokens.length + 1);
  tokens.forEach((token, id) => {
    starts[id + 1] = starts[id]! + token.length;
  });
  return { bytes: Buffer.concat(tokens), starts };
}

export function bytesOf({ bytes, starts }: Vocabulary, tokenId: number): Uint8Array {
  return tokenId + 1 < starts.length
    ? bytes.subarray(starts[tokenId], starts[tokenId + 1])
    : new Uint8Array();
}
