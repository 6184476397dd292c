import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { unknownMetrics } from '../../src/pool/endpoint-state.ts';
import { InferencePool } from '../../src/pool/inference-pool.ts';
import type { Reservation } from '../../src/pool/reservation.ts';

const load = { promptTokens: 100, uncachedTokens: 40 };

function createPool() {
  const clock = { nowMs: 0 };
  const told: string[] = [];
  const capacities: [number, number][] = [];
  const cleared: number[] = [];
  const pool = new InferencePool({
    clock: () => clock.nowMs,
    prefixIndex: {
      blockTokens: 64,
      setCapacity: (slot, blocks) => capacities.push([slot, blocks]),
      removeEndpoint: (slot) => cleared.push(slot),
    },
  });
  pool.subscribe({
    added: ({ name }) => told.push(`+${name}`),
    removed: ({ name }) => told.push(`-${name}`),
    readinessChanged: ({ name }, reason) => told.push(`${name}: ${reason ?? 'ready'}`),
  });
  const endpoint = (name: string) => pool.snapshot(clock.nowMs).find((known) => known.name === name)!;
  const scrape = (name: string, metrics = unknownMetrics) => {
    pool.beginScrape(endpoint(name));
    pool.recordScrape(endpoint(name), metrics);
  };
  return { pool, clock, told, capacities, cleared, endpoint, scrape };
}

function createReady() {
  const made = createPool();
  made.pool.upsert({ name: 'e0', address: '10.0.0.1:8000', labels: { zone: 'a' } });
  made.scrape('e0');
  return made;
}

