/** Scorers that keep llm-d's formulas: figures as its plugin catalogue gives them. */
import { describe, expect, it } from 'vitest';
import activeRequests from '../../scorers/active-requests.ts';
import loadAware from '../../scorers/load-aware.ts';
import noHitLru from '../../scorers/no-hit-lru.ts';
import prefixMatch from '../../scorers/prefix-match.ts';
import queueMinMax from '../../scorers/queue-min-max.ts';
import runningMinMax from '../../scorers/running-min-max.ts';
import sessionPin from '../../scorers/session-pin.ts';
import tokenLoad from '../../scorers/token-load.ts';
import { makeContext, makeEndpoints } from '../scheduling/support.ts';

const withQueues = (...queues: number[]) =>
  makeEndpoints(queues.length, (slot) => ({
    metrics: { queuedRequests: queues[slot]!, runningRequests: queues[slot]! },
  }));
const withRequests = (...requests: number[]) =>
  makeEndpoints(requests.length, (slot) => ({ inFlight: { requests: requests[slot]! } }));
const prefix = { count: 10, blockTokens: 64, low: new Uint32Array(10), high: new Uint32Array(10) };

describe("llm-d's formulas", () => {
  it('scale queues and batches between the shortest and the longest', () => {
    const scores = [1, 0.5, 0];
    expect(queueMinMax.create({})(makeContext(), withQueues(2, 6, 10))).toEqual(scores);
    expect(runningMinMax.create({})(makeContext(), withQueues(2, 6, 10))).toEqual(scores);
    expect(queueMinMax.create({})(makeContext(), withQueues(4, 4))).toEqual([1, 1]);
  });

  it('let load-aware fall from one half to 0 at the threshold', () => {
    const score = loadAware.create({ threshold: 10 });
    expect(score(makeContext(), withQueues(0, 5, 10, 99))).toEqual([0.5, 0.25, 0, 0]);
  });

  it('score prefixes by matched blocks over blocks, and by the length of the match', () => {
    const context = makeContext({ request: { promptTokens: 700, prefix }, cached: [640, 320, 0] });
    expect(prefixMatch.create(prefixMatch.defaults)(context, makeEndpoints(3))).toEqual([1, 0.5, 0]);
    const byLength = prefixMatch.create({ lengthWeight: 1, lengthScaleTokens: 640 });
    expect(byLength(context, makeEndpoints(3))).toEqual([1, 0.25, 0]);
  });

  it('count uncached tokens in flight and of the request', () => {
    const endpoints = makeEndpoints(2, (slot) => ({
      inFlight: { uncachedTokens: 100 * slot, promptTokens: 200 * slot },
    }));
    const context = makeContext({ request: { promptTokens: 300 }, cached: [200, 0] });
    expect(tokenLoad.create({ thresholdTokens: 1000, outputRatio: 0 })(context, endpoints)).toEqual([
      0.9, 0.6,
    ]);
    expect(tokenLoad.create({ thresholdTokens: 1000, outputRatio: 1.5 })(context, endpoints)).toEqual([
      0.9,
      expect.closeTo(0.3),
    ]);
    expect(tokenLoad.create({ thresholdTokens: 50, outputRatio: 0 })(context, endpoints)).toEqual([0, 0]);
  });

  it('give idle endpoints 1 and busy ones their share of the busiest', () => {
    const score = activeRequests.create({ idleThreshold: 1, maxBusyScore: 0.5 });
    expect(score(makeContext(), withRequests(0, 1, 2, 4))).toEqual([1, 1, 0.25, 0]);
  });

  it('send cold prompts where the last one was longest ago', () => {
    const score = noHitLru.create({ lruSize: 2 });
    const endpoints = makeEndpoints(3);
    const cold = makeContext();
    expect(score(cold, endpoints)).toEqual([1, 0.5, 0]);
    score.chosen?.(cold, endpoints[0]!);
    expect(score(cold, endpoints)).toEqual([0, 1, 0.5]);
    score.chosen?.(cold, endpoints[1]!);
    expect(score(cold, endpoints)).toEqual([0.5, 0, 1]);
    expect(score(makeContext({ cached: [0, 64, 0] }), endpoints)).toEqual([0.5, 0.5, 0.5]);
    // A warm request's choice does not count.
    score.chosen?.(cold, endpoints[0]!);
    expect(score(cold, endpoints)).toEqual([0.5, 0, 1]);
    expect(score(cold, endpoints.slice(0, 1))).toEqual([1]);
  });

  it('pin a session to the endpoint of its first request until that is gone or it is silent', () => {
    const score = sessionPin.create({ headers: ['x-chat', 'x-session-id'], ttlSeconds: 10 });
    const endpoints = makeEndpoints(3);
    const at = (nowMs: number, id = 's') => ({
      ...makeContext({ request: { headers: new Map([['x-session-id', id]]) } }),
      nowMs,
    });
    expect(score(at(0), endpoints)).toEqual([0, 0, 0]);
    score.chosen?.(at(0), endpoints[1]!);
    expect(score(at(5000), endpoints)).toEqual([0, 1, 0]);
    // Outvoted: the pin stays.
    score.chosen?.(at(5000), endpoints[2]!);
    expect(score(at(6000), endpoints)).toEqual([0, 1, 0]);
    expect(score(at(6000, 'other'), endpoints)).toEqual([0, 0, 0]);
    // Its endpoint is no candidate: the session moves.
    const others = [endpoints[0]!, endpoints[2]!];
    expect(score(at(7000), others)).toEqual([0, 0]);
    score.chosen?.(at(7000), endpoints[2]!);
    expect(score(at(8000), endpoints)).toEqual([0, 0, 1]);
    expect(score(at(18_000), endpoints)).toEqual([0, 0, 0]);
  });
});
