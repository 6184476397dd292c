import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StopStrings } from '../../../src/engine/server/stop-strings.ts';

function scan(pieces: readonly string[], stops: readonly string[], isIncluded = false) {
  const scanner = new StopStrings(stops, isIncluded);
  let text = '';
  for (const piece of pieces) {
    const result = scanner.push(piece);
    text += result.text;
    if (result.stop !== undefined) return { text, stop: result.stop };
  }
  return { text: text + scanner.flush(), stop: undefined };
}

const letter = fc.constantFrom('a', 'b', 'c');
const word = (maxLength: number) => fc.string({ unit: letter, minLength: 1, maxLength });

test('the result does not depend on where the text is cut', () => {
  fc.assert(
    fc.property(
      fc.array(word(5), { maxLength: 12 }),
      fc.array(word(4), { minLength: 1, maxLength: 3 }),
      fc.boolean(),
      (pieces, stops, isIncluded) => {
        expect(scan(pieces, stops, isIncluded)).toEqual(scan([...pieces.join('')], stops, isIncluded));
      },
    ),
    { numRuns: 1000 },
  );
});

test('without a match all text comes out, and no shown text is ever part of a stop string', () => {
  fc.assert(
    fc.property(fc.array(word(5), { maxLength: 12 }), word(4), (pieces, stop) => {
      const whole = pieces.join('');
      const { text, stop: found } = scan(pieces, [stop]);
      const at = whole.indexOf(stop);
      expect(text).toBe(at < 0 ? whole : whole.slice(0, at));
      expect(found).toBe(at < 0 ? undefined : stop);
    }),
    { numRuns: 1000 },
  );
});

test('holds back no more than could begin a stop string', () => {
  const scanner = new StopStrings(['###'], false);
  expect(scanner.push('ab#').text).toBe('ab');
  expect(scanner.push('#').text).toBe('');
  expect(scanner.push('c').text).toBe('##c');
});
