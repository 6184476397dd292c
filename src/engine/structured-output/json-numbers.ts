import type { Expression } from './expression.ts';
import { jsonInteger, jsonNumber } from './json-grammar.ts';
import {
  integerWithin,
  multiplesOf,
  multiplesWithin,
  type NumberBounds,
  numberWithin,
} from './json-number-bounds.ts';

/** A number as its schema wants it, or what is wrong with the schema. */
export function numberExpression(
  type: 'integer' | 'number',
  bound: (key: string) => number | undefined,
  rules: Map<string, Expression>,
): Expression | string {
  const factor = bound('multipleOf');
  const bounds = tightest(bound);
  const isBounded = bounds.min !== undefined || bounds.max !== undefined;
  const none = 'allows no number that can be written with 15 digits';
  if (factor === undefined) {
    if (!isBounded) return type === 'integer' ? jsonInteger : jsonNumber;
    return (type === 'integer' ? integerWithin(bounds) : numberWithin(bounds)) ?? none;
  }
  if (factor === 1) return integerWithin(bounds) ?? none;
  const decimals = [1, 2, 3, 4, 5, 6].find((places) => Number(`1e-${places}`) === factor);
  if (decimals !== undefined)
    return (type === 'integer' ? integerWithin(bounds) : numberWithin(bounds, decimals)) ?? none;
  if (!Number.isInteger(factor) || factor < 1)
    return 'has a multipleOf that is neither whole nor 0.1, 0.01 and so on';
  if (isBounded)
    return multiplesWithin(factor, bounds) ?? 'has multipleOf with bounds that hold none, or too many';
  return (
    multiplesOf(factor, rules) ?? `has a multipleOf (${factor}) that needs minimum and maximum beside it`
  );
}

/** Of an inclusive and an exclusive bound the narrower one. */
function tightest(bound: (key: string) => number | undefined): NumberBounds {
  const [min, above] = [bound('minimum'), bound('exclusiveMinimum')];
  const [max, below] = [bound('maximum'), bound('exclusiveMaximum')];
  const isMinExclusive = above !== undefined && (min === undefined || above >= min);
  const isMaxExclusive = below !== undefined && (max === undefined || below <= max);
  return {
    min: isMinExclusive ? above : min,
    max: isMaxExclusive ? below : max,
    isMinExclusive,
    isMaxExclusive,
  };
}
