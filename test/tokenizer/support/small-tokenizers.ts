import { byteOfCharacter } from '../../../src/tokenizer/byte-level.ts';
import type { TokenizerFiles } from '../../../src/tokenizer/huggingface-tokenizer.ts';

const special = (id: number, content: string) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});

/**
 * A byte-level BPE: 256 bytes, a few merges (some of them parts of characters), three control tokens and one
 * added token that is ordinary text.
 */
export function byteLevelFiles(): TokenizerFiles {
  const characters = [...byteOfCharacter.keys()];
  const merges = [
    ['h', 'e'],
    ['l', 'l'],
    ['he', 'll'],
    ['hell', 'o'],
    ['Ġ', 'w'],
    ['ð', 'Ł'],
    ['Ã', '©'],
    ['â', 'Ĥ'],
  ];
  const vocab: Record<string, number> = {};
  for (const token of [...characters, ...merges.map((pair) => pair.join(''))])
    vocab[token] = Object.keys(vocab).length;
  const first = Object.keys(vocab).length;
  const specials = ['<|start|>', '<|im_start|>', '<|im_end|>'];
  return {
    tokenizer: {
      version: '1.0',
      added_tokens: [
        ...specials.map((content, i) => special(first + i, content)),
        { ...special(first + specials.length, '<think>'), special: false },
      ],
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      post_processor: {
        type: 'TemplateProcessing',
        single: [{ SpecialToken: { id: '<|start|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
        pair: [],
        special_tokens: { '<|start|>': { id: '<|start|>', ids: [first], tokens: ['<|start|>'] } },
      },
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: { type: 'BPE', vocab, merges: merges.map((pair) => pair.join(' ')), unk_token: null },
    },
    config: { bos_token: { content: '<|start|>' }, eos_token: '<|im_end|>' },
  };
}

/** A SentencePiece-like BPE with byte fallback: its decoder knows whole lists only. */
export function bytefallbackFiles(): TokenizerFiles {
  const pieces = [
    '<unk>',
    '<s>',
    '</s>',
    ...[...'abcdeh lowr'].map((c) => c.replace(' ', '▁')),
    '▁hello',
    'é',
  ];
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
  const vocab = Object.fromEntries([...pieces, ...bytes].map((token, id) => [token, id]));
  return {
    tokenizer: {
      version: '1.0',
      added_tokens: [special(0, '<unk>'), special(1, '<s>'), special(2, '</s>')],
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          { type: 'Strip', content: ' ', start: 1, stop: 0 },
        ],
      },
      model: { type: 'BPE', vocab, merges: [], unk_token: '<unk>', byte_fallback: true },
    },
    config: { bos_token: '<s>', eos_token: '</s>' },
  };
}
