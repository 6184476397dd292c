import { Automaton, dead } from './automaton.ts';
import { character, choice, maxOptions, StructuredOutputError, text } from './expression.ts';
import type { Grammar } from './grammar.ts';
import { compileGrammar } from './grammar.ts';
import { grammarExpression } from './grammar-text.ts';
import { jsonObject, jsonRules } from './json-grammar.ts';
import { jsonSchemaExpression } from './json-schema.ts';
import { parseRegularExpression } from './regular-expression.ts';

/** What a request wants its text to be, as data that threads can exchange. */
export type Constraint =
  | { readonly kind: 'json_object' }
  | { readonly kind: 'json_schema'; readonly schema: unknown }
  | { readonly kind: 'regex'; readonly pattern: string }
  | { readonly kind: 'choice'; readonly options: readonly string[] }
  /** Rules as `parseEbnf` reads them. */
  | { readonly kind: 'grammar'; readonly source: string };

/** Throws `StructuredOutputError` with what cannot be held to. */
export function compileConstraint(constraint: Constraint): Grammar {
  const grammar = grammarOf(constraint);
  if (new Automaton(grammar).start === dead)
    throw new StructuredOutputError(
      'The structure allows no text, or refers to itself in too many ways before anything is written.',
    );
  return grammar;
}

function grammarOf(constraint: Constraint): Grammar {
  switch (constraint.kind) {
    case 'json_object':
      return compileGrammar(jsonObject, jsonRules);
    case 'json_schema': {
      const { expression, rules } = jsonSchemaExpression(constraint.schema);
      return compileGrammar(expression, new Map([...jsonRules, ...rules]));
    }
    case 'regex':
      return compileGrammar(
        parseRegularExpression(constraint.pattern, {
          character: (ranges) => character(...ranges),
          isSearch: false,
        }),
        new Map(),
      );
    case 'grammar': {
      const { expression, rules } = grammarExpression(constraint.source);
      return compileGrammar(expression, rules);
    }
    case 'choice':
      if (constraint.options.length === 0 || constraint.options.length > maxOptions)
        throw new StructuredOutputError(
          `A choice has 1 to ${maxOptions} options; this one has ${constraint.options.length}.`,
        );
      return compileGrammar(choice(...constraint.options.map(text)), new Map());
  }
}
