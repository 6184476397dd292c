import { describe, expect, it } from 'vitest';
import shadowPrice from '../../scorers/shadow-price.ts';
import type { Assignment } from '../../src/endpoint-picker/assignment.ts';
import { defaultRoomRule } from '../../src/endpoint-picker/room-rule.ts';
import { defaultLimits } from '../../src/flow-control/index.ts';
import ready from '../../src/scheduling/filters/ready.ts';
import { type PrefixHashes, prefillWork } from '../../src/scheduling/index.ts';
import maxScore from '../../src/scheduling/pickers/max-score.ts';
import { createProfile } from '../../src/scheduling/profile.ts';
import { makeRequest } from '../scheduling/support.ts';
import { blockTokens, createFleet } from './support.ts';

const profile = createProfile({
  name: 'default',
  filters: [{ name: 'ready', filter: ready.create({}) }],
  scorers: [{ name: 'shadow-price', weight: 1, scorer: shadowPrice.create(shadowPrice.defaults) }],
  picker: { name: 'max-score', picker: maxScore.create({}) },
});

/** Without the filter `ready`. */
const alwaysFirst = createProfile({
  name: 'always-first',
  filters: [],
  scorers: [{ name: 'e0', weight: 1, scorer: (_, all) => all.map(({ name }) => Number(name === 'e0')) }],
  picker: { name: 'max-score', picker: maxScore.create({}) },
});

const done = { kind: 'completed', status: 200, usage: undefined } as const;

/** Engines that have shown a rate of 0.04 ms a token, so that 5,000 tokens fill one's 200 ms. */
async function createWaitingFleet(endpoints = 2, given = profile) {
  const fleet = createColdFleet(endpoints, given);
  const assignment = await fleet.pick({ promptTokens: 10_000 });
  fleet.clock.nowMs += 0.04 * prefillWork(10_000, 10_000) + fleet.endpoint('e0').learned.stepMs;
  assignment.firstToken();
  fleet.clock.nowMs += 10;
  assignment.finish(done);
  fleet.finished.length = 0;
  return fleet;
}

/** Of whose engines nothing is known yet. */
function createColdFleet(endpoints = 2, given = profile) {
  return createFleet({
    endpoints,
    profile: given,
    flowControl: {
      limits: () => defaultLimits,
      room: () => ({ ...defaultRoomRule, roomMs: 200 }),
      schedule: () => () => undefined,
    },
  });
}

const long = { promptTokens: 6000 };

describe('while nothing is known of the speed of engines', () => {
  it('each gets one prompt of a usual length, and the rest once its first token has told', async () => {
    const { pick, picker, clock } = createColdFleet();
    const first = [await pick({ promptTokens: 2000 }), await pick({ promptTokens: 2000 })];
    const waiting = [pick({ promptTokens: 2000 }), pick({ promptTokens: 2000 })];
    expect(picker.waitingRequests).toBe(2);
    clock.nowMs += 20;
    first[0]!.firstToken();
    clock.nowMs += 5;
    // The rate is known now, so the engine that has not answered yet has room, too.
    first[1]!.firstToken();
    expect(picker.waitingRequests).toBe(0);
    for (const each of [...first, await waiting[0]!, await waiting[1]!]) each.finish(done);
  });

  it('nothing that would not tell it waits', async () => {
    const { pick, picker } = createColdFleet(1);
    const whole = { promptTokens: 6000, isStreaming: false };
    const assignments = [await pick(whole), await pick(whole), await pick(whole)];
    expect(picker.waitingRequests).toBe(0);
    for (const each of assignments) each.finish(done);
  });
});

