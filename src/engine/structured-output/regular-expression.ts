import type { CodePointRange, Expression } from './expression.ts';
import { choice, quotedPart, repeat, StructuredOutputError, sequence, text } from './expression.ts';

export interface RegularExpressionOptions {
  /** How one character out of ranges is written; JSON strings escape some. */
  readonly character: (ranges: readonly CodePointRange[]) => Expression;
  /** JSON Schema looks for the pattern anywhere in the text; a plain regex describes all of it. */
  readonly isSearch: boolean;
}

const lastCodePoint = 0x10ffff;
const digits: readonly CodePointRange[] = [[0x30, 0x39]];
const wordCharacters: readonly CodePointRange[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const spaces: readonly CodePointRange[] = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const lineEnds: readonly CodePointRange[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];
const controls: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, 0: 0 };
const maxRepeat = 4096;
const maxCharacters = 16_384;
/** Of groups in groups, and of quantifiers one after the other. */
const maxNesting = 100;

/** Code points that are in none of the ranges. */
export function complement(ranges: readonly CodePointRange[]): CodePointRange[] {
  const gaps: CodePointRange[] = [];
  let next = 0;
  for (const [first, last] of ranges.toSorted(([a], [b]) => a - b)) {
    if (first > next) gaps.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  if (next <= lastCodePoint) gaps.push([next, lastCodePoint]);
  return gaps;
}

/**
 * Reads a regular expression in JavaScript's syntax, as far as it is regular: alternatives, groups, classes,
 * quantifiers (a lazy one describes the same texts), `^` and `$` at the ends. Assertions and references are
 * refused.
 */
export function parseRegularExpression(source: string, options: RegularExpressionOptions): Expression {
  const characters = Array.from(source);
  let at = 0;
  let nesting = 0;
  const peek = (offset = 0): string | undefined => characters[at + offset];
  const refuse = (what: string): StructuredOutputError =>
    new StructuredOutputError(`The pattern ${quotedPart(source)} cannot be used: ${what} (position ${at}).`);
  if (characters.length > maxCharacters) throw refuse(`it has more than ${maxCharacters} characters`);
  const take = (expected: string): boolean => {
    if (peek() !== expected) return false;
    at++;
    return true;
  };

  const anything = repeat(options.character([[0, lastCodePoint]]), 0);
  const alternatives = (isOutermost: boolean): Expression => {
    const parts = [concatenation(isOutermost)];
    while (take('|')) parts.push(concatenation(isOutermost));
    return parts.length === 1 ? parts[0]! : choice(...parts);
  };

  const concatenation = (isOutermost: boolean): Expression => {
    const isAnchored = isOutermost && take('^');
    const parts: Expression[] = isOutermost && options.isSearch && !isAnchored ? [anything] : [];
    let isEnded = false;
    while (at < characters.length && peek() !== '|' && peek() !== ')') {
      if (isOutermost && peek() === '$' && (peek(1) === undefined || peek(1) === '|')) {
        at++;
        isEnded = true;
      } else parts.push(quantified());
    }
    if (isOutermost && options.isSearch && !isEnded) parts.push(anything);
    return sequence(...parts);
  };

  const quantified = (): Expression => {
    let expression = atom();
    for (let quantifiers = 0; ; quantifiers++) {
      const bounds = quantifier();
      if (bounds === undefined) return expression;
      if (quantifiers > maxNesting) throw refuse('too many quantifiers follow each other');
      take('?');
      expression = repeat(expression, bounds[0], bounds[1]);
    }
  };

  const quantifier = (): readonly [min: number, max: number | undefined] | undefined => {
    if (take('*')) return [0, undefined];
    if (take('+')) return [1, undefined];
    if (take('?')) return [0, 1];
    const [whole, low, comma, high] =
      /^\{(\d+)(,?)(\d*)\}/.exec(characters.slice(at, at + 16).join('')) ?? [];
    if (whole === undefined) return undefined;
    const min = Number(low);
    const max = comma === '' ? min : high === '' ? undefined : Number(high);
    if (Math.max(min, max ?? 0) > maxRepeat || min > (max ?? min))
      throw refuse(`repetitions go from a smaller to a larger number, up to ${maxRepeat}`);
    at += whole.length;
    return [min, max];
  };

  const atom = (): Expression => {
    const next = peek()!;
    if (next === '(') return group();
    if (next === '[') return options.character(characterClass());
    if (next === '.') {
      at++;
      return options.character(complement(lineEnds));
    }
    if ('*+?^$'.includes(next)) throw refuse(`${next} has no meaning here`);
    const ranges = single();
    return options.character(ranges);
  };

  const group = (): Expression => {
    at++;
    if (take('?')) {
      if (take('<') && peek() !== '=' && peek() !== '!') {
        while (at < characters.length && !take('>')) at++;
      } else if (!take(':')) throw refuse('look-ahead and look-behind are not supported');
    }
    if (++nesting > maxNesting) throw refuse(`groups nest deeper than ${maxNesting} levels`);
    const inner = alternatives(false);
    if (!take(')')) throw refuse('a group is not closed');
    nesting--;
    return inner;
  };

  const characterClass = (): readonly CodePointRange[] => {
    at++;
    const isNegated = take('^');
    const ranges: CodePointRange[] = [];
    while (peek() !== ']') {
      if (peek() === undefined) throw refuse('a class is not closed');
      const from = single();
      const isRange = peek() === '-' && peek(1) !== ']' && peek(1) !== undefined;
      if (!isRange) {
        ranges.push(...from);
        continue;
      }
      at++;
      const to = single();
      const [first, last] = [from[0]![0], to[0]![0]];
      if (from.length > 1 || to.length > 1 || from[0]![0] !== from[0]![1] || first > last)
        throw refuse('a range goes from a smaller character to a larger one');
      ranges.push([first, last]);
    }
    at++;
    const found = isNegated ? complement(ranges) : ranges;
    if (found.length === 0) throw refuse('a class holds no character');
    return found;
  };

  /** One character, or an escape that stands for several. */
  const single = (): readonly CodePointRange[] => {
    const next = characters[at++]!;
    const exactly = (codePoint: number): readonly CodePointRange[] => [[codePoint, codePoint]];
    if (next !== '\\') return exactly(next.codePointAt(0)!);
    const escaped = characters[at++];
    if (escaped === undefined) throw refuse('it ends with a backslash');
    const sets: Readonly<Record<string, readonly CodePointRange[]>> = {
      d: digits,
      D: complement(digits),
      w: wordCharacters,
      W: complement(wordCharacters),
      s: spaces,
      S: complement(spaces),
    };
    const set = sets[escaped];
    if (set !== undefined) return set;
    if (escaped in controls) return exactly(controls[escaped]!);
    const length = { x: 2, u: 4 }[escaped];
    if (length !== undefined) {
      const hex = characters.slice(at, at + length).join('');
      if (!new RegExp(`^[0-9a-fA-F]{${length}}$`).test(hex))
        throw refuse(`\\${escaped} needs ${length} hex digits`);
      at += length;
      return exactly(Number.parseInt(hex, 16));
    }
    if (/[a-zA-Z1-9]/.test(escaped)) throw refuse(`\\${escaped} is not supported`);
    return exactly(escaped.codePointAt(0)!);
  };

  const whole = alternatives(true);
  if (at < characters.length) throw refuse('a ) has no (');
  return characters.length === 0 && !options.isSearch ? text('') : whole;
}
