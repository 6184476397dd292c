import { describe, expect, it } from 'vitest';
import { decodeRunMs, mixedStepMs } from '../../src/simulation/engine-model.ts';
import { exponential, lognormal, seededRandom, uniformInteger } from '../../src/simulation/random.ts';
import type { SimulationResult } from '../../src/simulation/simulation.ts';
import type { WorkloadRequest } from '../../src/simulation/workload.ts';
import { model, request, run } from './fleet.ts';

/** Poisson arrivals of chat-like requests, some of which share a prefix. */
function chat(count: number, requestsPerSecond: number, seed = 1): readonly WorkloadRequest[] {
  const random = seededRandom(seed, 'chat');
  let arrivalMs = 0;
  return Array.from({ length: count }, () => {
    arrivalMs += exponential(random, 1000 / requestsPerSecond);
    const promptTokens = Math.ceil(Math.min(60_000, lognormal(random, 7.5, 1.2)));
    const group = uniformInteger(random, 0, 9);
    const shared = Array.from(
      { length: Math.min(4, Math.ceil(promptTokens / 512) - 1) },
      (_, i) => group * 4 + i,
    );
    return request(arrivalMs, promptTokens, uniformInteger(random, 1, 400), shared);
  });
}

function stayMs(result: SimulationResult): number {
  return result.requests.reduce((sum, each) => sum + each.endedMs! - each.dispatchedMs!, 0);
}

describe('a simulated engine', () => {
  it("obeys Little's law: time-averaged requests equal rate x mean stay", () => {
    const result = run(chat(2000, 8), { pods: 3 });
    const integral = result.engines.reduce((sum, engine) => sum + engine.requestMs, 0);
    expect(integral / stayMs(result)).toBeCloseTo(1, 9);
  });

  it('computes each prompt token once, less what it finds cached', () => {
    const result = run(chat(2000, 8), { pods: 2 });
    const computed = result.engines.reduce((sum, engine) => sum + engine.prefillTokens, 0);
    const asked = result.requests.reduce((sum, each) => sum + each.promptTokens - each.cachedTokens, 0);
    expect(result.engines.every((engine) => engine.preemptions === 0)).toBe(true);
    expect(computed).toBe(asked);
    expect(result.requests.some((each) => each.cachedTokens > 0)).toBe(true);
  });

  it('is never idle while it has work', () => {
    // All arrive at once, so the engine is busy from the start to the last completion.
    const result = run(Array.from({ length: 50 }, () => request(0, 3000, 100)));
    expect(result.engines[0]!.busyMs).toBeCloseTo(result.durationMs, 6);
  });

  it('gives all blocks back, also after preemptions', () => {
    const tight = { ...model, kvCapacityTokens: 20_480 };
    const result = run(
      chat(300, 4).map((each) => request(each.arrivalMs, 1500, 1200)),
      { model: tight },
    );
    expect(result.engines[0]!.preemptions).toBeGreaterThan(0);
    // `simulate` audits every engine at the end; here all must have been served too.
    expect(result.requests.every((each) => each.ending === 'completed')).toBe(true);
  });

  it('answers a lone request after its prefill and one step per further token', () => {
    const result = run([request(5, 2000, 101)]);
    const [only] = result.requests;
    const prefillMs = mixedStepMs(model, 2000, 2000 * 1000, 1, 0, 0);
    expect(only!.firstTokenMs).toBeCloseTo(5 + prefillMs, 9);
    expect(only!.endedMs! - only!.firstTokenMs!).toBeCloseTo(decodeRunMs(model, 100, 1, 2001), 9);
  });

  it('prefills long prompts in chunks of the step budget', () => {
    const result = run([request(0, 20_000, 1)]);
    const chunk = (tokens: number, before: number) =>
      mixedStepMs(model, tokens, tokens * (before + tokens / 2), 1, 0, 0);
    const expected = chunk(8192, 0) + chunk(8192, 8192) + chunk(3616, 16_384);
    expect(result.requests[0]!.firstTokenMs).toBeCloseTo(expected, 9);
  });

  it('lets an arrival join at the end of the step under way, whatever was jumped over', () => {
    const alone = run([request(0, 1000, 1000)]).requests[0]!;
    const stepEnd = (step: number) => alone.firstTokenMs! + decodeRunMs(model, step, 1, 1001);
    const late = (stepEnd(499) + stepEnd(500)) / 2;
    const joined = run([request(0, 1000, 1000), request(late, 700, 2)]).requests[1]!;
    expect(joined.admittedMs).toBeCloseTo(stepEnd(500), 6);
  });

  it('holds the line behind a request that does not fit yet', () => {
    const tight = { ...model, kvCapacityTokens: 51_200 };
    const arrivals = [request(0, 40_000, 200), request(1, 30_000, 10), request(2, 500, 10)];
    const [first, large, small] = run(arrivals, { model: tight }).requests;
    expect(large!.admittedMs).toBeGreaterThanOrEqual(first!.endedMs!);
    expect(small!.admittedMs).toBeGreaterThanOrEqual(large!.admittedMs!);
  });

  it('refuses a request that could not run even alone', () => {
    const tiny = { ...model, kvCapacityTokens: 5120 };
    const [only] = run([request(0, 6000, 10)], { model: tiny }).requests;
    expect(only!.ending).toBe('failed');
  });

  it('computes again what a preempted request had generated, and ends with the right length', () => {
    const tight = { ...model, kvCapacityTokens: 8192 };
    const arrivals = [request(0, 3000, 2500), request(1, 3000, 2500)];
    const result = run(arrivals, { model: tight });
    const [, younger] = result.requests;
    expect(younger!.preemptions).toBeGreaterThan(0);
    expect(result.requests.every((each) => each.generatedTokens === each.outputTokens)).toBe(true);
    expect(result.engines[0]!.prefillTokens).toBeGreaterThan(6000);
  });
});

describe('one engine that serves one request at a time', () => {
  it('waits as Pollaczek and Khinchine say for M/G/1', () => {
    const single = { ...model, maxSequences: 1 };
    const random = seededRandom(4, 'm/g/1');
    const count = 60_000;
    const rps = 2;
    let arrivalMs = 0;
    const arrivals = Array.from({ length: count }, () => {
      arrivalMs += exponential(random, 1000 / rps);
      return request(arrivalMs, uniformInteger(random, 100, 4000), uniformInteger(random, 1, 60));
    });
    const { requests } = run(arrivals, { model: single });
    const services = requests.map((each) => each.endedMs! - each.admittedMs!);
    const waits = requests.map((each) => each.admittedMs! - each.source.arrivalMs);
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / count;
    const rate = rps / 1000;
    const busy = rate * mean(services);
    const expected = (rate * mean(services.map((s) => s * s))) / (2 * (1 - busy));
    expect(busy).toBeGreaterThan(0.5);
    // The mean of 60,000 correlated waits has a standard error of about 2 %.
    expect(Math.abs(mean(waits) / expected - 1)).toBeLessThan(0.06);
  });
});