describe('a pick under flow control', () => {
  it('never waits while an engine that suits it has room', async () => {
    const { pick, picker, finished } = await createWaitingFleet();
    const first = await pick(long);
    const second = await pick(long);
    expect(new Set([first.endpoint.name, second.endpoint.name]).size).toBe(2);
    expect([first.record.queuedMs, picker.waitingRequests]).toEqual([undefined, 0]);
    first.finish(done);
    second.finish(done);
    expect(finished).toHaveLength(2);
    picker.checkIntegrity();
  });

  it('does not wait for an engine that is down, whatever the profile prefers', async () => {
    const { pick, picker, pool, endpoint } = createColdFleet(2, alwaysFirst);
    pool.reportFailure(endpoint('e0'), 'connection reset');
    const picked = pick({ promptTokens: 500 });
    expect(picker.waitingRequests).toBe(0);
    const assignment = await picked;
    expect(assignment.endpoint.name).toBe('e1');
    assignment.finish(done);
    picker.checkIntegrity();
  });

  it('waits while no engine has room, and goes to the first that has', async () => {
    const { pick, picker, clock, finished } = await createWaitingFleet();
    const busy = [await pick(long), await pick(long)];
    const waiting = pick({ promptTokens: 500 });
    expect(picker.waitingRequests).toBe(1);
    clock.nowMs += 30;
    busy[1]!.firstToken();
    expect(picker.waitingRequests).toBe(0);
    const assignment = await waiting;
    expect(assignment.endpoint.name).toBe(busy[1]!.endpoint.name);
    expect(assignment.record.queuedMs).toBe(30);
    clock.nowMs += 40;
    assignment.firstToken();
    clock.nowMs += 60;
    for (const each of [...busy, assignment]) each.finish(done);
    // From its arrival, the wait included and shown apart.
    expect(finished.at(-1)).toMatchObject({ queuedMs: 30, ttftMs: 70, durationMs: 130 });
    picker.checkIntegrity();
  });

  it('sends an engine no more than it has room for when many wait', async () => {
    const { pick, picker, pool, clock } = await createWaitingFleet(1);
    const first = await pick(long);
    const waiting = Array.from({ length: 6 }, () => pick({ promptTokens: 3000 }));
    first.firstToken();
    // 3,000 tokens leave room, 6,000 do not.
    expect(picker.waitingRequests).toBe(4);
    expect(pool.snapshot(clock.nowMs)[0]!.inFlight.requests).toBe(3);
    for (const each of [first, await waiting[0]!, await waiting[1]!]) each.finish(done);
    for (const each of waiting) (await each).finish(done);
    expect([picker.waitingRequests, picker.openAssignments]).toEqual([0, 0]);
    picker.checkIntegrity();
  });

  it('is refused at once for what waiting cannot mend', async () => {
    const { pick, picker, rejected } = await createWaitingFleet(1);
    const first = await pick(long);
    await expect(pick({ model: 'm' }, ['10.9.9.9'])).rejects.toMatchObject({ code: 'no_endpoints' });
    const waiting = pick(long);
    picker.shutDown();
    await expect(waiting).rejects.toMatchObject({ code: 'shutting_down' });
    expect(rejected.map(({ code }) => code)).toEqual(['no_endpoints', 'shutting_down']);
    first.finish(done);
  });

  it('leaves room to others while its tenant takes more than its share', async () => {
    const { pick, picker } = await createWaitingFleet(1);
    const flood = { promptTokens: 1000, tenant: 'flood' };
    const quiet = { promptTokens: 1000, tenant: 'quiet' };
    const served = [];
    for (let i = 0; i < 40; i++) {
      const each = await pick(flood);
      each.firstToken();
      each.finish(done);
    }
    served.push(await pick(quiet), await pick(flood));
    // 80 ms of prefill wait there: too much for the one, not for the other.
    const waiting = pick(flood);
    expect(picker.waitingRequests).toBe(1);
    served.push(await pick(quiet));
    expect(picker.waitingRequests).toBe(1);
    for (const each of served) each.finish(done);
    (await waiting).finish(done);
    picker.checkIntegrity();
  });

  it('is not priced by what a tenant piles up that floods', async () => {
    const { pick, picker } = await createWaitingFleet(1);
    const first = await pick(long);
    const waiting = Array.from({ length: 20 }, () => pick({ ...long, tenant: 'flood' }));
    const priced = pick({ ...long, tenant: 'quiet' });
    first.finish(done);
    const [record] = picker.decisions().slice(-1);
    expect(record!.request.tenant === 'quiet' ? record!.waitingMs : 0).toBeLessThan(1000);
    picker.shutDown();
    for (const each of [...waiting, priced]) (await each.catch(() => undefined))?.finish(done);
  });

  it('leaves the line when its client does', async () => {
    const { pick, picker } = await createWaitingFleet(1);
    const first = await pick(long);
    const client = new AbortController();
    const waiting = picker.pick(makeRequest(long), { subset: undefined, signal: client.signal });
    client.abort();
    expect(picker.waitingRequests).toBe(0);
    await expect(waiting).rejects.toMatchObject({ code: 'client_closed' });
    first.finish(done);
    picker.checkIntegrity();
  });

  it('can be decided at once, past the line, by those that hold requests themselves', async () => {
    const { pick, picker } = await createWaitingFleet(1);
    const first = await pick(long);
    const second = picker.decide(makeRequest(long), { subset: undefined });
    expect(second.endpoint.name).toBe('e0');
    expect(() => picker.decide(makeRequest(long), { subset: ['10.9.9.9'] })).toThrow('subset');
    first.finish(done);
    second.finish(done);
    picker.checkIntegrity();
  });
});

