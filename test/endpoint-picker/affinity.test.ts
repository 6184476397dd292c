/**
 * Affinity under load: the default profile with late binding, the real picker, pool and index, and engines that are
 * simulated in virtual time. An engine prefills in turn what it has not cached and decodes `slots` requests at a
 * time; its figures are scraped every 200 ms.
 */
import { describe, expect, it } from 'vitest';
import type { Assignment } from '../../src/endpoint-picker/assignment.ts';
import { defaultRoomRule } from '../../src/endpoint-picker/room-rule.ts';
import { defaultLimits } from '../../src/flow-control/index.ts';
import { seededRandom } from '../scheduling/support.ts';
import { blendProfile, createFleet, promptOf } from './support.ts';

const scrapeIntervalMs = 200;
const prefillMsPerToken = 0.05;
const sharedTokens = 1000;
/** What a first token takes besides: half of the step under way, and the step that makes it. */
const stepsMs = 12;
const outputTokens = 100;

interface SimulatedRequest {
  readonly assignment: Assignment;
  prefillMs: number;
  decodeMs: number;
}

interface SimulatedEngine {
  readonly name: string;
  readonly slots: number;
  readonly cached: Set<number>;
  /** In the order in which they came; the first `slots` of them run. */
  readonly requests: SimulatedRequest[];
  longestQueue: number;
}

interface Served {
  readonly tenant: number;
  readonly engine: string;
}

/** Prompts of a tenant: 1,000 tokens that all of them share, 100 to 300 of their own. */
function tenantPrompts(tenant: number, random: () => number) {
  const shared = `tenant ${tenant}: `.padEnd(4 * sharedTokens, `rules of ${tenant}. `);
  return () => {
    const own = Math.floor(400 + 800 * random());
    return promptOf(shared + `question ${random()} `.repeat(100).slice(0, own));
  };
}

/** As the service has it by default. */
function createDefaultFleet(endpoints = 2) {
  return createFleet({
    endpoints,
    flowControl: {
      limits: () => defaultLimits,
      room: () => defaultRoomRule,
      schedule: () => () => undefined,
    },
  });
}

/** Poisson arrivals of `tenants` at `requestsPerSecond` in all, for `seconds`. */
async function simulate({
  engines: engineCount = 2,
  slots = 32,
  tenants,
  requestsPerSecond,
  seconds,
  decodeMs = 800,
}: {
  readonly engines?: number;
  readonly slots?: number;
  readonly tenants: number;
  readonly requestsPerSecond: number;
  readonly seconds: number;
  readonly decodeMs?: number;
}) {
  const random = seededRandom(5);
  const fleet = createDefaultFleet(engineCount);
  const prompts = Array.from({ length: tenants }, (_, tenant) => tenantPrompts(tenant, random));
  const engines = new Map<string, SimulatedEngine>();
  for (let i = 0; i < engineCount; i++) {
    engines.set(`e${i}`, { name: `e${i}`, slots, cached: new Set(), requests: [], longestQueue: 0 });
  }
  const served: Served[] = [];
  const send = (tenant: number, promptTokens: number) => (assignment: Assignment) => {
    const engine = engines.get(assignment.endpoint.name)!;
    const uncached = promptTokens - (engine.cached.has(tenant) ? sharedTokens : 0);
    engine.cached.add(tenant);
    const times = {
      prefillMs: stepsMs + prefillMsPerToken * uncached,
      decodeMs: decodeMs * (0.5 + random()),
    };
    engine.requests.push({ assignment, ...times });
    served.push({ tenant, engine: engine.name });
  };
  const startMs = fleet.clock.nowMs;
  const stepMs = 5;
  for (let atMs = 0; atMs < seconds * 1000; atMs += stepMs) {
    fleet.clock.nowMs = startMs + atMs;
    for (let chance = (requestsPerSecond * stepMs) / 1000; chance > 0; chance--) {
      if (random() >= chance) continue;
      const tenant = Math.floor(random() * tenants);
      const prompt = prompts[tenant]!();
      void fleet.pick(prompt).then(send(tenant, prompt.promptTokens));
    }
    for (const engine of engines.values()) {
      // Those that were placed have come by then.
      await Promise.resolve();
      runEngine(engine, stepMs);
      if (atMs % scrapeIntervalMs !== 0) continue;
      fleet.scrape(engine.name, {
        queuedRequests: Math.max(0, engine.requests.length - slots),
        runningRequests: Math.min(slots, engine.requests.length),
        kvCacheUsage: Math.min(1, engine.requests.length / (1.5 * slots)),
        blockSizeTokens: 16,
        totalBlocks: 8192,
      });
    }
    fleet.picker.checkIntegrity();
  }
  return { served, engines: [...engines.values()], fleet };
}

function runEngine(engine: SimulatedEngine, stepMs: number): void {
  engine.longestQueue = Math.max(engine.longestQueue, engine.requests.length - engine.slots);
  let prefillMs = stepMs;
  for (const request of engine.requests.slice(0, engine.slots)) {
    if (request.prefillMs > 0) {
      const spentMs = Math.min(prefillMs, request.prefillMs);
      prefillMs -= spentMs;
      request.prefillMs -= spentMs;
      if (request.prefillMs <= 0) request.assignment.firstToken();
    } else request.decodeMs -= stepMs;
  }
  const usage = { promptTokens: 1200, completionTokens: outputTokens, cachedTokens: 0 };
  for (let i = engine.requests.length - 1; i >= 0; i--) {
    const request = engine.requests[i]!;
    if (request.decodeMs > 0 || request.prefillMs > 0) continue;
    engine.requests.splice(i, 1);
    request.assignment.finish({ kind: 'completed', status: 200, usage });
  }
}