describe('the pool', () => {
  it('lists an endpoint that is not yet scraped as not ready, with unknown figures', () => {
    const { pool, endpoint } = createPool();
    pool.upsert({ name: 'e0', address: '10.0.0.1:8000' });
    expect(endpoint('e0')).toMatchObject({
      isReady: false,
      notReadyReason: 'not yet scraped',
      metrics: { ageMs: Number.POSITIVE_INFINITY, totalBlocks: undefined },
      models: [],
    });
  });

  it('refuses a bad address and stays as it was', () => {
    const { pool } = createReady();
    expect(() => pool.upsert({ name: 'e1', address: 'nowhere' })).toThrow(/no port/);
    expect(() => pool.upsert({ name: 'e0', address: 'nowhere' })).toThrow(/no port/);
    expect(pool.size).toBe(1);
    pool.checkIntegrity();
  });

  it('keeps what it knows of an endpoint whose labels change', () => {
    const { pool, endpoint } = createReady();
    pool.reserve(endpoint('e0'), load);
    pool.upsert({ name: 'e0', address: '10.0.0.1:8000', labels: { zone: 'b' } });
    expect(endpoint('e0')).toMatchObject({ isReady: true, labels: { zone: 'b' }, inFlight: { requests: 1 } });
  });

  it('starts an endpoint anew whose address changes', () => {
    const { pool, endpoint, cleared } = createReady();
    pool.upsert({ name: 'e0', address: '10.0.0.2:8000' });
    expect(endpoint('e0')).toMatchObject({ isReady: false, address: '10.0.0.2:8000' });
    expect(cleared).toEqual([0]);
  });

  it('gives the same frozen snapshot until something changes', () => {
    const { pool, clock, endpoint } = createReady();
    const first = pool.snapshot(clock.nowMs);
    expect(pool.snapshot(clock.nowMs + 5)).toBe(first);
    pool.upsert({ name: 'e1', address: '10.0.0.2:8000' });
    const second = pool.snapshot(clock.nowMs);
    expect(second).not.toBe(first);
    expect(second[0]).toBe(first[0]);
    expect(Object.isFrozen(second)).toBe(true);
    for (const part of [
      second[0]!,
      second[0]!.metrics,
      second[0]!.inFlight,
      second[0]!.labels,
      second[0]!.models,
    ]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
    pool.reserve(endpoint('e0'), load);
    expect(first[0]!.inFlight.requests).toBe(0);
    expect(pool.snapshot(clock.nowMs)[0]!.inFlight.requests).toBe(1);
  });

  it('changes in the next snapshot what has changed since, in one or in many', () => {
    const { pool, clock, scrape } = createPool();
    for (let i = 0; i < 20; i++) {
      pool.upsert({ name: `e${i}`, address: `10.0.0.${i + 1}:8000` });
      scrape(`e${i}`);
    }
    const before = pool.snapshot(clock.nowMs);
    for (const place of [17, 3, 9]) pool.reserve(before[place]!, load);
    pool.reportFailure(before[5]!, 'connection reset');
    const after = pool.snapshot(clock.nowMs);
    for (const [place, endpoint] of after.entries()) {
      expect(endpoint === before[place]).toBe(![3, 5, 9, 17].includes(place));
      expect(endpoint.slot).toBe(before[place]!.slot);
      expect(endpoint.inFlight.requests).toBe([3, 9, 17].includes(place) ? 1 : 0);
      expect(endpoint.isReady).toBe(place !== 5);
    }
  });

  it('shows nothing of an endpoint that is gone where another has its slot', () => {
    const { pool, clock, endpoint, scrape } = createReady();
    const reservation = pool.reserve(endpoint('e0'), load);
    pool.remove('e0');
    pool.upsert({ name: 'e9', address: '10.0.0.9:8000' });
    scrape('e9');
    expect(pool.snapshot(clock.nowMs).map(({ name }) => name)).toEqual(['e9']);
    reservation.release();
    expect(pool.snapshot(clock.nowMs).map(({ name }) => name)).toEqual(['e9']);
  });

  it('lets figures age', () => {
    const { pool } = createReady();
    expect(pool.snapshot(350)[0]!.metrics.ageMs).toBe(350);
  });

  it('dates figures from when they were asked for', () => {
    const { pool, clock, endpoint } = createReady();
    clock.nowMs = 1000;
    pool.beginScrape(endpoint('e0'));
    clock.nowMs = 1400;
    pool.recordScrape(endpoint('e0'), unknownMetrics);
    expect(pool.snapshot(1400)[0]!.metrics.ageMs).toBe(400);
  });

  it('reuses slots, and takes nothing that is said of the endpoint before', () => {
    const { pool, endpoint } = createReady();
    const old = endpoint('e0');
    const reservation = pool.reserve(old, load);
    pool.remove('e0');
    const next = pool.upsert({ name: 'e9', address: '10.0.0.9:8000' });
    expect(next.slot).toBe(old.slot);
    pool.recordScrape(old, unknownMetrics);
    pool.reserve(old, load).release();
    expect(endpoint('e9')).toMatchObject({ isReady: false, inFlight: { requests: 0 } });
    pool.checkIntegrity();
    reservation.release();
    expect(endpoint('e9').inFlight.requests).toBe(0);
    pool.checkIntegrity();
  });

  it('tells listeners of endpoints and of changes of readiness, each once', () => {
    const { pool, told, endpoint, scrape, clock } = createReady();
    scrape('e0');
    pool.recordScrapeFailure(endpoint('e0'), 'refused');
    pool.recordScrapeFailure(endpoint('e0'), 'refused');
    clock.nowMs = 20;
    scrape('e0');
    pool.remove('e0');
    expect(told).toEqual(['+e0', 'e0: ready', 'e0: refused', 'e0: ready', '-e0']);
  });

  it('tells listeners why an endpoint has never been ready, once', () => {
    const { pool, told, endpoint } = createPool();
    pool.upsert({ name: 'e0', address: '10.0.0.1:8000' });
    pool.recordModels(endpoint('e0'), { models: ['m'], adapters: [] });
    pool.recordScrapeFailure(endpoint('e0'), 'refused');
    pool.recordScrapeFailure(endpoint('e0'), 'refused');
    expect(told).toEqual(['+e0', 'e0: refused']);
  });

  it('tells the prefix index what an endpoint holds, in blocks of the index', () => {
    const { scrape, capacities } = createReady();
    const metrics = { ...unknownMetrics, totalBlocks: 1000, blockSizeTokens: 16 };
    scrape('e0', metrics);
    scrape('e0', metrics);
    expect(capacities).toEqual([[0, 250]]);
  });

  it('tells the prefix index when an engine has restarted, and its capacity again', () => {
    const { pool, scrape, endpoint, capacities, cleared } = createReady();
    scrape('e0', { ...unknownMetrics, totalBlocks: 1000, blockSizeTokens: 16 });
    pool.recordRestart(endpoint('e0'));
    expect(cleared).toEqual([0]);
    expect(capacities).toEqual([
      [0, 250],
      [0, 250],
    ]);
  });
});

describe('load in flight', () => {
  it('counts from the reservation to its release, both once', () => {
    const { pool, endpoint } = createReady();
    const reservation = pool.reserve(endpoint('e0'), load);
    expect(endpoint('e0').inFlight).toEqual({
      requests: 1,
      sentSinceScrape: 1,
      waitingForFirstToken: 1,
      awaitedFirstTokens: 1,
      promptTokens: 100,
      uncachedTokens: 40,
    });
    reservation.firstToken();
    reservation.firstToken();
    expect(endpoint('e0').inFlight).toMatchObject({
      requests: 1,
      waitingForFirstToken: 0,
      awaitedFirstTokens: 0,
      uncachedTokens: 0,
    });
    reservation.release();
    reservation.release();
    reservation.firstToken();
    expect(Object.values(endpoint('e0').inFlight)).toEqual([0, 0, 0, 0, 0, 0]);
    pool.checkIntegrity();
  });

  it('tells apart what the last scrape can have seen', () => {
    const { pool, endpoint } = createReady();
    const before = pool.reserve(endpoint('e0'), load);
    pool.beginScrape(endpoint('e0'));
    const during = pool.reserve(endpoint('e0'), load);
    expect(endpoint('e0').inFlight.sentSinceScrape).toBe(2);
    pool.recordScrape(endpoint('e0'), unknownMetrics);
    expect(endpoint('e0').inFlight.sentSinceScrape).toBe(1);
    before.release();
    expect(endpoint('e0').inFlight.sentSinceScrape).toBe(1);
    during.release();
    expect(endpoint('e0').inFlight.sentSinceScrape).toBe(0);
    pool.checkIntegrity();
  });

  it('does not take a failed scrape for one that has seen', () => {
    const { pool, endpoint } = createReady();
    pool.reserve(endpoint('e0'), load);
    pool.beginScrape(endpoint('e0'));
    pool.recordScrapeFailure(endpoint('e0'), 'timeout');
    pool.beginScrape(endpoint('e0'));
    const late = pool.reserve(endpoint('e0'), load);
    expect(endpoint('e0').inFlight.sentSinceScrape).toBe(2);
    pool.recordScrape(endpoint('e0'), unknownMetrics);
    expect(endpoint('e0').inFlight.sentSinceScrape).toBe(1);
    late.release();
    pool.checkIntegrity();
  });

  it('agrees with its reservations after any sequence of calls', () => {
    const action = fc.record({
      kind: fc.constantFrom('reserve', 'token', 'release', 'begin', 'scrape', 'fail', 'remove', 'add'),
      which: fc.nat(20),
    });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 100 }), (actions) => {
        const { pool, endpoint } = createReady();
        const reservations: Reservation[] = [];
        for (const { kind, which } of actions) {
          const name = `e${which % 3}`;
          const known = endpoint(name);
          const reservation = reservations[which % Math.max(1, reservations.length)];
          if (kind === 'add') pool.upsert({ name, address: `10.0.0.${(which % 3) + 1}:8000` });
          if (kind === 'remove') pool.remove(name);
          if (kind === 'token') reservation?.firstToken();
          if (kind === 'release') reservation?.release();
          if (known === undefined) continue;
          if (kind === 'reserve')
            reservations.push(pool.reserve(known, { promptTokens: which, uncachedTokens: which >> 1 }));
          if (kind === 'begin') pool.beginScrape(known);
          if (kind === 'scrape') pool.recordScrape(known, unknownMetrics);
          if (kind === 'fail') pool.recordScrapeFailure(known, 'down');
          pool.checkIntegrity();
        }
      }),
    );
  });
});

