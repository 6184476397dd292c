/** What a text must look like. Schemas and regular expressions become this; `compileGrammar` makes it run. */
export type Expression =
  | { readonly kind: 'text'; readonly text: string }
  /** One character out of inclusive ranges of code points. */
  | { readonly kind: 'character'; readonly ranges: readonly CodePointRange[] }
  | { readonly kind: 'sequence'; readonly parts: readonly Expression[] }
  | { readonly kind: 'choice'; readonly options: readonly Expression[] }
  | {
      readonly kind: 'repeat';
      readonly of: Expression;
      readonly min: number;
      readonly max: number | undefined;
    }
  /** A rule by name; rules may refer to each other and to themselves, but not begin with themselves. */
  | { readonly kind: 'rule'; readonly name: string };

export type CodePointRange = readonly [first: number, last: number];

/** The request asks for something that cannot be held to. */
export class StructuredOutputError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StructuredOutputError';
  }
}

/** Alternatives, members or entries in one place. */
export const maxOptions = 10_000;

/** A value of the request in a message about it. */
export function quotedPart(value: unknown): string {
  const json = JSON.stringify(value) ?? 'nothing';
  return json.length > 100 ? `${json.slice(0, 100)}…` : json;
}

export const text = (value: string): Expression => ({ kind: 'text', text: value });
export const character = (...ranges: readonly CodePointRange[]): Expression => ({
  kind: 'character',
  ranges,
});
export const sequence = (...parts: readonly Expression[]): Expression => ({ kind: 'sequence', parts });
export const choice = (...options: readonly Expression[]): Expression => ({ kind: 'choice', options });
export const repeat = (of: Expression, min: number, max?: number): Expression => ({
  kind: 'repeat',
  of,
  min,
  max,
});
export const optional = (of: Expression): Expression => repeat(of, 0, 1);
export const rule = (name: string): Expression => ({ kind: 'rule', name });
