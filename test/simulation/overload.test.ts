/** Fleets that get more than they can serve, with prompts among them that need nearly all of an engine's memory. */
import { describe, expect, it } from 'vitest';
import { defaultLimits } from '../../src/flow-control/index.ts';
import { findPolicy } from '../../src/simulation/policies/index.ts';
import type { Policy } from '../../src/simulation/policy.ts';
import { productRouter } from '../../src/simulation/product-router.ts';
import { exponential, seededRandom, uniformInteger } from '../../src/simulation/random.ts';
import type { RunningRequest } from '../../src/simulation/running-request.ts';
import type { WorkloadRequest } from '../../src/simulation/workload.ts';
import { model, request, run } from './fleet.ts';

const kvCapacityTokens = 65_536;
const small = { ...model, kvCapacityTokens };
/** Requests a second that fill the memory of one such engine. */
const capacityRps = 5;

interface Setting {
  readonly pods: number;
  readonly load: number;
  readonly count: number;
  readonly largeShare: number;
  readonly scrapeMs?: number;
  readonly routers?: number;
}

function mixOf({ pods, load, count, largeShare }: Setting): readonly WorkloadRequest[] {
  const random = seededRandom(1, 'mix');
  let atMs = 0;
  return Array.from({ length: count * pods }, () => {
    atMs += exponential(random, 1000 / (capacityRps * pods * load));
    return random() < largeShare
      ? request(atMs, uniformInteger(random, 50_000, 62_000), uniformInteger(random, 20, 200))
      : request(atMs, uniformInteger(random, 500, 3000), uniformInteger(random, 100, 600));
  });
}

function serve(policy: Policy, setting: Setting): readonly RunningRequest[] {
  const { pods, scrapeMs = 50, routers = 1 } = setting;
  const router = productRouter(policy);
  return run(mixOf(setting), { model: small, pods, scrapeMs, routers, router, maxMs: 3_600_000 }).requests;
}

/** As it is delivered, with its limits to waiting. */
function impatient(policy: Policy): Policy {
  return {
    ...policy,
    create: (environment) => {
      const instance = policy.create(environment);
      return { ...instance, flowControl: { room: instance.flowControl!.room, limits: defaultLimits } };
    },
  };
}

const waitedMs = ({ source, dispatchedMs, endedMs }: RunningRequest) =>
  (dispatchedMs ?? endedMs!) - source.arrivalMs;

/** Prompt tokens of those that came after it and began before it, over the memory of the whole fleet. */
function fillsBefore(each: RunningRequest, all: readonly RunningRequest[], pods: number): number {
  let tokens = 0;
  for (const other of all) {
    if (other.order > each.order && (other.dispatchedMs ?? Number.POSITIVE_INFINITY) < each.dispatchedMs!)
      tokens += other.promptTokens;
  }
  return tokens / (pods * kvCapacityTokens);
}

/** Milliseconds in which somebody waited and an engine had nothing to do. */
function idleBesideWaitingMs(requests: readonly RunningRequest[], pods: number): number {
  interface Change {
    readonly atMs: number;
    readonly waiting: number;
    readonly engine: number | undefined;
    readonly running: number;
  }
  const changes = requests.flatMap(({ source, dispatchedMs, endedMs, engine }): Change[] => [
    { atMs: source.arrivalMs, waiting: 1, engine: undefined, running: 0 },
    { atMs: dispatchedMs ?? endedMs!, waiting: -1, engine, running: 1 },
    { atMs: endedMs!, waiting: 0, engine, running: -1 },
  ]);
  changes.sort((a, b) => a.atMs - b.atMs);
  const running = Array.from({ length: pods }, () => 0);
  let waiting = 0;
  let sumMs = 0;
  for (const [i, change] of changes.entries()) {
    waiting += change.waiting;
    if (change.engine !== undefined) running[change.engine]! += change.running;
    const untilMs = changes[i + 1]?.atMs ?? change.atMs;
    if (waiting > 0 && running.includes(0)) sumMs += untilMs - change.atMs;
  }
  return sumMs;
}

const policies = ['default', 'default-events', 'latency-optimized', 'throughput-optimized'];
const loads = [0.8, 1.3];
const everyOne = policies.flatMap((policy) => loads.map((load) => ({ policy, load })));

describe('a fleet whose memory is full', () => {
  const pods = 3;

  it.each(everyOne)(
    'serves every request in the end if none gives up: $policy at $load',
    ({ policy, load }) => {
      const requests = serve(findPolicy(policy), { pods, load, count: 150, largeShare: 0.05 });
      expect(requests.filter(({ ending }) => ending !== 'completed')).toHaveLength(0);
      expect(Math.max(...requests.map(waitedMs))).toBeGreaterThan(10_000);
      expect(idleBesideWaitingMs(requests, pods)).toBe(0);
    },
  );

  it.each(everyOne)('refuses only whose time is up: $policy at $load', ({ policy, load }) => {
    const requests = serve(impatient(findPolicy(policy)), { pods, load, count: 300, largeShare: 0.03 });
    const refused = requests.filter(({ ending }) => ending !== 'completed');
    for (const each of refused) {
      expect(each.ending).toBe('rejected');
      expect(waitedMs(each)).toBeCloseTo(defaultLimits.defaultTtlMs);
    }
    expect(idleBesideWaitingMs(requests, pods)).toBe(0);
  });

  const rare = { load: 0.9, count: 700, largeShare: 0.003 };
  it.each([
    { pods: 1, scrapeMs: 50, routers: 1, policy: 'default' },
    { pods: 4, scrapeMs: 50, routers: 1, policy: 'default' },
    { pods: 4, scrapeMs: 1000, routers: 1, policy: 'default' },
    { pods: 4, scrapeMs: 1000, routers: 2, policy: 'default' },
    { pods: 4, scrapeMs: 50, routers: 1, policy: 'latency-optimized' },
    { pods: 4, scrapeMs: 50, routers: 1, policy: 'throughput-optimized' },
  ])(
    'lets no more pass a large prompt than fills it four times: $policy, $pods pods, $routers routers, $scrapeMs ms',
    ({ pods, scrapeMs, routers, policy }) => {
      const requests = serve(findPolicy(policy), { ...rare, pods, scrapeMs, routers });
      const most = Math.max(...requests.map((each) => fillsBefore(each, requests, pods)));
      console.log('most', most, pods, policy, requests.filter((r) => r.promptTokens > 40000).length);
      expect(most).toBeLessThan(4);
    },
  );

  it.each([1, 4])('loses no large prompt below saturation, on %i engines', (pods) => {
    const requests = serve(impatient(findPolicy('default')), { ...rare, pods, load: 0.7 });
    expect(requests.filter(({ ending }) => ending !== 'completed')).toHaveLength(0);
  });
});
