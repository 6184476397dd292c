import { expect, it } from 'vitest';
import { createTokenizer } from '../../src/tokenizer/index.ts';

const whole = {
  added_tokens: [{ id: 0, content: '<s>', special: true }],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: { type: 'ByteLevel' },
  model: { type: 'BPE', vocab: { '<s>': 0, a: 1, b: 2, ab: 3 }, merges: ['a b'] },
};

it.each<readonly [RegExp, object]>([
  [/model should be an object, found nothing/, { model: undefined }],
  [/model\.type should be text, found 3/, { model: { ...whole.model, type: 3 } }],
  [
    /model\.vocab\["a"\] should be a token id below 16777216, found 1000000000/,
    { model: { ...whole.model, vocab: { a: 1e9 } } },
  ],
  [
    /model\.merges\[0\] should be two tokens, found "a b c"/,
    { model: { ...whole.model, merges: ['a b c'] } },
  ],
  [/added_tokens should be a list, found \{\}/, { added_tokens: {} }],
  [/added_tokens\[0\]\.id should be a token id .*, found -1/, { added_tokens: [{ id: -1, content: 'x' }] }],
  [/decoder\.type should be text, found nothing/, { decoder: {} }],
  [
    /normalizer\.normalizers\[0\] should be an object, found null/,
    { normalizer: { type: 'Sequence', normalizers: [null] } },
  ],
  [
    /pre_tokenizer\.pattern should be a Regex or a String, found 7/,
    { pre_tokenizer: { type: 'Split', pattern: { Regex: 7 } } },
  ],
  [/Unknown PreTokenizer type: Other/, { pre_tokenizer: { type: 'Other' } }],
])('a damaged tokenizer.json is refused with its field: %s', (message, changes) => {
  const load = () =>
    createTokenizer('/models/x/tokenizer.json', { tokenizer: { ...whole, ...changes }, config: {} });
  expect(load).toThrow(/^\/models\/x\/tokenizer\.json is not a tokenizer that can be used here: /);
  expect(load).toThrow(message);
});
