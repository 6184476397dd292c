import type { CodePointRange, Expression } from './expression.ts';
import { character, choice, optional, repeat, rule, sequence, text } from './expression.ts';
import { complement } from './regular-expression.ts';

/**
 * JSON (RFC 8259) as rules. Blanks between parts are bounded, one space or a line feed and indentation: a model
 * that may write blanks without end sometimes does nothing else.
 */

const maxIndent = 32;
const hex = character([0x30, 0x39], [0x41, 0x46], [0x61, 0x66]);
const digit = character([0x30, 0x39]);
/** Four hex digits of a code unit that is a character by itself: not D800 to DFFF. */
const plainUnit = choice(
  sequence(
    character([0x30, 0x39], [0x41, 0x43], [0x45, 0x46], [0x61, 0x63], [0x65, 0x66]),
    repeat(hex, 3, 3),
  ),
  sequence(character([0x44, 0x44], [0x64, 0x64]), character([0x30, 0x37]), repeat(hex, 2, 2)),
);
const surrogate = (seconds: string) =>
  sequence(
    character([0x44, 0x44], [0x64, 0x64]),
    character(...[...seconds].map(codePointRange)),
    repeat(hex, 2, 2),
  );
/** Characters that a JSON string must escape. */
const escaped: readonly CodePointRange[] = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];
const shortEscapes = new Map([
  [0x08, 'b'],
  [0x09, 't'],
  [0x0a, 'n'],
  [0x0c, 'f'],
  [0x0d, 'r'],
  [0x22, '"'],
  [0x5c, '\\'],
]);

const blank = rule('blank');
export const jsonValue = rule('value');
export const jsonString = rule('string');
export const jsonInteger = rule('integer');
export const jsonNumber = rule('number');
export const jsonObject = rule('object');
export const jsonArray = rule('array');
/** One character of a string, escaped or not. */
export const jsonCharacter = rule('character');

/** Between the parts of objects and lists. */
export const comma = sequence(blank, text(','), blank);
export const colon = sequence(blank, text(':'), blank);
export const braces = (inner: Expression) => sequence(text('{'), blank, inner, blank, text('}'));
export const brackets = (inner: Expression) => sequence(text('['), blank, inner, blank, text(']'));
export const quoted = (inner: Expression) => sequence(text('"'), inner, text('"'));
export const separated = (item: Expression) => sequence(item, repeat(sequence(comma, item), 0));
export const emptyBraces = sequence(text('{'), blank, text('}'));
export const emptyBrackets = sequence(text('['), blank, text(']'));

export const jsonRules: ReadonlyMap<string, Expression> = new Map([
  [
    'blank',
    choice(
      text(''),
      text(' '),
      sequence(text('\n'), repeat(character([0x20, 0x20], [0x09, 0x09]), 0, maxIndent)),
    ),
  ],
  ['value', choice(jsonObject, jsonArray, jsonString, jsonNumber, text('true'), text('false'), text('null'))],
  [
    'character',
    choice(
      character(...complement(escaped)),
      sequence(text('\\'), character(...[...'"\\/bfnrt'].map(codePointRange))),
      sequence(text('\\u'), plainUnit),
      // A pair stands for one character; a half of one for none.
      sequence(text('\\u'), surrogate('89AaBb'), text('\\u'), surrogate('CcDdEeFf')),
    ),
  ],
  ['string', quoted(repeat(jsonCharacter, 0))],
  [
    'integer',
    sequence(optional(text('-')), choice(text('0'), sequence(character([0x31, 0x39]), repeat(digit, 0, 20)))),
  ],
  [
    'number',
    sequence(
      jsonInteger,
      optional(sequence(text('.'), repeat(digit, 1, 32))),
      optional(
        sequence(
          character(...[...'eE'].map(codePointRange)),
          optional(character(...[...'+-'].map(codePointRange))),
          repeat(digit, 1, 3),
        ),
      ),
    ),
  ],
  ['member', sequence(jsonString, colon, jsonValue)],
  ['object', choice(emptyBraces, braces(separated(rule('member'))))],
  ['array', choice(emptyBrackets, brackets(separated(jsonValue)))],
]);

/** One character out of ranges, as it is written inside a JSON string. */
export function characterInString(ranges: readonly CodePointRange[]): Expression {
  const plain = intersect(ranges, complement(escaped));
  const short = [...shortEscapes].flatMap(([codePoint, letter]) =>
    ranges.some(([first, last]) => codePoint >= first && codePoint <= last) ? [text(`\\${letter}`)] : [],
  );
  return short.length === 0 ? character(...plain) : choice(character(...plain), ...short);
}

function intersect(a: readonly CodePointRange[], b: readonly CodePointRange[]): CodePointRange[] {
  return a.flatMap(([aFirst, aLast]) =>
    b.flatMap(([bFirst, bLast]): CodePointRange[] => {
      const first = Math.max(aFirst, bFirst);
      const last = Math.min(aLast, bLast);
      return first > last ? [] : [[first, last]];
    }),
  );
}

function codePointRange(letter: string): CodePointRange {
  return [letter.codePointAt(0)!, letter.codePointAt(0)!];
}
