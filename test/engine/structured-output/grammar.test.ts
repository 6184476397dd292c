import { describe, expect, test } from 'vitest';
import { Automaton, dead } from '../../../src/engine/structured-output/automaton.ts';
import { compileConstraint, StructuredOutputError } from '../../../src/engine/structured-output/index.ts';

/** What the automaton of a grammar says of a whole text. */
function matcher(source: string): (text: string) => boolean {
  const automaton = new Automaton(compileConstraint({ kind: 'grammar', source }));
  return (text) => {
    let state = automaton.start;
    for (const byte of Buffer.from(text, 'utf8')) {
      state = automaton.step(state, byte);
      if (state === dead) return false;
    }
    return automaton.isAccepting(state);
  };
}

const arithmetic = `
# Sums and products, as many a grammar has them
root   ::= expression
expression ::= term | expression ("+" | "-") term
term   ::= factor |
           term "*" factor
factor ::= number
         | "(" expression ")"
number ::= "-"? [0-9]+ ("." [0-9]{1,2})?
`;

const json = `root ::= object
value ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\\"" ( [^"\\\\\\x7F\\x00-\\x1F] | "\\\\" (["\\\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
# Optional space: by convention, applied in this grammar after literal chars when allowed
ws ::= | " " | "\\n" [ \\t]{0,20}`;

describe('grammars', () => {
  test.each([
    [
      'rules that begin with themselves',
      arithmetic,
      ['1', '-1.25+2*3', '((1)-2)*(3)', '1+2-3*4*5'],
      ['', '1+', '1..2', '(1', '1.234', '+1'],
    ],
    [
      'the JSON grammar of llama.cpp',
      json,
      ['{}', '{"a": [1, -2.5e+3, "x\\n\\u00e9é"], "b": {"c":null}}'],
      ['[]', '{"a" 1}', '{"a": 01}', '{"a": "\u0001"}'],
    ],
    [
      'quotes, classes and escapes',
      `root ::= 'it''s' "\\u00e9\\U0001F600" [^\\]a-c\\-] . [\\x41-\\x43-] "\\\\"`,
      ['itsé😀d😀A\\', 'itsé😀\nx-\\'],
      ['itsé😀]xA\\', 'itsé😀-xA\\', 'itsé😀dxD\\'],
    ],
    [
      'repetitions',
      'root ::= ("a" "b"?){2} "c"{2,} "d"{,2} "e"{1}? "f"+',
      ['abaccf', 'aacccddef', 'ababccdf'],
      ['abccf', 'aacf', 'aaccdddf', 'aacceef', 'aacc'],
    ],
    ['what may be empty', 'root ::= a* b\na ::= b "x"?\nb ::= ""', ['', 'x', 'xx'], ['y']],
    [
      'rules in each other',
      'root ::= "(" root? ")"',
      ['()', '((()))', '('.repeat(200) + ')'.repeat(200)],
      ['(()'],
    ],
  ])('hold %s', (_, source, right, wrong) => {
    const matches = matcher(source);
    for (const text of right) expect([text, matches(text)]).toEqual([text, true]);
    for (const text of wrong) expect([text, matches(text)]).toEqual([text, false]);
  });

  test('a sum that begins with itself may be longer than the nesting that is allowed', () => {
    expect(matcher(arithmetic)(`${'1+'.repeat(2000)}1`)).toBe(true);
  });

  test.each([
    ['', /no rule "root"/],
    ['start: "a"', /Lark/],
    ['root ::= "a', /literal is not closed \(line 1\)/],
    ['root ::= "a"\nb ::= [a', /a \[ is not closed \(line 2\)/],
    ['root ::= ("a"', /a \( is not closed/],
    ['root ::= "a")', /a \) has no \(/],
    ['root ::= "a" | b', /"b", which does not exist/],
    ['root ::= "a"\nroot ::= "b"', /two rules "root"/],
    ['root ::= a\na ::= "x" a', /no text of "root" has an end/],
    ['root ::= root "a"', /no text of "root" has an end/],
    ['root ::= a "x" | "y"\na ::= b root\nb ::= "z"?', /begins with itself/],
    ['root ::= "a"{3,2}', /is no repetition/],
    ['root ::= "a"{9999}', /over 4096 times/],
    ['root ::= [z-a]', /smaller character to a larger/],
    ['root ::= "\\q"', /stands for nothing/],
    ['root ::= "\\uD800"', /hex digits of a character/],
    ['root ::= (= "a")', /look-ahead/],
    ['root ::= "a" ; "b"', /";" has no meaning here/],
    [`root ::= ${'('.repeat(101)}"a"${')'.repeat(101)}`, /nest deeper/],
    ['root ::= ((("a"{4000}){4000}){4000})', /too large/],
    [Array.from({ length: 2001 }, (_, i) => `r${i} ::= "a"`).join('\n'), /2000 rules/],
    ['x'.repeat(70_000), /65536 characters/],
  ])('%j is refused with a reason', (source, reason) => {
    const compiling = () => compileConstraint({ kind: 'grammar', source });
    expect(compiling).toThrow(StructuredOutputError);
    expect(compiling).toThrow(reason);
  });
});