describe('health', () => {
  it('goes with the first scrape that fails and comes with the first that succeeds', () => {
    const { pool, endpoint, scrape } = createReady();
    pool.recordScrapeFailure(endpoint('e0'), 'connection refused');
    expect(endpoint('e0')).toMatchObject({ isReady: false, notReadyReason: 'connection refused' });
    scrape('e0');
    expect(endpoint('e0')).toMatchObject({ isReady: true, notReadyReason: undefined });
  });

  it('does not go with a scrape that got no answer while requests are being served', () => {
    const { pool, endpoint, clock, scrape } = createReady();
    pool.upsert({ name: 'e1', address: '10.0.0.2:8000' });
    scrape('e1');
    clock.nowMs = 5000;
    const reservation = pool.reserve(endpoint('e0'), load);
    reservation.firstToken();
    clock.nowMs += 999;
    pool.recordScrapeTimeout(endpoint('e0'), 'no answer');
    expect(endpoint('e0').isReady).toBe(true);
    pool.reportSuccess(endpoint('e0'));
    clock.nowMs += 999;
    pool.recordScrapeTimeout(endpoint('e0'), 'no answer');
    expect(endpoint('e0').isReady).toBe(true);
    clock.nowMs += 1;
    pool.recordScrapeTimeout(endpoint('e0'), 'no answer');
    expect(endpoint('e0')).toMatchObject({ isReady: false, notReadyReason: 'no answer' });
  });

  it('stays when all endpoints answer scrapes too late, but not when they refuse', () => {
    const { pool, endpoint, clock } = createReady();
    clock.nowMs = 5000;
    const all = pool.snapshot(clock.nowMs);
    for (const each of all) pool.recordScrapeTimeout(each, 'no answer');
    expect(pool.snapshot(clock.nowMs).map(({ isReady }) => isReady)).toEqual(all.map(() => true));
    clock.nowMs += 30_000;
    expect(endpoint('e0')).toMatchObject({ isReady: false, notReadyReason: 'no answer' });
    pool.recordScrapeFailure(endpoint('e0'), 'connection refused');
    expect(endpoint('e0')).toMatchObject({ isReady: false, notReadyReason: 'connection refused' });
    pool.recordScrapeTimeout(endpoint('e0'), 'no answer');
    expect(endpoint('e0').isReady).toBe(false);
  });

  it('goes at once when a request fails, until the next scrape succeeds', () => {
    const { pool, endpoint, scrape } = createReady();
    pool.reportFailure(endpoint('e0'), 'connection refused');
    expect(endpoint('e0')).toMatchObject({ isReady: false, notReadyReason: 'ejected: connection refused' });
    scrape('e0');
    expect(endpoint('e0').isReady).toBe(true);
  });

  it('takes the failures of many requests on one broken connection for one', () => {
    const { pool, endpoint, scrape } = createReady();
    for (let i = 0; i < 50; i++) pool.reportFailure(endpoint('e0'), 'reset');
    scrape('e0');
    expect(endpoint('e0').isReady).toBe(true);
  });

  it('stays away longer and longer while scrapes succeed and requests fail, at most 10 s', () => {
    const { pool, endpoint, scrape, clock } = createReady();
    const awayMs: number[] = [];
    for (let failure = 0; failure < 8; failure++) {
      pool.reportFailure(endpoint('e0'), 'reset');
      const failedAtMs = clock.nowMs;
      do {
        scrape('e0');
        if (endpoint('e0').isReady) break;
        clock.nowMs += 100;
      } while (clock.nowMs - failedAtMs < 60_000);
      awayMs.push(clock.nowMs - failedAtMs);
    }
    expect(awayMs).toEqual([0, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
  });

  function createHalfOpen() {
    const made = createReady();
    for (let i = 0; i < 2; i++) {
      made.pool.reportFailure(made.endpoint('e0'), 'reset');
      made.scrape('e0');
    }
    made.clock.nowMs += 500;
    return made;
  }

  it('tries a half-open endpoint with one request at a time', () => {
    const { pool, endpoint } = createHalfOpen();
    expect(endpoint('e0').isReady).toBe(true);
    const probe = pool.reserve(endpoint('e0'), load);
    expect(endpoint('e0')).toMatchObject({
      isReady: false,
      notReadyReason: expect.stringMatching(/half-open/),
    });
    probe.release();
    expect(endpoint('e0').isReady).toBe(true);
  });

  it('closes again when the trying request succeeds, and forgets earlier failures', () => {
    const { pool, endpoint, scrape } = createHalfOpen();
    const probe = pool.reserve(endpoint('e0'), load);
    pool.reportSuccess(endpoint('e0'));
    expect(endpoint('e0').isReady).toBe(true);
    probe.release();
    pool.reportFailure(endpoint('e0'), 'reset');
    scrape('e0');
    expect(endpoint('e0').isReady).toBe(true);
  });

  it('is ejected for longer when the trying request fails', () => {
    const { pool, endpoint, scrape, clock } = createHalfOpen();
    const probe = pool.reserve(endpoint('e0'), load);
    pool.reportFailure(endpoint('e0'), 'reset');
    probe.release();
    scrape('e0');
    clock.nowMs += 999;
    expect(pool.find(endpoint('e0'))!.isReady).toBe(false);
    clock.nowMs += 1;
    expect(pool.find(endpoint('e0'))!.isReady).toBe(true);
  });

  it('is not restored by a request from before the ejection', () => {
    const { pool, endpoint } = createReady();
    pool.reportFailure(endpoint('e0'), 'reset');
    pool.reportSuccess(endpoint('e0'));
    expect(endpoint('e0').isReady).toBe(false);
  });

  it('counts error answers only when five come in a row', () => {
    const { pool, endpoint } = createReady();
    for (let i = 0; i < 4; i++) pool.reportErrorAnswer(endpoint('e0'), 'status 500');
    pool.reportSuccess(endpoint('e0'));
    for (let i = 0; i < 4; i++) pool.reportErrorAnswer(endpoint('e0'), 'status 500');
    expect(endpoint('e0').isReady).toBe(true);
    pool.reportErrorAnswer(endpoint('e0'), 'status 500');
    expect(endpoint('e0').isReady).toBe(false);
  });
});

describe('passive health', () => {
  /** Five endpoints that have each shown `first` tokens in time; requests are of 1,000 tokens, so 40 ms. */
  function createServing(names = ['e0', 'e1', 'e2', 'e3', 'e4']) {
    const made = createPool();
    const events: string[] = [];
    made.pool.subscribe({
      ejected: ({ name }, { cause, backOffMs }) => events.push(`${name} ejected: ${cause}, ${backOffMs} ms`),
      restored: ({ name }, { cause }) => events.push(`${name} restored: ${cause}`),
    });
    for (const [at, name] of names.entries()) {
      made.pool.upsert({ name, address: `10.0.0.${at + 1}:8000` });
      made.scrape(name);
    }
    const serve = (name: string, ttftMs: number, advance = true) => {
      const reservation = made.pool.reserve(made.endpoint(name), {
        promptTokens: 1000,
        uncachedTokens: 1000,
      });
      if (advance) made.clock.nowMs += ttftMs;
      reservation.firstToken();
      reservation.release();
      made.pool.reportSuccess(made.endpoint(name), reservation.sentAtMs);
    };
    for (let round = 0; round < 6; round++) for (const name of names) serve(name, 40);
    return { ...made, events, serve };
  }

  it('ejects the endpoint whose first tokens come far later than those of the others', () => {
    const { endpoint, serve, events } = createServing();
    for (let i = 0; i < 4; i++) serve('e0', 5000);
    expect(endpoint('e0').isReady).toBe(true);
    serve('e0', 5000);
    expect(endpoint('e0').notReadyReason).toMatch(/^ejected: first tokens come too late: 5000 ms instead of/);
    expect(events).toEqual(['e0 ejected: slow, 500 ms']);
  });

  it('ejects an endpoint that answers scrapes and never a request', () => {
    const { pool, endpoint, scrape, clock, events } = createServing();
    for (let i = 0; i < 5; i++)
      pool.reserve(endpoint('e0'), { promptTokens: 1000, uncachedTokens: 1000, isStreaming: true });
    clock.nowMs += 1900;
    scrape('e0');
    expect(endpoint('e0').isReady).toBe(true);
    clock.nowMs += 3000;
    scrape('e0');
    expect(endpoint('e0').isReady).toBe(false);
    scrape('e0');
    expect(events).toEqual(['e0 ejected: slow, 500 ms']);
  });

  it('keeps an endpoint whose memory is full while it serves, and ejects it once it no longer does', () => {
    const { pool, endpoint, scrape, clock, serve, events } = createServing();
    const full = { ...unknownMetrics, kvCacheUsage: 0.99, queuedRequests: 5 };
    for (let i = 0; i < 5; i++)
      pool.reserve(endpoint('e0'), { promptTokens: 1000, uncachedTokens: 1000, isStreaming: true });
    for (let i = 0; i < 5; i++) {
      scrape('e0', full);
      clock.nowMs += 1000;
      serve('e0', 4000);
    }
    expect(events).toEqual([]);
    clock.nowMs += 4900;
    scrape('e0', full);
    expect(events).toEqual([]);
    clock.nowMs += 100;
    scrape('e0', full);
    expect(events).toEqual(['e0 ejected: slow, 500 ms']);
  });

  it.each([
    ['queues and tells no use of memory', { ...unknownMetrics, queuedRequests: 5, runningRequests: 4 }],
    ['tells nothing of itself', undefined],
  ])('keeps an endpoint that %s while it serves, and ejects it once it no longer does', (_, figures) => {
    const { pool, endpoint, clock, serve, events } = createServing();
    const scrape = () => pool.recordScrape(endpoint('e0'), figures);
    for (let i = 0; i < 5; i++)
      pool.reserve(endpoint('e0'), { promptTokens: 1000, uncachedTokens: 1000, isStreaming: true });
    for (let i = 0; i < 5; i++) {
      scrape();
      clock.nowMs += 1000;
      serve('e0', 4000);
    }
    expect(events).toEqual([]);
    clock.nowMs += 5000;
    scrape();
    expect(events).toEqual(['e0 ejected: slow, 500 ms']);
  });

  it('judges an endpoint that queues although it tells memory to spare', () => {
    const { endpoint, scrape, clock, serve } = createServing();
    scrape('e0', { ...unknownMetrics, kvCacheUsage: 0.3, queuedRequests: 5 });
    clock.nowMs += 1;
    for (let i = 0; i < 5; i++) serve('e0', 5000);
    expect(endpoint('e0').isReady).toBe(false);
  });

  it('judges an endpoint whose memory was full before, and is not now', () => {
    const { endpoint, scrape, clock, serve } = createServing();
    scrape('e0', { ...unknownMetrics, kvCacheUsage: 0.99 });
    scrape('e0');
    clock.nowMs += 1;
    for (let i = 0; i < 5; i++) serve('e0', 5000);
    expect(endpoint('e0').isReady).toBe(false);
  });

  it('never judges whole answers by a first token that nobody sees', () => {
    const { pool, endpoint, scrape, clock } = createServing();
    for (let i = 0; i < 9; i++)
      pool.reserve(endpoint('e0'), { promptTokens: 1000, uncachedTokens: 1000, isStreaming: false });
    clock.nowMs += 60_000;
    scrape('e0');
    expect(endpoint('e0').isReady).toBe(true);
  });

  it('lets a token in time between late ones pass', () => {
    const { endpoint, serve } = createServing();
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 4; i++) serve('e0', 5000);
      serve('e0', 40);
    }
    expect(endpoint('e0').isReady).toBe(true);
  });

  it('ejects nobody when all are late alike, nor more than half, nor an endpoint alone', () => {
    const all = createServing();
    for (let round = 0; round < 8; round++)
      for (const name of ['e0', 'e1', 'e2', 'e3', 'e4']) all.serve(name, 5000);
    expect(all.events).toEqual([]);
    const few = createServing();
    for (const name of ['e1', 'e2', 'e3']) few.pool.recordScrapeFailure(few.endpoint(name), 'refused');
    for (let round = 0; round < 8; round++) few.serve('e0', 30_000);
    expect(few.events).toEqual([]);
    const alone = createServing(['e0']);
    for (let round = 0; round < 8; round++) alone.serve('e0', 30_000);
    expect(alone.events).toEqual([]);
  });

  it('tries the slow endpoint with one request, and restores it when that is in time', () => {
    const { endpoint, serve, scrape, clock, events } = createServing();
    for (let i = 0; i < 5; i++) serve('e0', 5000);
    clock.nowMs += 500;
    scrape('e0');
    serve('e0', 5000);
    clock.nowMs += 999;
    scrape('e0');
    expect(endpoint('e0').isReady).toBe(false);
    clock.nowMs += 1;
    serve('e0', 40);
    expect(events).toEqual(['e0 ejected: slow, 500 ms', 'e0 ejected: slow, 1000 ms', 'e0 restored: slow']);
  });

  it('keeps an endpoint with error answers away although it answers scrapes', () => {
    const { pool, endpoint, scrape, clock, events } = createServing();
    for (let i = 0; i < 5; i++) pool.reportErrorAnswer(endpoint('e1'), 'status 503');
    scrape('e1');
    expect(endpoint('e1').notReadyReason).toBe('ejected: 5 error answers in a row, the last: status 503');
    clock.nowMs += 500;
    const probe = pool.reserve(endpoint('e1'), load);
    pool.reportErrorAnswer(endpoint('e1'), 'status 503', probe.sentAtMs);
    probe.release();
    expect(events).toEqual(['e1 ejected: errors, 500 ms', 'e1 ejected: errors, 1000 ms']);
  });

  it('is not restored by a request that was sent before the ejection and ends after it', () => {
    const { pool, endpoint, scrape, clock } = createReady();
    const early = pool.reserve(endpoint('e0'), load);
    clock.nowMs += 10;
    for (let i = 0; i < 2; i++) {
      pool.reportFailure(endpoint('e0'), 'reset');
      scrape('e0');
    }
    clock.nowMs += 500;
    pool.reportSuccess(endpoint('e0'), early.sentAtMs);
    pool.reserve(endpoint('e0'), load);
    expect(endpoint('e0').notReadyReason).toMatch(/half-open/);
  });
});