/** Share of all requests that went to the engine that served their tenant first. */
function affinity(served: readonly Served[]): number {
  const home = new Map<number, string>();
  let loyal = 0;
  for (const { tenant, engine } of served) {
    if (!home.has(tenant)) home.set(tenant, engine);
    if (home.get(tenant) === engine) loyal++;
  }
  return loyal / served.length;
}

describe('with two engines and tenants that share a prefix of 1,000 tokens', () => {
  it.each([
    [1, 1],
    [2, 10],
    [8, 20],
    [8, 40],
    [40, 50],
  ])(
    'at least 95 % of requests go to the warm engine: %d tenants, %d requests per second',
    async (tenants, rate) => {
      const { served, engines } = await simulate({ tenants, requestsPerSecond: rate, seconds: 30 });
      expect(affinity(served)).toBeGreaterThanOrEqual(0.95);
      if (tenants >= 8) {
        for (const { name } of engines) {
          const share = served.filter(({ engine }) => engine === name).length / served.length;
          expect(share).toBeGreaterThan(0.2);
        }
      }
    },
  );

  it('requests that an engine can answer in turn stay on it', async () => {
    const fleet = createDefaultFleet();
    const prompt = tenantPrompts(0, seededRandom(1));
    const first = await fleet.pick(prompt());
    const home = first.endpoint.name;
    fleet.clock.nowMs += 60;
    first.firstToken();
    for (let i = 0; i < 40; i++) {
      const assignment = await fleet.pick(prompt());
      expect(assignment.endpoint.name).toBe(home);
      fleet.clock.nowMs += 20;
      assignment.firstToken();
      fleet.clock.nowMs += 200;
      assignment.finish({ kind: 'completed', status: 200, usage: undefined });
    }
  });

  it('a burst spreads once waiting for the warm engine takes longer than computing the prefix anew', async () => {
    const fleet = createDefaultFleet();
    const prompt = tenantPrompts(0, seededRandom(1));
    const first = await fleet.pick(prompt());
    fleet.clock.nowMs += 60;
    first.firstToken();
    fleet.clock.nowMs += 60;
    const homes: string[] = [];
    for (let i = 0; i < 12; i++) homes.push((await fleet.pick(prompt())).endpoint.name);
    const home = first.endpoint.name;
    expect(homes.slice(0, 3)).toEqual([home, home, home]);
    expect(homes.filter((name) => name !== home).length).toBeGreaterThan(2);
  });

  it('an engine whose prefill is far behind is left', async () => {
    const fleet = createDefaultFleet();
    const prompt = tenantPrompts(0, seededRandom(1));
    const first = await fleet.pick(prompt());
    const home = first.endpoint.name;
    const other = home === 'e0' ? 'e1' : 'e0';
    fleet.clock.nowMs += 60;
    first.firstToken();
    const backlog = await fleet.pick({ promptTokens: 100_000 }, [fleet.endpoint(home).address]);
    expect((await fleet.pick(prompt())).endpoint.name).toBe(other);
    backlog.finish({ kind: 'completed', status: 200, usage: undefined });
  });

  it('a tenant that is too much for one engine is served by both, and no long queue builds', async () => {
    // One engine prefills 200 tokens a request, 100 requests per second.
    const { served, engines } = await simulate({
      tenants: 1,
      requestsPerSecond: 150,
      seconds: 30,
      slots: 256,
    });
    for (const { name, longestQueue } of engines) {
      expect(longestQueue).toBeLessThan(32);
      expect(served.filter(({ engine }) => engine === name).length / served.length).toBeGreaterThan(0.25);
    }
  });
});

describe('by a blend of prefix, queue and KV usage', () => {
  const warmFleet = async () => {
    const fleet = createFleet({ profile: blendProfile() });
    const prompt = tenantPrompts(0, seededRandom(1));
    const pick = async () => (await fleet.pick(prompt())).endpoint.name;
    return { fleet, pick, home: await pick() };
  };

  it('a burst between two scrapes stays on the warm engine', async () => {
    const { pick, home } = await warmFleet();
    for (let i = 0; i < 63; i++) expect(await pick()).toBe(home);
  });

  it('requests in flight do not push a tenant off an engine that reports no queue', async () => {
    const { fleet, pick, home } = await warmFleet();
    for (let i = 0; i < 200; i++) {
      fleet.clock.nowMs += 20;
      if (i % 10 === 0) {
        const runningRequests = fleet.endpoint(home).inFlight.requests;
        fleet.scrape(home, { runningRequests, kvCacheUsage: runningRequests / 500 });
      }
      expect(await pick()).toBe(home);
    }
  });

  it.each([5, 10, 100])('an engine with a queue of %d is left', async (queuedRequests) => {
    const { fleet, pick, home } = await warmFleet();
    fleet.scrape(home, { queuedRequests, runningRequests: 32, kvCacheUsage: 0.4 });
    expect(await pick()).not.toBe(home);
  });

  it('a tenant comes back when the queue is gone', async () => {
    const { fleet, pick, home } = await warmFleet();
    const other = home === 'e0' ? 'e1' : 'e0';
    fleet.pool.recordScrapeFailure(fleet.endpoint(other), 'down');
    fleet.scrape(home, { queuedRequests: 9 });
    expect(await pick()).toBe(home);
    fleet.scrape(home);
    fleet.scrape(other);
    expect(await pick()).toBe(home);
  });
});
