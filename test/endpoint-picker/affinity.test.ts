/**
 * Affinity under load, with the real picker, pool and index and engines that are simulated in virtual time.
 * An engine runs `slots` requests at a time and lets others wait; its figures are scraped every 200 ms.
 */
import { describe, expect, it } from 'vitest';
import type { Assignment } from '../../src/endpoint-picker/assignment.ts';
import { seededRandom } from '../scheduling/support.ts';
import { createFleet, promptOf } from './support.ts';

const scrapeIntervalMs = 200;

interface SimulatedEngine {
  readonly name: string;
  readonly slots: number;
  /** Requests in the order in which they came; the first `slots` of them run. */
  readonly requests: { readonly assignment: Assignment; leftMs: number }[];
  longestQueue: number;
}

interface Served {
  readonly tenant: number;
  readonly engine: string;
}

/** Prompts of a tenant: 1,000 tokens that all of them share, 100 to 300 of their own. */
function tenantPrompts(tenant: number, random: () => number) {
  const shared = `tenant ${tenant}: `.padEnd(4000, `rules of ${tenant}. `);
  return () => {
    const own = Math.floor(400 + 800 * random());
    return promptOf(shared + `question ${random()} `.repeat(100).slice(0, own));
  };
}

/** Poisson arrivals of `tenants` at `requestsPerSecond` in all, for `seconds`. */
async function simulate({
  engines: engineCount = 2,
  slots = 32,
  tenants,
  requestsPerSecond,
  seconds,
  serviceMs = 800,
}: {
  readonly engines?: number;
  readonly slots?: number;
  readonly tenants: number;
  readonly requestsPerSecond: number;
  readonly seconds: number;
  readonly serviceMs?: number;
}) {
  const random = seededRandom(5);
  const fleet = createFleet({ endpoints: engineCount });
  const prompts = Array.from({ length: tenants }, (_, tenant) => tenantPrompts(tenant, random));
  const engines = new Map<string, SimulatedEngine>();
  for (let i = 0; i < engineCount; i++) {
    engines.set(`e${i}`, { name: `e${i}`, slots, requests: [], longestQueue: 0 });
  }
  const served: Served[] = [];
  const startMs = fleet.clock.nowMs;
  const stepMs = 5;
  for (let atMs = 0; atMs < seconds * 1000; atMs += stepMs) {
    fleet.clock.nowMs = startMs + atMs;
    for (let chance = (requestsPerSecond * stepMs) / 1000; chance > 0; chance--) {
      if (random() >= chance) continue;
      const tenant = Math.floor(random() * tenants);
      const assignment = await fleet.pick(prompts[tenant]!());
      const engine = engines.get(assignment.endpoint.name)!;
      engine.requests.push({ assignment, leftMs: serviceMs * (0.5 + random()) });
      served.push({ tenant, engine: engine.name });
    }
    for (const engine of engines.values()) {
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
    fleet.pool.checkIntegrity();
  }
  return { served, engines: [...engines.values()], fleet };
}

function runEngine(engine: SimulatedEngine, stepMs: number): void {
  engine.longestQueue = Math.max(engine.longestQueue, engine.requests.length - engine.slots);
  for (const [i, request] of engine.requests.entries()) {
    if (i >= engine.slots) break;
    request.assignment.firstToken();
    request.leftMs -= stepMs;
  }
  for (let i = engine.requests.length - 1; i >= 0; i--) {
    if (engine.requests[i]!.leftMs > 0) continue;
    engine.requests[i]!.assignment.finish({ kind: 'completed', status: 200, usage: undefined });
    engine.requests.splice(i, 1);
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

  it('a burst between two scrapes stays on the warm engine', async () => {
    const fleet = createFleet();
    const prompt = tenantPrompts(0, seededRandom(1));
    const home = (await fleet.pick(prompt())).endpoint.name;
    for (let i = 0; i < 63; i++) expect((await fleet.pick(prompt())).endpoint.name).toBe(home);
  });

  it('requests in flight do not push a tenant off an engine that reports no queue', async () => {
    const fleet = createFleet();
    const prompt = tenantPrompts(0, seededRandom(1));
    const home = (await fleet.pick(prompt())).endpoint.name;
    for (let i = 0; i < 200; i++) {
      fleet.clock.nowMs += 20;
      if (i % 10 === 0) {
        const runningRequests = fleet.endpoint(home).inFlight.requests;
        fleet.scrape(home, { runningRequests, kvCacheUsage: runningRequests / 500 });
      }
      expect((await fleet.pick(prompt())).endpoint.name).toBe(home);
    }
  });

  it.each([5, 10, 100])('an engine with a queue of %d is left', async (queuedRequests) => {
    const fleet = createFleet();
    const prompt = tenantPrompts(0, seededRandom(1));
    const home = (await fleet.pick(prompt())).endpoint.name;
    fleet.scrape(home, { queuedRequests, runningRequests: 32, kvCacheUsage: 0.4 });
    expect((await fleet.pick(prompt())).endpoint.name).not.toBe(home);
  });

  it('a tenant comes back when the queue is gone', async () => {
    const fleet = createFleet();
    const prompt = tenantPrompts(0, seededRandom(1));
    const home = (await fleet.pick(prompt())).endpoint.name;
    const other = home === 'e0' ? 'e1' : 'e0';
    fleet.pool.recordScrapeFailure(fleet.endpoint(other), 'down');
    fleet.scrape(home, { queuedRequests: 9 });
    expect((await fleet.pick(prompt())).endpoint.name).toBe(home);
    fleet.scrape(home);
    fleet.scrape(other);
    expect((await fleet.pick(prompt())).endpoint.name).toBe(home);
  });

  it('a tenant that is too much for one engine is served by both, and no long queue builds', async () => {
    // One engine serves 32 / 0.8 s = 40 requests per second.
    const { served, engines } = await simulate({ tenants: 1, requestsPerSecond: 60, seconds: 30 });
    for (const { name, longestQueue } of engines) {
      expect(longestQueue).toBeLessThan(32);
      expect(served.filter(({ engine }) => engine === name).length / served.length).toBeGreaterThan(0.25);
    }
  });
});
