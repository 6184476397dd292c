import type { Expression } from './expression.ts';
import { choice, optional, rule, sequence, text } from './expression.ts';
import { braces, comma, emptyBraces } from './json-grammar.ts';

/** A member of an object, its key included. */
export interface Member {
  readonly expression: Expression;
  readonly isRequired: boolean;
}

/**
 * Members in order, optional ones left out at will, then `others` if there are any. Two rules per member, added to
 * `rules` under `name`, for what may follow once there is something before it, and before there is: an expression per
 * subset would double with each member.
 */
export function memberList(
  members: readonly Member[],
  others: Expression | undefined,
  name: string,
  rules: Map<string, Expression>,
): Expression {
  const at = (i: number, isFirst: boolean) => rule(`members:${name}:${i}:${isFirst}`);
  const end = members.length;
  rules.set(`members:${name}:${end}:true`, others === undefined ? text('') : optional(others));
  rules.set(
    `members:${name}:${end}:false`,
    others === undefined ? text('') : optional(sequence(comma, others)),
  );
  members.forEach(({ expression, isRequired }, i) => {
    for (const isFirst of [true, false]) {
      const present = sequence(...(isFirst ? [] : [comma]), expression, at(i + 1, false));
      rules.set(
        `members:${name}:${i}:${isFirst}`,
        isRequired ? present : choice(present, at(i + 1, isFirst)),
      );
    }
  });
  return members.some(({ isRequired }) => isRequired)
    ? braces(at(0, true))
    : choice(emptyBraces, braces(at(0, true)));
}
