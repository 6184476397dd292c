import type { Expression } from './expression.ts';
import { character, choice, maxOptions, optional, repeat, rule, sequence, text } from './expression.ts';

/** What a schema says of a number. */
export interface NumberBounds {
  readonly min?: number | undefined;
  readonly max?: number | undefined;
  readonly isMinExclusive?: boolean;
  readonly isMaxExclusive?: boolean;
}

/**
 * Beyond these a number read as float64 may be another one than was written. A decimal of 15 digits is the float64
 * that it is read as: comparing digits is comparing numbers.
 */
const largestInteger = BigInt(Number.MAX_SAFE_INTEGER);
const maxDigits = 15;
const digit = digits(0, 9);

function digits(first: number, last: number): Expression {
  return character([0x30 + first, 0x30 + last]);
}

/** Undefined if there is no such integer. */
export function integerWithin({
  min,
  max,
  isMinExclusive,
  isMaxExclusive,
}: NumberBounds): Expression | undefined {
  let low = min === undefined ? -largestInteger : clamp(Math.ceil(min));
  let high = max === undefined ? largestInteger : clamp(Math.floor(max));
  if (isMinExclusive && Number(low) === min) low++;
  if (isMaxExclusive && Number(high) === max) high--;
  const isOutside = (min ?? 0) > Number(largestInteger) || (max ?? 0) < -Number(largestInteger);
  if (low > high || isOutside) return undefined;
  return signed(low, high, (from, to) => naturals(from, to));
}

/** Undefined if no number of `maxDigits` digits lies between. Exponents are not written. */
export function numberWithin(bounds: NumberBounds, decimals?: number): Expression | undefined {
  const { min, max, isMinExclusive = false, isMaxExclusive = false } = bounds;
  const isSmall = min !== undefined && max !== undefined && Math.abs(min) < 1000 && Math.abs(max) < 1000;
  const places = decimals ?? (isSmall ? maxDigits - 3 : 6);
  const most = 10n ** BigInt(maxDigits) - 1n;
  const beyond = (bound: number | undefined) =>
    bound !== undefined && Math.abs(bound) >= 10 ** (maxDigits - places);
  // Between huge bounds, whole numbers will do.
  if (beyond(min) || beyond(max)) return integerWithin(bounds);
  const low = min === undefined ? -most : scaled(min, places, isMinExclusive ? 'above' : 'up');
  const high = max === undefined ? most : scaled(max, places, isMaxExclusive ? 'below' : 'down');
  if (low > high) return undefined;
  return signed(low, high, (from, to) => decimalsWithin(from, to, places));
}

/**
 * Integers that `factor` divides, of up to 15 digits; undefined if it takes too much to tell them. What divides 10, 100
 * or 1,000 shows in the last digits; with other small numbers the remainder goes from digit to digit.
 */
export function multiplesOf(factor: number, rules: Map<string, Expression>): Expression | undefined {
  const ending = [1, 2, 3].find((count) => 10 ** count % factor === 0);
  if (ending === undefined && factor > largestFactor) return undefined;
  const magnitudes = ending === undefined ? byRemainder(factor, rules) : byEnding(factor, ending);
  return choice(text('0'), sequence(optional(text('-')), magnitudes));
}

/** Largest divisor whose remainders are followed. */
const largestFactor = 12;

function byEnding(factor: number, ending: number): Expression {
  const count = 10 ** ending / factor;
  const endings = Array.from({ length: count }, (_, i) => text(String(i * factor).padStart(ending, '0')));
  const short = Array.from({ length: count - 1 }, (_, i) => text(String((i + 1) * factor)));
  const long = sequence(digits(1, 9), repeat(digit, 0, maxDigits - ending - 1), choice(...endings));
  return choice(...short, long);
}

function byRemainder(factor: number, rules: Map<string, Expression>): Expression {
  const follow = (from: number, left: number, digitsLeft: number): Expression[] =>
    Array.from({ length: 10 - from }, (_, i) =>
      sequence(text(String(from + i)), after((left * 10 + from + i) % factor, digitsLeft)),
    );
  const after = (left: number, digitsLeft: number): Expression => {
    const name = `multiple:${factor}:${left}:${digitsLeft}`;
    if (!rules.has(name)) {
      rules.set(name, text(''));
      const more = digitsLeft === 0 ? [] : follow(0, left, digitsLeft - 1);
      rules.set(name, choice(...(left === 0 ? [text('')] : []), ...more));
    }
    return rule(name);
  };
  return choice(...follow(1, 0, maxDigits - 1));
}

/** Multiples within bounds, one by one; undefined if there are too many, or none. */
export function multiplesWithin(factor: number, { min, max, ...ends }: NumberBounds): Expression | undefined {
  if (min === undefined || max === undefined) return undefined;
  const first = Math.ceil(min / factor);
  const last = Math.floor(max / factor);
  if (last - first >= maxOptions) return undefined;
  const values = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * factor).filter(
    (value) => !(ends.isMinExclusive && value === min) && !(ends.isMaxExclusive && value === max),
  );
  return values.length === 0
    ? undefined
    : choice(...values.map((value) => text(String(value === 0 ? 0 : value))));
}

