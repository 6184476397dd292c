/** Printable characters that stand for the 256 bytes in byte-level BPE. */
function byteCharacters(): readonly string[] {
  const isPrintable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
}

/**
 * A byte-level BPE tokenizer.json with a vocabulary of that size, so that loading it takes as long as loading a
 * real one: pairs of bytes, then pairs of those.
 */
export function randomTokenizer(vocabSize: number): object {
  const special = ['<|unknown|>', '<|begin|>', '<|endoftext|>'];
  const tokens: string[] = [...special, ...byteCharacters()];
  const merges: string[] = [];
  const first = special.length;
  const known = new Set(tokens);
  for (let left = first; tokens.length < vocabSize; left++) {
    for (let right = first; right < first + 256 && tokens.length < vocabSize; right++) {
      const merged = tokens[left]! + tokens[right]!;
      if (known.has(merged)) continue;
      known.add(merged);
      merges.push(`${tokens[left]} ${tokens[right]}`);
      tokens.push(merged);
    }
  }
  const added = special.map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}
