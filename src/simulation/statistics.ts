/** Exact quantiles, intervals over seeds, paired ratios. Nothing here is approximate but the t distribution. */

export interface Interval {
  readonly mean: number;
  /** Half width of the 95 % interval; NaN with one sample. */
  readonly halfWidth: number;
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return values.length === 0 ? Number.NaN : sum / values.length;
}

/** Sample standard deviation (n - 1). */
function standardDeviation(values: ArrayLike<number>): number {
  const center = mean(values);
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i]! - center) ** 2;
  return Math.sqrt(squares / (values.length - 1));
}

/** Standard deviation over mean of the whole population. */
export function coefficientOfVariation(values: ArrayLike<number>): number {
  const center = mean(values);
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i]! - center) ** 2;
  return center === 0 ? 0 : Math.sqrt(squares / values.length) / center;
}

/** The smallest value that at least `share` of all do not exceed (nearest rank). `sorted` ascends. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) return Number.NaN;
  const rank = Math.ceil(share * sorted.length);
  return sorted[Math.min(sorted.length, Math.max(1, rank)) - 1]!;
}

/** Mean with its 95 % t-interval. */
export function tInterval(values: readonly number[]): Interval {
  const degrees = values.length - 1;
  const halfWidth =
    degrees < 1
      ? Number.NaN
      : (studentQuantile(0.975, degrees) * standardDeviation(values)) / Math.sqrt(values.length);
  return { mean: mean(values), halfWidth };
}

export interface PairedRatio {
  /** Geometric mean of treatment / control over the pairs. */
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
  /** Two-sided probability of so large a difference if there were none; NaN with one pair. */
  readonly pValue: number;
}

/** Ratio of two positive figures measured on the same seeds; intervals on the logarithms of the pairs' ratios. */
export function pairedRatio(treatment: readonly number[], control: readonly number[]): PairedRatio {
  if (treatment.length !== control.length) throw new Error('pairs need as many treatments as controls');
  const logs = treatment.map((value, i) => Math.log(value / control[i]!));
  const { mean: center, halfWidth } = tInterval(logs);
  const degrees = logs.length - 1;
  const error = standardDeviation(logs) / Math.sqrt(logs.length);
  return {
    ratio: Math.exp(center),
    low: Math.exp(center - halfWidth),
    high: Math.exp(center + halfWidth),
    pValue: degrees < 1 ? Number.NaN : twoSided(center, error, degrees),
  };
}

/** Holm's step-down adjustment (1979): compare each result with the level itself. Order is kept. */
export function holm(pValues: readonly number[]): readonly number[] {
  const order = pValues.map((_, i) => i).sort((a, b) => pValues[a]! - pValues[b]!);
  const adjusted = new Array<number>(pValues.length);
  let largest = 0;
  for (const [rank, index] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (pValues.length - rank) * pValues[index]!));
    adjusted[index] = largest;
  }
  return adjusted;
}

/** Jain's index: 1 when all get the same, 1/n when one gets all. */
export function jainIndex(values: readonly number[]): number {
  const sum = values.reduce((total, value) => total + value, 0);
  const squares = values.reduce((total, value) => total + value * value, 0);
  return squares === 0 ? 1 : (sum * sum) / (values.length * squares);
}

function twoSided(center: number, error: number, degrees: number): number {
  if (error === 0) return center === 0 ? 1 : 0;
  return 2 * (1 - studentCumulative(Math.abs(center / error), degrees));
}

/** The t for which the cumulative probability is `probability`, by bisection. */
export function studentQuantile(probability: number, degrees: number): number {
  let low = 0;
  let high = 1e4;
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (studentCumulative(middle, degrees) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Cumulative t distribution for t >= 0 and whole degrees (Abramowitz and Stegun 26.7.3 and 26.7.4). */
export function studentCumulative(t: number, degrees: number): number {
  const angle = Math.atan(t / Math.sqrt(degrees));
  const cosine = Math.cos(angle);
  const isOdd = degrees % 2 === 1;
  let term = isOdd ? cosine : 1;
  let sum = degrees === 1 ? 0 : term;
  for (let k = isOdd ? 3 : 2; k <= degrees - 2; k += 2) {
    term *= (cosine * cosine * (k - 1)) / k;
    sum += term;
  }
  const inside = isOdd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum;
  return 0.5 + inside / 2;
}