function clamp(value: number): bigint {
  if (Math.abs(value) <= Number(largestInteger)) return BigInt(value);
  return value < 0 ? -largestInteger : largestInteger;
}

/** A bound times 10^places, rounded into the allowed side; by the digits that the bound was written with. */
function scaled(bound: number, places: number, side: 'up' | 'above' | 'down' | 'below'): bigint {
  const [, sign, whole = '0', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(bound)) ?? [];
  const written = BigInt(`${sign}${whole}${fraction}`);
  const shift = places + Number(exponent) - fraction.length;
  if (shift >= 0) {
    const exact = written * 10n ** BigInt(shift);
    return side === 'above' ? exact + 1n : side === 'below' ? exact - 1n : exact;
  }
  const divisor = 10n ** BigInt(-shift);
  const floor = written / divisor - (written % divisor < 0n ? 1n : 0n);
  const isExact = floor * divisor === written;
  if (side === 'up' || side === 'above') return isExact && side === 'up' ? floor : floor + 1n;
  return isExact && side === 'below' ? floor - 1n : floor;
}

/** Values from below zero and from zero on; there is no minus zero. */
function signed(low: bigint, high: bigint, magnitudes: (from: bigint, to: bigint) => Expression): Expression {
  const options: Expression[] = [];
  if (low < 0n) options.push(sequence(text('-'), magnitudes(high < 0n ? -high : 1n, -low)));
  if (high >= 0n) options.push(magnitudes(low > 0n ? low : 0n, high));
  return choice(...options);
}

/** Whole numbers from `from` to `to`, both at least 0, without leading zeros. */
function naturals(from: bigint, to: bigint): Expression {
  const options: Expression[] = [];
  for (let length = String(from).length; length <= String(to).length; length++) {
    const least = length === 1 ? 0n : 10n ** BigInt(length - 1);
    const most = 10n ** BigInt(length) - 1n;
    options.push(between(String(from > least ? from : least), String(to < most ? to : most)));
  }
  return choice(...options);
}

/** Digits from `a` to `b`, which are equally long. */
function between(a: string, b: string): Expression {
  if (a === '') return text('');
  if (/^0*$/.test(a.slice(1)) && /^9*$/.test(b.slice(1)))
    return sequence(digits(Number(a[0]), Number(b[0])), repeat(digit, a.length - 1, a.length - 1));
  if (a[0] === b[0]) return sequence(text(a[0]!), between(a.slice(1), b.slice(1)));
  const rest = a.length - 1;
  const [first, last] = [Number(a[0]), Number(b[0])];
  return choice(
    sequence(text(a[0]!), between(a.slice(1), '9'.repeat(rest))),
    ...(last - first > 1 ? [sequence(digits(first + 1, last - 1), repeat(digit, rest, rest))] : []),
    sequence(text(b[0]!), between('0'.repeat(rest), b.slice(1))),
  );
}

/** Decimals between two numbers of units of 10^-places, both at least 0. */
function decimalsWithin(from: bigint, to: bigint, places: number): Expression {
  const unit = 10n ** BigInt(places);
  const [low, high] = [from / unit, to / unit];
  const fraction = (value: bigint) => String(value % unit).padStart(places, '0');
  const [zeros, nines] = ['0'.repeat(places), '9'.repeat(places)];
  const withWhole = (whole: bigint, a: string, b: string) => sequence(text(String(whole)), fractions(a, b));
  if (low === high) return withWhole(low, fraction(from), fraction(to));
  return choice(
    withWhole(low, fraction(from), nines),
    ...(high - low > 1n ? [sequence(naturals(low + 1n, high - 1n), fractions(zeros, nines))] : []),
    withWhole(high, zeros, fraction(to)),
  );
}

/** `.` and digits, or nothing where that means the same: fractions from `a` to `b`, trailing zeros left out at will. */
function fractions(a: string, b: string): Expression {
  if (a === '') return text('');
  const written = sequence(text('.'), fractionDigits(a, b, true));
  return /^0*$/.test(a) ? optional(written) : written;
}

function fractionDigits(a: string, b: string, isFirst: boolean): Expression {
  if (a === '') return text('');
  // What is left out is zero: that must be allowed.
  const mayEnd = !isFirst && /^0*$/.test(a) ? [text('')] : [];
  const [first, last] = [Number(a[0]), Number(b[0])];
  const rest = a.length - 1;
  const [zeros, nines] = ['0'.repeat(rest), '9'.repeat(rest)];
  if (a.slice(1) === zeros && b.slice(1) === nines)
    return choice(...mayEnd, sequence(digits(first, last), repeat(digit, 0, rest)));
  const under = (next: number, low: string, high: string) =>
    sequence(digits(next, next), fractionDigits(low, high, false));
  if (first === last) return choice(...mayEnd, under(first, a.slice(1), b.slice(1)));
  return choice(
    ...mayEnd,
    under(first, a.slice(1), nines),
    ...(last - first > 1 ? [sequence(digits(first + 1, last - 1), repeat(digit, 0, rest))] : []),
    under(last, zeros, b.slice(1)),
  );
}
