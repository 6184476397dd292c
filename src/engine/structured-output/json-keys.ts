import type { CodePointRange, Expression } from './expression.ts';
import { choice, repeat, rule, sequence, text } from './expression.ts';
import { characterInString } from './json-grammar.ts';
import { complement } from './regular-expression.ts';

/**
 * A text that is none of `names`, as it is written inside quotes. Characters are written plainly, so that a name cannot
 * be spelt in another way: a key that is there twice would stand for its last value.
 */
export function textExcept(names: readonly string[], rules: Map<string, Expression>): Expression {
  rules.set('plain text', repeat(characterInString([[0, 0x10ffff]]), 0));
  const anything = rule('plain text');
  /** After a beginning that all of `rests` share. */
  const after = (rests: readonly (readonly string[])[]): Expression => {
    const isName = rests.some((rest) => rest.length === 0);
    const nexts = new Map<string, (readonly string[])[]>();
    for (const [first, ...more] of rests)
      if (first !== undefined) nexts.set(first, [...(nexts.get(first) ?? []), more]);
    const taken = [...nexts.keys()].map(
      (letter): CodePointRange => [letter.codePointAt(0)!, letter.codePointAt(0)!],
    );
    return choice(
      ...(isName ? [] : [text('')]),
      sequence(characterInString(complement(taken)), anything),
      ...[...nexts.values()].map((more, i) => sequence(characterInString([taken[i]!]), after(more))),
    );
  };
  return after(names.map((name) => Array.from(name)));
}
