import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { draftByNgram, readSpeculativeConfig } from '../../../src/engine/speculation/index.ts';

function draft(text: readonly number[], room = 3, { minNgram = 2, maxNgram = 4 } = {}): number[] {
  const tokens = new Int32Array(text.length + room);
  tokens.set(text);
  const count = draftByNgram(tokens, text.length, { draftTokens: room, minNgram, maxNgram }, room);
  expect(Array.from(tokens.subarray(0, text.length))).toEqual(text);
  return Array.from(tokens.subarray(text.length, text.length + count));
}

describe('a draft by n-gram', () => {
  test.each<[string, number[], number[]]>([
    ['what followed the same ending', [1, 2, 3, 4, 5, 9, 1, 2], [3, 4, 5]],
    ['the longer ending counts more than the later place', [1, 2, 3, 7, 2, 3, 8, 1, 2, 3], [7, 2, 3]],
    ['of equal endings the latest place', [1, 2, 7, 1, 2, 8, 1, 2], [8, 1, 2]],
    ['no more than there is', [5, 6, 5, 6], [5, 6]],
    ['nothing for an ending that is new', [1, 2, 3, 4], []],
    ['nothing for an ending shorter than the least', [1, 2, 9, 2], []],
    ['nothing for one token', [1], []],
  ])('%s', (_, text, expected) => {
    expect(draft(text)).toEqual(expected);
  });

  test('no more than there is room for', () => {
    expect(draft([1, 2, 3, 4, 1, 2], 1)).toEqual([3]);
    expect(draft([1, 2, 3, 4, 1, 2], 0)).toEqual([]);
  });

  test('always continues an earlier place of the longest ending', () => {
    const text = fc.array(fc.nat(3), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 3 }), fc.nat(3), (tokens, minNgram, more) => {
        const maxNgram = minNgram + more;
        const ends = tokens.map((_, end) => end).slice(1);
        const common = (end: number) => {
          let n = 0;
          while (n < Math.min(maxNgram, end) && tokens[end - 1 - n] === tokens[tokens.length - 1 - n]) n++;
          return n;
        };
        const best = Math.max(0, ...ends.map(common));
        const end = best < minNgram ? undefined : ends.findLast((each) => common(each) === best);
        const expected = end === undefined ? [] : tokens.slice(end, end + 3);
        expect(draft(tokens, 3, { minNgram, maxNgram })).toEqual(expected);
      }),
    );
  });
});

describe('--speculative-config', () => {
  const base = { method: 'ngram', num_speculative_tokens: 4 };

  test.each([
    [{}, { draftTokens: 4, minNgram: 5, maxNgram: 5 }],
    [{ prompt_lookup_max: 3 }, { draftTokens: 4, minNgram: 3, maxNgram: 3 }],
    [{ prompt_lookup_min: 2 }, { draftTokens: 4, minNgram: 2, maxNgram: 2 }],
    [
      { prompt_lookup_min: 2, prompt_lookup_max: 4 },
      { draftTokens: 4, minNgram: 2, maxNgram: 4 },
    ],
  ])('with %j', (keys, expected) => {
    expect(readSpeculativeConfig({ ...base, ...keys })).toEqual(expected);
  });

  test.each([
    [{ ...base, method: 'eagle' }, /method must be "ngram".*"eagle"/],
    [{ method: 'ngram' }, /num_speculative_tokens is required/],
    [{ ...base, num_speculative_tokens: 0 }, /whole number from 1 to 32, got 0/],
    [{ ...base, prompt_lookup_min: 4, prompt_lookup_max: 2 }, /must not be above/],
    [{ ...base, model: 'x' }, /no key "model"/],
  ])('refuses %j', (given, message) => {
    expect(() => readSpeculativeConfig(given)).toThrow(message);
  });

  test('is off when absent', () => {
    expect(readSpeculativeConfig(undefined)).toBeUndefined();
  });
});
