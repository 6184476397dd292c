import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { PickerDefinition, ScoredEndpoint } from '../../src/scheduling/index.ts';
import maxScore from '../../src/scheduling/pickers/max-score.ts';
import random from '../../src/scheduling/pickers/random.ts';
import weightedRandom from '../../src/scheduling/pickers/weighted-random.ts';
import { makeContext, makeEndpoints, seededRandom } from './support.ts';

const scored = (totals: readonly number[]): ScoredEndpoint[] =>
  makeEndpoints(totals.length).map((endpoint, i) => ({ endpoint, total: totals[i]! }));

/** Share of first places by slot, over many draws. */
function shares(definition: PickerDefinition, totals: readonly number[], draws = 20_000): number[] {
  const picker = definition.create({});
  const context = makeContext({ random: seededRandom(7) });
  const wins = totals.map(() => 0);
  for (let i = 0; i < draws; i++) {
    const slot = picker(context, scored(totals))[0]!.endpoint.slot;
    wins[slot] = wins[slot]! + 1 / draws;
  }
  return wins;
}

describe('every picker', () => {
  const folder = new URL('../../src/scheduling/pickers/', import.meta.url);
  const files = readdirSync(folder);
  it.each(files)('%s returns each candidate once and does not touch its input', async (file) => {
    const { default: definition } = (await import(`${folder}${file}`)) as {
      default: PickerDefinition;
    };
    expect(definition.kind).toBe('picker');
    expect(definition.description).not.toBe('');
    for (const totals of [[0], [0, 0, 0], [0.3, 2, 0, 1e-300, 5]]) {
      const input = Object.freeze(scored(totals));
      const ranking = definition.create(definition.defaults)(makeContext(), input);
      expect(new Set(ranking)).toEqual(new Set(input));
      expect(ranking).toHaveLength(input.length);
    }
  });
});

describe('the max-score picker', () => {
  it('orders by total', () => {
    const ranking = maxScore.create({})(makeContext(), scored([1, 3, 2]));
    expect(ranking.map(({ endpoint }) => endpoint.slot)).toEqual([1, 2, 0]);
  });
  it('shares ties evenly and at random', () => {
    const [a, b, c] = shares(maxScore, [1, 1, 0.5]);
    expect(a).toBeCloseTo(0.5, 1);
    expect(b).toBeCloseTo(0.5, 1);
    expect(c).toBe(0);
  });
});

describe('the weighted-random picker', () => {
  it('chooses in proportion to the totals', () => {
    const [a, b, c] = shares(weightedRandom, [1, 3, 0]);
    expect(a).toBeCloseTo(0.25, 1);
    expect(b).toBeCloseTo(0.75, 1);
    expect(c).toBe(0);
  });
  it('is plain random when all totals are zero', () => {
    for (const share of shares(weightedRandom, [0, 0, 0, 0])) expect(share).toBeCloseTo(0.25, 1);
  });
  it('holds proportions of totals near zero too', () => {
    expect(shares(weightedRandom, [1e-200, 3e-200])[1]).toBeCloseTo(0.75, 1);
  });
});

describe('the random picker', () => {
  it('does not look at the totals', () => {
    for (const share of shares(random, [0, 9])) expect(share).toBeCloseTo(0.5, 1);
  });
});
