import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createDesk, type Job, outcomeOf } from './support.ts';

/** Waits for nobody: promises that are refused on purpose must not count as unhandled. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

describe('flow control', () => {
  it('lets a request through at once while there is room', async () => {
    const { admit, flow, timers } = createDesk(2);
    await admit({});
    await admit({});
    expect([flow.waitingRequests, timers.size]).toEqual([0, 0]);
    flow.checkIntegrity();
  });

  it('holds a request until there is room, and tells the shortest first', async () => {
    const { admit, release, served, flow } = createDesk(0);
    const waiting = [admit({ name: 'long', tokens: 900 }), admit({ name: 'short', tokens: 100 })];
    expect(flow.waitingRequests).toBe(2);
    release();
    release();
    await Promise.all(waiting);
    expect(served.map(({ name }) => name)).toEqual(['short', 'long']);
    flow.checkIntegrity();
  });

  it('lets a long request go before shorter ones that come much later', async () => {
    const { admit, release, served, advance } = createDesk(0);
    const waiting = [admit({ name: 'long', tokens: 900 })];
    advance(10_000);
    waiting.push(admit({ name: 'short', tokens: 100 }));
    release(2);
    await Promise.all(waiting);
    expect(served.map(({ name }) => name)).toEqual(['long', 'short']);
  });

  it('serves higher priorities first', async () => {
    const { admit, release, served } = createDesk(0);
    const waiting = [-1, 5, 0, 5].map((priority, i) =>
      admit({ name: `${priority}`, priority, tokens: 10 * (4 - i) }),
    );
    release(4);
    await Promise.all(waiting);
    expect(served.map(({ name }) => name)).toEqual(['5', '5', '0', '-1']);
  });

  it('gives tenants turns by tokens, whatever one of them floods', async () => {
    const { admit, release, served } = createDesk(0);
    const waiting: Promise<Job>[] = [];
    for (let i = 0; i < 400; i++) waiting.push(admit({ tenant: 'flood', tokens: 100 }));
    for (const tenant of ['a', 'b', 'c', 'd']) {
      for (let i = 0; i < 20; i++) waiting.push(admit({ tenant, tokens: tenant === 'a' ? 200 : 100 }));
    }
    for (let i = 0; i < 90; i++) release();
    const tokens = ['a', 'b', 'c', 'd', 'flood'].map((tenant) =>
      served.filter((job) => job.tenant === tenant).reduce((sum, job) => sum + (job.tokens ?? 0), 0),
    );
    expect(jain(tokens)).toBeGreaterThan(0.95);
    for (let i = 0; i < 400; i++) release();
    await Promise.all(waiting);
  });

  it('does not let a tenant that comes back catch up on what it did not ask for', () => {
    const { admit, release, served } = createDesk(0);
    for (let i = 0; i < 50; i++) quiet(admit({ tenant: 'busy' }));
    for (let i = 0; i < 30; i++) release();
    for (let i = 0; i < 20; i++) quiet(admit({ tenant: 'late' }));
    for (let i = 0; i < 10; i++) release();
    const late = served.slice(30).filter(({ tenant }) => tenant === 'late').length;
    expect(late).toBeGreaterThanOrEqual(4);
    expect(late).toBeLessThanOrEqual(6);
  });

  it('refuses with Retry-After when the line is full', async () => {
    const { admit } = createDesk(0, { maxQueuedRequests: 2 });
    quiet(admit({ tokens: 3000 }));
    quiet(admit({ tokens: 3000 }));
    await expect(admit({})).rejects.toMatchObject({ code: 'overloaded', retryAfterSeconds: 6 });
  });

  it('counts the bytes that wait', async () => {
    const { admit, flow } = createDesk(0, { maxQueuedBytes: 100 });
    quiet(admit({ bytes: 80 }));
    await expect(admit({ bytes: 30 })).rejects.toMatchObject({ code: 'overloaded' });
    await expect(admit({ bytes: 101, priority: 9 })).rejects.toMatchObject({ code: 'overloaded' });
    expect(flow.waitingBytes).toBe(80);
  });

  it('displaces the newest of the lowest band, or of a tenant that has more', async () => {
    const { admit, flow } = createDesk(0, { maxQueuedRequests: 3 });
    const batch = [0, 1].map((i) => quiet(admit({ name: `batch ${i}`, priority: -1 })));
    const normal = quiet(admit({ tenant: 'a' }));
    quiet(admit({ tenant: 'a' }));
    expect(await outcomeOf(batch[1]!)).toBe('overloaded');
    quiet(admit({ tenant: 'a' }));
    expect(await outcomeOf(batch[0]!)).toBe('overloaded');
    quiet(admit({ tenant: 'b' }));
    await expect(admit({ tenant: 'b' })).rejects.toMatchObject({ code: 'overloaded' });
    expect(await outcomeOf(normal)).toBe('waiting');
    expect(flow.waitingRequests).toBe(3);
    flow.checkIntegrity();
  });

  it('ends a wait after the time to live of its band, with one timer for all', async () => {
    const { admit, advance, timers, flow } = createDesk(0, {
      defaultTtlMs: 1000,
      ttlMs: new Map([[-1, 200]]),
    });
    const normal = quiet(admit({}));
    const batch = quiet(admit({ priority: -1 }));
    expect(timers.size).toBe(1);
    advance(200);
    expect([await outcomeOf(batch), await outcomeOf(normal)]).toEqual(['queue_timeout', 'waiting']);
    advance(800);
    expect(await outcomeOf(normal)).toBe('queue_timeout');
    expect(timers.size).toBe(0);
    flow.checkIntegrity();
  });

  it('refuses at once what would miss its target by waiting, and tells when to come again', async () => {
    const { admit, flow } = createDesk(0);
    for (let i = 0; i < 10; i++) quiet(admit({ tenant: `t${i}`, tokens: 500 }));
    await expect(admit({ tokens: 500, ttftSloMs: 2000 })).rejects.toMatchObject({
      code: 'overloaded',
      retryAfterSeconds: 3,
    });
    // Shorter than all that wait: nothing is before it.
    quiet(admit({ tokens: 5, ttftSloMs: 2000 }));
    // Before all of them by priority.
    quiet(admit({ tokens: 500, ttftSloMs: 2000, priority: 1 }));
    expect(flow.waitingRequests).toBe(12);
  });

  it('lets go of a request at once when its client leaves', async () => {
    const { admit, flow, timers } = createDesk(0);
    const client = new AbortController();
    const waiting = quiet(admit({ signal: client.signal }));
    client.abort();
    expect([flow.waitingRequests, flow.waitingBytes, timers.size]).toEqual([0, 0, 0]);
    await expect(waiting).rejects.toMatchObject({ code: 'client_closed' });
    await expect(admit({ signal: client.signal })).rejects.toMatchObject({ code: 'client_closed' });
  });

  it('ends the wait of a request whose decision fails, and serves those behind it', async () => {
    const { admit, release, flow } = createDesk(0);
    const broken = quiet(admit({ tokens: 1, breaks: true }));
    const next = admit({ tokens: 2 });
    release();
    await expect(broken).rejects.toThrow('broken');
    await next;
    flow.checkIntegrity();
  });

  it('lets nobody wait for engines that are gone, but for those that come back in a moment', async () => {
    const { flow, pool, timers, admit, advance } = createDesk(0);
    const waiting = admit({});
    pool.ready = 0;
    flow.endpointLost();
    flow.endpointLost();
    advance(1000);
    pool.ready = 1;
    advance(4000);
    expect(await outcomeOf(waiting)).toBe('waiting');
    pool.ready = 0;
    flow.endpointLost();
    advance(5000);
    expect(await outcomeOf(waiting)).toBe('no_endpoints');
    expect(timers.size).toBe(0);
    flow.checkIntegrity();
  });

  it('refuses everybody when it shuts down', async () => {
    const { admit, flow, timers } = createDesk(0);
    const waiting = [quiet(admit({})), quiet(admit({ priority: 3 }))];
    flow.shutDown();
    for (const each of waiting) await expect(each).rejects.toMatchObject({ code: 'shutting_down' });
    await expect(admit({})).rejects.toMatchObject({ code: 'shutting_down' });
    expect([flow.waitingRequests, timers.size]).toEqual([0, 0]);
    flow.checkIntegrity();
  });

  it('loses no request and keeps its counters, whatever happens in whatever order', async () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('admit' as const),
        priority: fc.integer({ min: -1, max: 1 }),
        tenant: fc.constantFrom('a', 'b', 'c'),
        tokens: fc.integer({ min: 1, max: 5000 }),
        bytes: fc.integer({ min: 0, max: 40 }),
        breaks: fc.boolean(),
      }),
      fc.record({ kind: fc.constant('release' as const), places: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ kind: fc.constant('abort' as const), which: fc.nat(50) }),
      fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(400) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const desk = createDesk(1, { maxQueuedRequests: 8, maxQueuedBytes: 120, defaultTtlMs: 1000 });
        const clients: AbortController[] = [];
        const waits: Promise<unknown>[] = [];
        for (const each of steps) {
          if (each.kind === 'admit') {
            const client = new AbortController();
            clients.push(client);
            waits.push(quiet(desk.admit({ ...each, signal: client.signal })));
          } else if (each.kind === 'release') desk.release(each.places);
          else if (each.kind === 'advance') desk.advance(each.ms);
          else clients[each.which]?.abort();
          desk.flow.checkIntegrity();
          expect(desk.flow.waitingRequests).toBeLessThanOrEqual(8);
          expect(desk.flow.waitingBytes).toBeLessThanOrEqual(120);
        }
        desk.release(100);
        expect([desk.flow.waitingRequests, desk.flow.waitingBytes, desk.timers.size]).toEqual([0, 0, 0]);
        const outcomes = await Promise.all(waits.map(outcomeOf));
        expect(outcomes).not.toContain('waiting');
        expect(outcomes.filter((outcome) => outcome === 'served')).toHaveLength(desk.served.length);
      }),
      { numRuns: 150 },
    );
  });
});

/** (sum x)^2 / (n sum x^2): 1 when all are equal. */
function jain(values: readonly number[]): number {
  const sum = values.reduce((total, value) => total + value, 0);
  return sum ** 2 / (values.length * values.reduce((total, value) => total + value ** 2, 0));
}
