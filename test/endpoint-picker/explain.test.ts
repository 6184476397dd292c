import { describe, expect, it } from 'vitest';
import { explainDecision } from '../../src/endpoint-picker/explain.ts';
import type { SchedulingResult } from '../../src/scheduling/scheduling-result.ts';
import { fakeEndpointPicker } from '../support/fake-endpoint-picker.ts';
import { createFleet } from './support.ts';

async function recordOf(
  endpoints: number,
  change: Partial<SchedulingResult> = {},
): Promise<SchedulingResult> {
  const picker = fakeEndpointPicker(
    Array.from({ length: endpoints }, (_, index) => ({
      name: `pod-${index}`,
      address: `10.0.0.${index}:80`,
    })),
  );
  const request = { id: 'r', model: 'm', promptTokens: 10 } as Parameters<typeof picker.pick>[0];
  const { record } = await picker.pick(request, { signal: new AbortController().signal });
  return { ...record, ...change };
}

describe('explainDecision', () => {
  it('tells winner, runner-up, their weighted scores and ages, and who was removed by what', async () => {
    expect(JSON.parse(explainDecision(await recordOf(3), 'pod-0'))).toEqual({
      endpoint: 'pod-0',
      profile: 'default',
      total: 2,
      scores: { queue: 2 },
      cachedTokens: 0,
      inFlight: 0,
      queued: 0,
      metricsAgeMs: 40,
      runnerUp: {
        endpoint: 'pod-1',
        total: 1,
        scores: { queue: 1 },
        cachedTokens: 0,
        inFlight: 0,
        queued: 0,
        metricsAgeMs: 40,
      },
      candidates: 3,
      considered: 4,
      removed: [{ filter: 'healthy', endpoints: ['pod-é'] }],
      tied: 1,
      promptTokens: 10,
      decisionMs: 0.1,
    });
  });

  it('tells what the scores are made of, for winner and runner-up', async () => {
    const fleet = createFleet();
    const { record, endpoint } = await fleet.pick({ promptTokens: 1000 });
    const { terms, runnerUp } = JSON.parse(explainDecision(record, endpoint.name));
    const names = Object.keys(terms);
    expect(names).toEqual(expect.arrayContaining(['queue ms', 'own prefill ms', 'decode ms']));
    expect(Object.keys(runnerUp.terms)).toEqual(names);
    expect(terms['own prefill ms']).toBeGreaterThan(0);
  });

  it('tells when another endpoint answered than was chosen', async () => {
    expect(JSON.parse(explainDecision(await recordOf(2), 'pod-1'))).toMatchObject({
      endpoint: 'pod-1',
      chosen: 'pod-0',
    });
  });

  it.each([
    [
      'many removed endpoints',
      { filters: [{ filter: 'label', removed: Array.from({ length: 500 }, (_, i) => `pod-${i}`) }] },
    ],
    [
      'many scorers',
      {
        scores: Array.from({ length: 200 }, (_, i) => ({
          scorer: `scorer-${i}`,
          weight: 1,
          scores: [0.5, 0.25],
        })),
      },
    ],
    ['no candidate', { candidates: [], totals: [], ranking: [] }],
  ])('fits 2 KiB of ASCII with %s', async (_, change) => {
    const text = explainDecision(await recordOf(2, change), 'pod-\u{1f600}');
    expect(text.length).toBeLessThanOrEqual(2048);
    expect(text).toMatch(/^[\x20-\x7e]+$/);
    expect(JSON.parse(text).endpoint).toBe('pod-\u{1f600}');
  });
});
