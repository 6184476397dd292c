import { InvalidArgumentError } from 'commander';

/** Parsers for the values of flags; commander names the flag and what was found. */

export function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('Expected a whole number, 0 or more.');
  return Number(text);
}

export function countingNumber(text: string): number {
  const value = wholeNumber(text);
  if (value === 0) throw new InvalidArgumentError('Expected a whole number, 1 or more.');
  return value;
}

export function positiveNumber(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('Expected a number above 0.');
}

export function numberOrAuto(text: string): number | string {
  if (text === 'auto' || /^\d+$/.test(text)) return text === 'auto' ? text : Number(text);
  throw new InvalidArgumentError('Expected a whole number, 0 or more, or auto.');
}

/** For a flag that may be repeated. */
export function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}
