import { describe, expect, it } from 'vitest';
import {
  coefficientOfVariation,
  holm,
  jainIndex,
  pairedRatio,
  quantile,
  studentCumulative,
  studentQuantile,
  tInterval,
} from '../../src/simulation/statistics.ts';

describe('statistics', () => {
  it.each([
    [1, 12.706],
    [2, 4.303],
    [3, 3.182],
    [9, 2.262],
    [10, 2.228],
    [29, 2.045],
  ])('knows the 97.5 % point of t with %i degrees of freedom', (degrees, expected) => {
    expect(studentQuantile(0.975, degrees)).toBeCloseTo(expected, 3);
    expect(studentCumulative(expected, degrees)).toBeCloseTo(0.975, 4);
  });

  it('takes quantiles by nearest rank', () => {
    const values = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    expect([0, 0.5, 0.9, 0.91, 1].map((share) => quantile(values, share))).toEqual([1, 5, 9, 10, 10]);
    expect(quantile([], 0.5)).toBeNaN();
  });

  it('gives the textbook t-interval', () => {
    const { mean, halfWidth } = tInterval([10, 12, 14]);
    expect(mean).toBe(12);
    expect(halfWidth).toBeCloseTo((4.3027 * 2) / Math.sqrt(3), 3);
    expect(tInterval([5]).halfWidth).toBeNaN();
  });

  it('sees a steady ratio through noise that pairs share', () => {
    const control = [100, 400, 900, 250];
    const treatment = [81, 319, 722, 199];
    const { ratio, low, high, pValue } = pairedRatio(treatment, control);
    expect(ratio).toBeCloseTo(0.8, 2);
    expect(low).toBeGreaterThan(0.78);
    expect(high).toBeLessThan(0.82);
    expect(pValue).toBeLessThan(0.001);
  });

  it('claims nothing for equal pairs', () => {
    expect(pairedRatio([1, 2, 3], [1, 2, 3])).toMatchObject({ ratio: 1, pValue: 1 });
  });

  it("corrects by Holm's steps and keeps the order", () => {
    expect(holm([0.04, 0.001, 0.03])).toEqual([0.06, 0.003, 0.06]);
    expect(holm([0.9, 0.8])).toEqual([1, 1]);
  });

  it("measures spread and fairness: Jain's index is 1 for equal shares and 1/n when one has all", () => {
    expect(coefficientOfVariation([2, 4])).toBeCloseTo(1 / 3, 9);
    expect(jainIndex([3, 3, 3])).toBeCloseTo(1, 9);
    expect(jainIndex([1, 0, 0, 0])).toBeCloseTo(0.25, 9);
  });
});
