import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Endpoint, withTerms } from '../../src/scheduling/index.ts';
import maxScore from '../../src/scheduling/pickers/max-score.ts';
import { createProfile, type Profile, type ProfileOptions } from '../../src/scheduling/profile.ts';
import { makeContext, makeEndpoints } from './support.ts';

const all = { name: 'all', filter: (_context: unknown, endpoints: readonly Endpoint[]) => endpoints };

function profile(parts: Partial<ProfileOptions> = {}): Profile {
  return createProfile({
    name: 'default',
    filters: [],
    scorers: [],
    picker: { name: 'max-score', picker: maxScore.create({}) },
    ...parts,
  });
}

/** Scores endpoints by their slot. */
const scores = (name: string, weight: number, values: readonly number[]) => ({
  name,
  weight,
  scorer: () => values,
});

describe('a profile', () => {
  it('orders endpoints by the weighted sum of their scores', () => {
    const result = profile({
      scorers: [scores('a', 2, [0.1, 0.5, 1]), scores('b', 1, [1, 1, 0.5])],
    }).run(makeContext(), makeEndpoints(3));
    expect(result.totals).toEqual([1.2, 2, 2.5]);
    expect(result.ranking.map(({ slot }) => slot)).toEqual([2, 1, 0]);
    expect(result.scores.map(({ scorer, weight }) => [scorer, weight])).toEqual([
      ['a', 2],
      ['b', 1],
    ]);
  });

  it('records what scores are made of, from scorers that tell', () => {
    const terms = [{ name: 'queue', unit: 'ms', values: [40, 80] }] as const;
    const result = profile({
      scorers: [
        { name: 'delay', weight: 1, scorer: () => withTerms([1, 0.5], terms) },
        scores('a', 1, [0, 0]),
      ],
    }).run(makeContext(), makeEndpoints(2));
    expect(result.scores.map((step) => step.terms)).toEqual([terms, undefined]);
  });

  it('proposes without telling the plugins, until the choice is confirmed', () => {
    const told: number[] = [];
    const listening = Object.assign(() => [0, 1], {
      chosen: (_context: unknown, { slot }: Endpoint) => told.push(slot),
    });
    const failing = Object.assign(() => [0, 0], {
      chosen: () => {
        throw new Error('full');
      },
    });
    const listeners = profile({
      scorers: [
        { name: 'listening', weight: 1, scorer: listening },
        { name: 'failing', weight: 1, scorer: failing },
      ],
    });
    const proposed = listeners.propose(makeContext(), makeEndpoints(2));
    expect([proposed.ranking[0]?.slot, told]).toEqual([1, []]);
    expect(listeners.confirm(makeContext(), proposed.ranking[0]!)).toEqual([
      { kind: 'scorer', name: 'failing', message: 'full' },
    ]);
    expect(told).toEqual([1]);
    expect(listeners.run(makeContext(), makeEndpoints(2)).failures).toHaveLength(1);
  });

  it('records what each filter removed, and runs the next on what is left', () => {
    const result = profile({
      filters: [
        { name: 'not-0', filter: (_c, all) => all.filter(({ slot }) => slot !== 0) },
        { name: 'first', filter: (_c, all) => all.slice(0, 1) },
      ],
    }).run(makeContext(), makeEndpoints(3));
    expect(result.considered).toBe(3);
    expect(result.filters).toEqual([
      { filter: 'not-0', removed: ['engine-0'] },
      { filter: 'first', removed: ['engine-2'] },
    ]);
    expect(result.candidates.map(({ name }) => name)).toEqual(['engine-1']);
  });

  it('ends with an empty ranking when filters leave nothing', () => {
    const result = profile({ filters: [{ name: 'none', filter: () => [] }] }).run(
      makeContext(),
      makeEndpoints(2),
    );
    expect(result.ranking).toEqual([]);
    expect(result.failures).toEqual([]);
    expect(profile().run(makeContext(), []).ranking).toEqual([]);
  });

  it('counts how many candidates share the best total', () => {
    const result = profile({ scorers: [scores('a', 1, [0.5, 0.9, 0.9])] }).run(
      makeContext(),
      makeEndpoints(3),
    );
    expect(result.tied).toBe(2);
  });

  it('takes scores below 0, above 1 and not a number for the nearest that is allowed', () => {
    const wild = [Number.NaN, -3, 7, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    const result = profile({ scorers: [scores('a', 1, wild)] }).run(makeContext(), makeEndpoints(5));
    expect(result.scores[0]!.scores).toEqual([0, 0, 1, 1, 0]);
  });

  const boom = (): never => {
    throw new Error('boom');
  };

  it('goes on without a filter that throws', () => {
    const result = profile({ filters: [{ name: 'bad', filter: boom }] }).run(makeContext(), makeEndpoints(2));
    expect(result.ranking).toHaveLength(2);
    expect(result.failures).toEqual([{ kind: 'filter', name: 'bad', message: 'boom' }]);
  });

  it('lets a plugin that sorts its list in place confuse only itself', () => {
    const reverse = (endpoints: readonly Endpoint[]) => (endpoints as Endpoint[]).reverse();
    const endpoints = makeEndpoints(3);
    const result = profile({
      filters: [
        all,
        { name: 'turned', filter: (_context, list) => reverse(list) },
        {
          name: 'not-0',
          filter: (_context, list) => {
            const kept = list.filter(({ slot }) => slot !== 0);
            reverse(list);
            return kept;
          },
        },
      ],
      scorers: [
        { name: 'turns', weight: 1, scorer: (_context, list) => reverse(list).map(() => 0) },
        { name: 'slot', weight: 1, scorer: (_context, list) => list.map(({ slot }) => slot / 4) },
      ],
    }).run(makeContext(), endpoints);
    expect(result.failures.map(({ name }) => name)).toEqual(['turned']);
    expect(result.totals).toEqual([0.25, 0.5]);
    expect(result.ranking.map(({ slot }) => slot)).toEqual([2, 1]);
    expect(endpoints.map(({ slot }) => slot)).toEqual([0, 1, 2]);
  });

  it('goes on without a filter that makes up endpoints', () => {
    const foreign = makeEndpoints(9)[8]!;
    const result = profile({ filters: [{ name: 'bad', filter: () => [foreign] }] }).run(
      makeContext(),
      makeEndpoints(2),
    );
    expect(result.ranking).toHaveLength(2);
    expect(result.failures[0]).toMatchObject({ kind: 'filter', name: 'bad' });
  });

  it('goes on without a scorer that throws or returns the wrong number of scores', () => {
    const result = profile({
      scorers: [
        { name: 'bad', weight: 9, scorer: boom },
        scores('short', 9, [1]),
        { name: 'late', weight: 9, scorer: (async () => [1, 0]) as never },
        scores('good', 1, [0.2, 0.8]),
      ],
    }).run(makeContext(), makeEndpoints(2));
    expect(result.totals).toEqual([0.2, 0.8]);
    expect(result.scores.map(({ scorer }) => scorer)).toEqual(['good']);
    expect(result.failures.map(({ name }) => name)).toEqual(['bad', 'short', 'late']);
  });

  it('takes max-score when the picker throws, chooses nothing, or chooses a stranger', () => {
    const stranger = { endpoint: makeEndpoints(9)[8]!, total: 1 };
    for (const picker of [boom, () => [], () => [stranger]]) {
      const result = profile({ scorers: [scores('a', 1, [0, 1])], picker: { name: 'bad', picker } }).run(
        makeContext(),
        makeEndpoints(2),
      );
      expect(result.ranking[0]!.slot).toBe(1);
      expect(result.failures[0]).toMatchObject({ kind: 'picker', name: 'bad' });
    }
  });

  it('always ranks the candidates, each once, whatever the scores', () => {
    const anyScores = fc.array(fc.double(), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(anyScores, fc.double({ min: 0, max: 100, noNaN: true }), (values, weight) => {
        const endpoints = makeEndpoints(values.length);
        const result = profile({ filters: [all], scorers: [scores('a', weight, values)] }).run(
          makeContext(),
          endpoints,
        );
        expect([...result.ranking].sort((a, b) => a.slot - b.slot)).toEqual(endpoints);
        expect(result.totals[result.ranking[0]!.slot]).toBe(Math.max(...result.totals));
      }),
    );
  });

  it('writes down the load of each candidate as the decision saw it', () => {
    const endpoints = makeEndpoints(1, () => ({
      metrics: { queuedRequests: 3, runningRequests: 4, kvCacheUsage: 0.5, ageMs: 70 },
      inFlight: { requests: 6 },
    }));
    expect(profile().run(makeContext({ cached: [640] }), endpoints).candidates).toEqual([
      {
        name: 'engine-0',
        address: '10.0.0.1:8000',
        metricsAgeMs: 70,
        queuedRequests: 3,
        runningRequests: 4,
        kvCacheUsage: 0.5,
        inFlightRequests: 6,
        cachedTokens: 640,
      },
    ]);
  });
});
