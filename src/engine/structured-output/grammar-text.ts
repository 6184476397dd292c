import { parseEbnf } from './ebnf.ts';
import type { Expression } from './expression.ts';
import { choice, quotedPart, repeat, rule, StructuredOutputError, sequence } from './expression.ts';

/** The rule that the whole text is. */
const rootName = 'root';

/** A grammar in the notation that `parseEbnf` reads, beginning with its rule `root`. */
export function grammarExpression(source: string): {
  readonly expression: Expression;
  readonly rules: ReadonlyMap<string, Expression>;
} {
  const rules = new Map<string, Expression>();
  for (const [name, options] of parseEbnf(source)) rules.set(name, withoutOwnBeginning(name, options));
  if (!rules.has(rootName)) throw refused(`it has no rule ${quotedPart(rootName)}, where texts begin`);
  for (const [name, body] of rules)
    for (const called of references(body))
      if (!rules.has(called))
        throw refused(`${quotedPart(name)} refers to ${quotedPart(called)}, which does not exist`);
  const ending = derives(rules, canEnd);
  const endless = [...rules.keys()].find((name) => !ending.has(name));
  if (endless !== undefined) throw refused(`no text of ${quotedPart(endless)} has an end`);
  refuseBeginningsInCircles(rules);
  return { expression: rule(rootName), rules };
}

const refused = (what: string) => new StructuredOutputError(`The grammar cannot be used: ${what}.`);

/**
 * `a ::= a "+" b | b` means `a ::= b ("+" b)*`: a rule that begins with itself cannot be walked through letter by
 * letter.
 */
function withoutOwnBeginning(name: string, options: readonly Expression[]): Expression {
  const rests: Expression[] = [];
  const others: Expression[] = [];
  for (const option of options) {
    const parts = option.kind === 'sequence' ? option.parts : [option];
    const [first, ...rest] = parts;
    if (first?.kind === 'rule' && first.name === name) rests.push(sequence(...rest));
    else others.push(option);
  }
  const body = others.length === 1 ? others[0]! : choice(...others);
  return rests.length === 0 ? body : sequence(body, repeat(choice(...rests), 0));
}

function* references(expression: Expression): Generator<string> {
  if (expression.kind === 'rule') yield expression.name;
  for (const part of partsOf(expression)) yield* references(part);
}

function partsOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'sequence':
      return expression.parts;
    case 'choice':
      return expression.options;
    case 'repeat':
      return [expression.of];
    default:
      return [];
  }
}

type Holds = (expression: Expression, known: ReadonlySet<string>) => boolean;

/** The rules of which something holds that follows from its holding for others. */
function derives(rules: ReadonlyMap<string, Expression>, holds: Holds): ReadonlySet<string> {
  const referrers = new Map<string, string[]>();
  for (const [name, body] of rules)
    for (const called of new Set(references(body)))
      referrers.set(called, [...(referrers.get(called) ?? []), name]);
  const known = new Set<string>();
  const pending = [...rules.keys()];
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (known.has(name) || !holds(rules.get(name)!, known)) continue;
    known.add(name);
    pending.push(...(referrers.get(name) ?? []));
  }
  return known;
}

/** Some text of it is finite, if those of the known rules are. */
const canEnd: Holds = (expression, known) => {
  switch (expression.kind) {
    case 'rule':
      return known.has(expression.name);
    case 'sequence':
      return expression.parts.every((part) => canEnd(part, known));
    case 'choice':
      return expression.options.some((option) => canEnd(option, known));
    case 'repeat':
      return expression.min === 0 || canEnd(expression.of, known);
    default:
      return true;
  }
};

/** It may be the empty text, if the known rules may. */
const canBeEmpty: Holds = (expression, known) => {
  switch (expression.kind) {
    case 'text':
      return expression.text === '';
    case 'character':
      return false;
    case 'rule':
      return known.has(expression.name);
    case 'sequence':
      return expression.parts.every((part) => canBeEmpty(part, known));
    case 'choice':
      return expression.options.some((option) => canBeEmpty(option, known));
    case 'repeat':
      return expression.min === 0 || canBeEmpty(expression.of, known);
  }
};

/** Throws if a rule comes back to itself, through others or behind what may be empty, before anything is written. */
function refuseBeginningsInCircles(rules: ReadonlyMap<string, Expression>): void {
  const empty = derives(rules, canBeEmpty);
  const begins = (expression: Expression): readonly string[] => {
    if (expression.kind === 'rule') return [expression.name];
    if (expression.kind !== 'sequence') return partsOf(expression).flatMap(begins);
    const end = expression.parts.findIndex((part) => !canBeEmpty(part, empty));
    return expression.parts.slice(0, end < 0 ? undefined : end + 1).flatMap(begins);
  };
  const firsts = new Map([...rules].map(([name, body]) => [name, new Set(begins(body))]));
  /** Rules that nothing leads from to a circle. */
  const clear = new Set<string>();
  for (let isMore = true; isMore; ) {
    isMore = false;
    for (const [name, called] of firsts) {
      if (clear.has(name) || [...called].some((each) => !clear.has(each))) continue;
      clear.add(name);
      isMore = true;
    }
  }
  const circular = [...rules.keys()].find((name) => !clear.has(name));
  if (circular !== undefined)
    throw refused(
      `${quotedPart(circular)} begins with itself by way of other rules; let it begin with something else`,
    );
}
