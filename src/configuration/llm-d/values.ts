import { z } from 'zod';

/** Kubernetes' quantities, `20k` or `8Gi`, and Go's durations, `1m30s`, as documents write them. */

export const quantity = z.custom<string | number>(
  (value) =>
    typeof value === 'number' ||
    (typeof value === 'string' && /^\d+(\.\d+)?([mkMGTPE]|[KMGTPE]i)?$/.test(value.trim())),
  { error: 'expected a quantity such as 1000, 20k or 8Gi' },
);

const factors: Readonly<Record<string, number>> = {
  '': 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
  Ti: 1024 ** 4,
  Pi: 1024 ** 5,
  Ei: 1024 ** 6,
};

/** A quantity as a whole number, rounded up as Kubernetes does. */
export function quantityOf(value: string | number): number {
  if (typeof value === 'number') return Math.ceil(value);
  const [, number = '', suffix = ''] = /^([\d.]+)([a-zA-Z]*)$/.exec(value.trim()) ?? [];
  return Math.ceil(Number(number) * (factors[suffix] ?? Number.NaN));
}

export const duration = z.custom<string>(
  (value) => typeof value === 'string' && durationMs(value) !== undefined,
  {
    error: 'expected a duration such as 200ms, 30s or 1m30s',
  },
);

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of Go's duration; undefined if the text is none. */
export function durationMs(text: string): number | undefined {
  if (text === '0') return 0;
  if (!/^(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, number, , unit] of text.matchAll(/(\d+(\.\d*)?)(ns|us|µs|ms|s|m|h)/g))
    sum += Number(number) * unitMs[unit!]!;
  return sum;
}
