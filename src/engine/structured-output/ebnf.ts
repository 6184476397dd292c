import type { CodePointRange, Expression } from './expression.ts';
import {
  character,
  choice,
  maxOptions,
  quotedPart,
  repeat,
  rule,
  StructuredOutputError,
  sequence,
  text,
} from './expression.ts';
import { complement } from './regular-expression.ts';

/** The rules of a grammar, each a choice of sequences. */
export type EbnfRules = ReadonlyMap<string, readonly Expression[]>;

const maxCharacters = 65_536;
const maxRepeat = 4096;
const maxNesting = 100;
/** One after the other. */
const maxRepetitions = 8;
const maxRules = 2000;
const lastCodePoint = 0x10ffff;
const escapes: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, b: 8, f: 12, v: 11, a: 7, 0: 0 };

/**
 * Reads a grammar as llama.cpp (GBNF) and vLLM (xgrammar's EBNF) write it:
 *
 *   root  ::= "yes" | "no" ws reason{1,3}   # a comment
 *   reason ::= [a-z ,]+ "."
 *
 * Literals in quotes, classes in brackets, `.` for any character, groups, `? * + {m,n}`. A rule ends where the next one
 * begins, whatever the lines. https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md
 */
export function parseEbnf(source: string): EbnfRules {
  const characters = Array.from(source);
  let at = 0;
  let nesting = 0;
  const refuse = (what: string): StructuredOutputError => {
    const line = characters.slice(0, at).filter((letter) => letter === '\n').length + 1;
    return new StructuredOutputError(`The grammar cannot be used: ${what} (line ${line}).`);
  };
  if (characters.length > maxCharacters) throw refuse(`it has more than ${maxCharacters} characters`);
  const startsWith = (text: string) => characters.slice(at, at + text.length).join('') === text;
  const take = (text: string): boolean => {
    if (!startsWith(text)) return false;
    at += text.length;
    return true;
  };

  /** Blanks and comments. */
  const skip = (): void => {
    for (; at < characters.length; at++) {
      if (characters[at] === '#') while (at + 1 < characters.length && characters[at + 1] !== '\n') at++;
      else if (characters[at]!.trim() !== '') return;
    }
  };

  const readName = (): string | undefined => {
    const start = at;
    while (at < characters.length && /[\w-]/.test(characters[at]!)) at++;
    return at === start ? undefined : characters.slice(start, at).join('');
  };

  /** Whether a name and `::=` follow. */
  const isAtRule = (): boolean => {
    const start = at;
    const isName = readName() !== undefined;
    skip();
    const found = isName && startsWith('::=');
    at = start;
    return found;
  };

  const alternatives = (): Expression[] => {
    const options = [concatenation()];
    while (take('|')) options.push(concatenation());
    if (options.length > maxOptions) throw refuse(`a rule has more than ${maxOptions} alternatives`);
    return options;
  };

  /** Ends behind the blanks that follow. */
  const concatenation = (): Expression => {
    const parts: Expression[] = [];
    for (skip(); at < characters.length && !'|)'.includes(characters[at]!) && !isAtRule(); skip())
      parts.push(repeated(atom()));
    return parts.length === 1 ? parts[0]! : sequence(...parts);
  };

  const repeated = (of: Expression): Expression => {
    let expression = of;
    for (let repeats = 0; ; repeats++) {
      const bounds = readBounds();
      if (bounds === undefined) return expression;
      if (repeats >= maxRepetitions) throw refuse('too many repetitions follow each other');
      expression = repeat(expression, ...bounds);
    }
  };

  const readBounds = (): readonly [min: number, max?: number] | undefined => {
    if (take('*')) return [0];
    if (take('+')) return [1];
    if (take('?')) return [0, 1];
    if (characters[at] !== '{') return undefined;
    const end = characters.indexOf('}', at) + 1;
    const inside = characters.slice(at, Math.min(end, at + 32)).join('');
    const [whole, low = '', comma, high = ''] = /^\{\s*(\d*)\s*(,?)\s*(\d*)\s*\}$/.exec(inside) ?? [];
    const min = Number(low);
    const max = comma === '' ? min : high === '' ? undefined : Number(high);
    if (whole === undefined || (low === '' && high === '') || min > (max ?? min))
      throw refuse(`${quotedPart(inside)} is no repetition; write {2}, {2,} or {2,5}`);
    if (Math.max(min, max ?? 0) > maxRepeat)
      throw refuse(`something is to be repeated over ${maxRepeat} times`);
    at = end;
    return max === undefined ? [min] : [min, max];
  };

  const atom = (): Expression => {
    if (take('"')) return literal('"');
    if (take("'")) return literal("'");
    if (take('[')) return character(...characterClass());
    if (take('.')) return character([0, lastCodePoint]);
    if (take('(')) return group();
    const name = readName();
    if (name !== undefined) return rule(name);
    throw refuse(`${quotedPart(characters[at])} has no meaning here`);
  };

  const group = (): Expression => {
    if (startsWith('=')) throw refuse('look-ahead is not supported');
    if (++nesting > maxNesting) throw refuse(`groups nest deeper than ${maxNesting} levels`);
    const options = alternatives();
    if (!take(')')) throw refuse('a ( is not closed');
    nesting--;
    return options.length === 1 ? options[0]! : choice(...options);
  };

  const literal = (quote: string): Expression => {
    const codePoints: number[] = [];
    while (!take(quote)) {
      if (at >= characters.length || characters[at] === '\n') throw refuse('a literal is not closed');
      codePoints.push(readCharacter());
    }
    return text(codePoints.map((codePoint) => String.fromCodePoint(codePoint)).join(''));
  };

  const characterClass = (): readonly CodePointRange[] => {
    const isNegated = take('^');
    const ranges: CodePointRange[] = [];
    while (!take(']')) {
      const first = readCharacter();
      const isRange =
        characters[at] === '-' && characters[at + 1] !== ']' && characters[at + 1] !== undefined;
      if (isRange) at++;
      const last = isRange ? readCharacter() : first;
      if (first > last) throw refuse('a range goes from a smaller character to a larger one');
      ranges.push([first, last]);
      if (at >= characters.length) throw refuse('a [ is not closed');
    }
    const found = isNegated ? complement(ranges) : ranges;
    if (found.length === 0) throw refuse('a class holds no character');
    return found;
  };

  const readCharacter = (): number => {
    const next = characters[at++];
    if (next === undefined) throw refuse('it ends too early');
    if (next !== '\\') return next.codePointAt(0)!;
    const escaped = characters[at++] ?? '';
    const length = { x: 2, u: 4, U: 8 }[escaped];
    if (length === undefined) {
      const codePoint = Object.hasOwn(escapes, escaped) ? escapes[escaped] : escaped.codePointAt(0);
      if (codePoint === undefined || (/\w/.test(escaped) && !Object.hasOwn(escapes, escaped)))
        throw refuse(`${quotedPart(`\\${escaped}`)} stands for nothing`);
      return codePoint;
    }
    const hex = characters.slice(at, at + length).join('');
    const codePoint = Number.parseInt(hex, 16);
    const isCharacter = codePoint <= lastCodePoint && (codePoint < 0xd800 || codePoint > 0xdfff);
    if (!/^[\da-fA-F]+$/.test(hex) || hex.length < length || !isCharacter)
      throw refuse(`\\${escaped} needs the ${length} hex digits of a character`);
    at += length;
    return codePoint;
  };

  const rules = new Map<string, readonly Expression[]>();
  for (skip(); at < characters.length; skip()) {
    if (!isAtRule())
      throw refuse(
        source.includes('::=')
          ? 'a rule is written as name ::= …'
          : 'rules are written as name ::= …; grammars of Lark are not read',
      );
    const name = readName()!;
    skip();
    take('::=');
    if (rules.has(name)) throw refuse(`there are two rules ${quotedPart(name)}`);
    if (rules.size >= maxRules) throw refuse(`it has more than ${maxRules} rules`);
    rules.set(name, alternatives());
    if (characters[at] === ')') throw refuse('a ) has no (');
  }
  return rules;
}
