import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createByteTokenizer } from '../../src/tokenizer/byte-tokenizer.ts';
import type { TokenizerFiles } from '../../src/tokenizer/huggingface-tokenizer.ts';
import { createHuggingfaceTokenizer } from '../../src/tokenizer/huggingface-tokenizer.ts';
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { Utf8Stream } from '../../src/tokenizer/utf8-stream.ts';
import { bytefallbackFiles, byteLevelFiles } from './support/small-tokenizers.ts';

const byteLevel = createHuggingfaceTokenizer(byteLevelFiles());
const byteFallback = createHuggingfaceTokenizer(bytefallbackFiles());

function deltas(tokenizer: Tokenizer, ids: readonly number[], skipSpecialTokens = false): string[] {
  const detokenizer = tokenizer.createDetokenizer({ skipSpecialTokens });
  return [...ids.map((id) => detokenizer.push(id)), detokenizer.flush()];
}

const isHalfCharacter = (text: string) => /[\ud800-\udbff]$|^[\udc00-\udfff]/.test(text);

test('UTF-8 in any pieces decodes as in one piece, malformed input included', () => {
  const interesting = fc.constantFrom(
    0x41,
    0x80,
    0xbf,
    0xc0,
    0xc3,
    0xe0,
    0xe2,
    0x82,
    0xac,
    0xed,
    0xa0,
    0xf0,
    0x9f,
    0x98,
    0xf4,
    0x90,
    0xff,
  );
  const bytes = fc.array(fc.oneof(interesting, fc.nat(255)), { maxLength: 24 });
  fc.assert(
    fc.property(bytes, fc.array(fc.nat(24)), (all, cuts) => {
      const stream = new Utf8Stream();
      const edges = [0, ...cuts.filter((cut) => cut < all.length).sort((a, b) => a - b), all.length];
      let text = '';
      for (let i = 1; i < edges.length; i++)
        text += stream.push(Uint8Array.from(all.slice(edges[i - 1], edges[i])));
      expect(text + stream.flush()).toBe(
        new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(all)),
      );
    }),
    { numRuns: 2000 },
  );
});

describe('a byte-level stream', () => {
  test('concatenates to what the library decodes, for any tokens', () => {
    const { tokenizer, config } = byteLevelFiles();
    const library = new LibraryTokenizer(tokenizer, config);
    fc.assert(
      fc.property(
        fc.array(fc.nat(byteLevel.vocabSize - 1), { minLength: 1, maxLength: 40 }),
        fc.boolean(),
        (ids, skip) => {
          const whole = library.decode(ids, {
            skip_special_tokens: skip,
            clean_up_tokenization_spaces: false,
          });
          const parts = deltas(byteLevel, ids, skip);
          expect(parts.join('')).toBe(whole);
          expect(parts.filter(isHalfCharacter)).toEqual([]);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('gives text back unchanged', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (clean) => {
        const ids = byteLevel.encode(clean, { addSpecialTokens: false });
        expect(deltas(byteLevel, ids).join('')).toBe(clean);
        expect(byteLevel.decode(ids, { skipSpecialTokens: true })).toBe(clean);
      }),
    );
  });

  test('holds a character back until it is whole', () => {
    const idOfByte = (byte: number) =>
      [...Array(256).keys()].find((id) => byteLevel.tokenBytes(id)[0] === byte)!;
    const ids = [...Buffer.from('é😀')].map(idOfByte);
    expect(deltas(byteLevel, ids)).toEqual(['', 'é', '', '', '', '😀', '']);
  });

  test('leaves control tokens out, and ordinary added tokens in', () => {
    const ids = byteLevel.encode('a<|im_end|><think>b', { addSpecialTokens: true });
    expect(deltas(byteLevel, ids, true).join('')).toBe('a<think>b');
    expect(deltas(byteLevel, ids, false).join('')).toBe('<|start|>a<|im_end|><think>b');
  });
});

describe('a stream of a decoder that knows whole lists only', () => {
  test('concatenates to the whole decode', () => {
    const ids = fc.array(fc.nat(byteFallback.vocabSize - 1), { minLength: 1, maxLength: 24 });
    const text = fc.string({ unit: fc.constantFrom('h', 'e', 'l', 'o', ' ', 'é', '😀', 'w'), maxLength: 20 });
    fc.assert(
      fc.property(text, (written) => {
        const encoded = byteFallback.encode(written.replaceAll(' ', '▁'), { addSpecialTokens: false });
        expect(deltas(byteFallback, encoded).join('')).toBe(
          byteFallback.decode(encoded, { skipSpecialTokens: false }),
        );
      }),
    );
    fc.assert(
      fc.property(ids, (any) => {
        const parts = deltas(byteFallback, any);
        expect(parts.filter(isHalfCharacter)).toEqual([]);
      }),
    );
  });

  test('never shows part of a character that is written in bytes', () => {
    const vocabulary = bytefallbackFiles() as TokenizerFiles & {
      tokenizer: { model: { vocab: Record<string, number> } };
    };
    const ids = [...Buffer.from('😀')].map(
      (byte) => vocabulary.tokenizer.model.vocab[`<0x${byte.toString(16).toUpperCase()}>`]!,
    );
    expect(deltas(byteFallback, ids)).toEqual(['', '', '', '😀', '']);
  });
});

test('the byte tokenizer gives text back and shows every id', () => {
  const tokenizer = createByteTokenizer(1000);
  const ids = tokenizer.encode('héllo', { addSpecialTokens: true });
  expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe('héllo');
  expect(tokenizer.decode([300, 999], { skipSpecialTokens: true })).toMatch(/^[ -~]{2}$/);
});