describe('a request that asks for much memory', () => {
  const memory = { totalBlocks: 4096, blockSizeTokens: 16 };
  const little = { promptTokens: 2000 };

  it('does not wait for more than the engine has: to hold it back would make no room', async () => {
    const { pick, picker, scrape } = await createWaitingFleet(1);
    scrape('e0', memory);
    const busy = await pick(little);
    busy.firstToken();
    const beyond = pick({ promptTokens: 70_000 });
    expect(picker.waitingRequests).toBe(0);
    busy.finish(done);
    (await beyond).finish(done);
    picker.checkIntegrity();
  });

  it('does not get what a conversation has just left, where conversations go on at once', async () => {
    const { pick, picker, scrape, clock } = await createWaitingFleet(1);
    scrape('e0', memory);
    const other = await pick({ promptTokens: 20_000 });
    other.firstToken();
    const prefix = prefixOf(468);
    const turn = async (): Promise<Assignment> => {
      const next = pick({ promptTokens: 30_000, prefix });
      expect(picker.waitingRequests).toBeLessThan(2);
      const assignment = await next;
      clock.nowMs += 1000;
      assignment.firstToken();
      return assignment;
    };
    const first = await turn();
    first.finish(done);
    const second = await turn();
    const much = pick({ promptTokens: 35_000 });
    expect(picker.waitingRequests).toBe(1);
    second.finish(done);
    expect(picker.waitingRequests).toBe(1);
    const third = await turn();
    expect(picker.waitingRequests).toBe(1);
    third.finish(done);
    clock.nowMs += 250;
    scrape('e0', { ...memory, kvCacheUsage: 20_000 / 65_536, runningRequests: 1 });
    expect(picker.waitingRequests).toBe(0);
    other.finish(done);
    (await much).finish(done);
    picker.checkIntegrity();
  });

  /** Smaller ones pass it until the engine is kept for it. `rest`: what each engine has, and the newcomers that wait. */
  async function createPassed(endpoints: number, signal = new AbortController().signal, given = profile) {
    const fleet = await createWaitingFleet(endpoints, given);
    const { pick, picker, scrape, clock } = fleet;
    for (let i = 0; i < endpoints; i++) scrape(`e${i}`, memory);
    const running: Assignment[] = [];
    for (let i = 0; i < endpoints; i++) {
      running.push(await pick({ promptTokens: 10_000 * (endpoints - i) }, [`10.0.0.${i + 1}`]));
      running.at(-1)!.firstToken();
    }
    const large = picker.pick(makeRequest({ promptTokens: 60_000 }), { subset: undefined, signal });
    large.catch(() => undefined);
    let newcomers = 0;
    for (; newcomers < 100; newcomers++) {
      const before = running.length;
      void pick(little).then((assignment) => running.push(assignment));
      await Promise.resolve();
      await Promise.resolve();
      if (running.length === before) break;
      clock.nowMs += 100;
      running.at(-1)!.firstToken();
      if (running.length > 2 * endpoints) running.splice(endpoints, 1)[0]!.finish(done);
    }
    return { ...fleet, running, large, newcomers };
  }

  async function endAll({ running, picker, large }: Awaited<ReturnType<typeof createPassed>>) {
    for (let round = 0; round < 4; round++) {
      for (const each of running.splice(0)) each.finish(done);
      for (let i = 0; i < 4; i++) await Promise.resolve();
    }
    await large.then(
      (each) => each.finish(done),
      () => undefined,
    );
    for (const each of running.splice(0)) each.finish(done);
    picker.checkIntegrity();
    expect([picker.waitingRequests, picker.openAssignments]).toEqual([0, 0]);
  }

  it('is not passed for ever: who comes later waits until it has begun', async () => {
    const passed = await createPassed(1);
    // Its memory and a fifth of it over: 78,000 tokens.
    expect(passed.newcomers).toBeGreaterThan(35);
    expect(passed.newcomers).toBeLessThan(50);
    expect(passed.picker.waitingRequests).toBe(2);
    for (const each of passed.running.splice(0)) each.finish(done);
    expect((await passed.large).record.candidates).toHaveLength(1);
    expect(passed.picker.waitingRequests).toBe(1);
    await endAll(passed);
  });

  it('does not keep an engine from higher priorities', async () => {
    const passed = await createPassed(1);
    const urgent = await passed.pick({ ...little, priority: 1 });
    expect(passed.picker.waitingRequests).toBe(2);
    urgent.finish(done);
    await endAll(passed);
  });

  it('gives the engine back when its client leaves', async () => {
    const client = new AbortController();
    const passed = await createPassed(1, client.signal);
    client.abort();
    expect(passed.picker.waitingRequests).toBe(0);
    await endAll(passed);
  });

  it('has one engine kept, and others go to the rest', async () => {
    const passed = await createPassed(2);
    const { pick, pool, running, clock, large } = passed;
    // With two engines nobody has to wait.
    expect(passed.newcomers).toBe(100);
    const [first, second] = [await pick(little), await pick(little)];
    expect(first.endpoint.name).toBe(second.endpoint.name);
    running.push(first, second);
    const kept = pool.snapshot(clock.nowMs).find(({ name }) => name !== first.endpoint.name)!;
    const there = running.filter(({ endpoint }) => endpoint.name === kept.name);
    expect(there.length).toBeGreaterThan(0);
    for (const each of there) running.splice(running.indexOf(each), 1)[0]!.finish(done);
    expect((await large).endpoint.name).toBe(kept.name);
    await endAll(passed);
  });

  it('goes to the engine that is kept for it, whatever the profile prefers', async () => {
    const passed = await createPassed(2, undefined, alwaysFirst);
    const { running, large } = passed;
    const there = running.findIndex(({ endpoint }) => endpoint.name === 'e1');
    running.splice(there, 1)[0]!.finish(done);
    expect((await large).endpoint.name).toBe('e1');
    await endAll(passed);
  });

  it('moves on when the engine that is kept for it goes away', async () => {
    const passed = await createPassed(2);
    const { pick, pool, running, clock, large } = passed;
    const other = await pick(little);
    running.push(other);
    const kept = pool.snapshot(clock.nowMs).find(({ name }) => name !== other.endpoint.name)!;
    pool.remove(kept.name);
    for (const each of running.splice(0)) each.finish(done);
    expect((await large).endpoint.name).toBe(other.endpoint.name);
    await endAll(passed);
  });
});

/** Of so many blocks. */
function prefixOf(count: number): PrefixHashes {
  const low = Uint32Array.from({ length: count }, (_, i) => Math.imul(i + 1, 0x9e3779b1));
  return { count, low, high: low, blockTokens };
}
