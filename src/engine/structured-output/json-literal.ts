import type { Expression } from './expression.ts';
import { maxOptions, StructuredOutputError, sequence, text } from './expression.ts';
import { braces, brackets, colon, comma, emptyBraces, emptyBrackets } from './json-grammar.ts';

/** Exactly this value, with the blanks that people put into JSON. */
export function literal(value: unknown): Expression {
  if (typeof value !== 'object' || value === null) return text(JSON.stringify(value));
  const isList = Array.isArray(value);
  const entries = isList
    ? value.map(literal)
    : Object.entries(value).map(([key, each]) => sequence(literal(key), colon, literal(each)));
  if (entries.length > maxOptions)
    throw new StructuredOutputError(
      `A constant may have up to ${maxOptions} entries; one has ${entries.length}.`,
    );
  if (entries.length === 0) return isList ? emptyBrackets : emptyBraces;
  const inner = sequence(...entries.flatMap((entry, i) => (i === 0 ? [entry] : [comma, entry])));
  return isList ? brackets(inner) : braces(inner);
}
