import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Assignment, Outcome } from '../../src/endpoint-picker/assignment.ts';
import { createProfile } from '../../src/scheduling/profile.ts';
import { blendProfile, createFleet, defaultProfile, promptOf } from './support.ts';

const done: Outcome = { kind: 'completed', status: 200, usage: undefined };

describe('the endpoint picker', () => {
  it('reserves the load in the same step, so that concurrent picks spread', async () => {
    const fleet = createFleet({ endpoints: 4 });
    const assignments = await Promise.all(Array.from({ length: 40 }, (_, i) => fleet.pick(promptOf(`${i}`))));
    const perEndpoint = new Map<string, number>();
    for (const { endpoint } of assignments) {
      perEndpoint.set(endpoint.name, (perEndpoint.get(endpoint.name) ?? 0) + 1);
    }
    expect([...perEndpoint.values()]).toEqual([10, 10, 10, 10]);
    fleet.picker.checkIntegrity();
  });

  // By cost a ninth is better computed anew than beside eight answers that have just begun.
  it.each([
    ['the default', defaultProfile(), 8],
    ['a blend', blendProfile(), 10],
  ])(
    'takes requests that come together with the same new prompt to one endpoint, by %s',
    async (_, profile, count) => {
      const fleet = createFleet({ endpoints: 4, profile });
      const prompt = promptOf('x'.repeat(8000));
      const names = (await Promise.all(Array.from({ length: count }, () => fleet.pick(prompt)))).map(
        ({ endpoint }) => endpoint.name,
      );
      expect(new Set(names).size).toBe(1);
    },
  );

  it('tells a finished request once, with the times and the cache hit that was predicted', async () => {
    const fleet = createFleet();
    const prompt = promptOf('tell me '.repeat(200));
    (await fleet.pick(prompt)).finish(done);
    const assignment = await fleet.pick(prompt);
    fleet.clock.nowMs += 50;
    assignment.firstToken();
    fleet.clock.nowMs += 30;
    assignment.firstToken();
    const usage = { promptTokens: 410, completionTokens: 5, cachedTokens: 320 };
    assignment.finish({ kind: 'completed', status: 200, usage });
    assignment.finish({ kind: 'client_aborted' });
    expect(fleet.finished).toHaveLength(2);
    expect(fleet.finished[1]).toMatchObject({
      endpoint: assignment.endpoint.name,
      outcome: { kind: 'completed', usage },
      predictedCachedTokens: 384,
      retries: 0,
      ttftMs: 50,
      durationMs: 80,
    });
    expect(fleet.picker.openAssignments).toBe(0);
    fleet.picker.checkIntegrity();
  });

  it('does not count tokens believed cached as work before the first token', async () => {
    const fleet = createFleet({ endpoints: 1 });
    const prompt = promptOf('a'.repeat(64 * 4 * 10 + 40));
    (await fleet.pick(prompt)).finish(done);
    const assignment = await fleet.pick(prompt);
    expect(fleet.endpoint('e0').inFlight).toMatchObject({ promptTokens: 650, uncachedTokens: 10 });
    assignment.firstToken();
    expect(fleet.endpoint('e0').inFlight).toMatchObject({
      requests: 1,
      uncachedTokens: 0,
      waitingForFirstToken: 0,
      awaitedFirstTokens: 0,
    });
    assignment.finish(done);
    expect(fleet.endpoint('e0').inFlight.requests).toBe(0);
  });

  it('moves to the next ready endpoint when one cannot be reached, and ejects that one', async () => {
    const fleet = createFleet({ endpoints: 3 });
    const assignment = await fleet.pick();
    const first = assignment.endpoint.name;
    const second = assignment.retryNext('connection refused')!.name;
    expect(second).not.toBe(first);
    expect(assignment.endpoint.name).toBe(second);
    expect(fleet.endpoint(first)).toMatchObject({ isReady: false, inFlight: { requests: 0 } });
    expect(fleet.endpoint(first).notReadyReason).toMatch('connection refused');
    expect(fleet.endpoint(second).inFlight.requests).toBe(1);
    expect((await fleet.pick()).endpoint.name).not.toBe(first);
    assignment.finish(done);
    expect(fleet.finished[0]).toMatchObject({ endpoint: second, retries: 1 });
  });

  it('has no fallback left when all others are down', async () => {
    const fleet = createFleet({ endpoints: 2 });
    const assignment = await fleet.pick();
    const other = assignment.endpoint.name === 'e0' ? 'e1' : 'e0';
    fleet.pool.recordScrapeFailure(fleet.endpoint(other), 'connection refused');
    expect(assignment.retryNext('connection refused')).toBeUndefined();
    assignment.finish({ kind: 'connect_failed', reason: 'connection refused' });
    expect(fleet.finished).toHaveLength(1);
    expect(fleet.picker.isReady()).toBe(false);
    fleet.picker.checkIntegrity();
  });

  it.each<[Outcome, boolean]>([
    [done, true],
    [{ kind: 'rejected_by_engine', status: 400 }, true],
    [{ kind: 'rejected_by_engine', status: 503 }, true],
    [{ kind: 'rejected_by_engine', status: 500 }, true],
    [{ kind: 'client_aborted' }, true],
    [{ kind: 'cut_at_shutdown' }, true],
    [{ kind: 'connect_failed', reason: 'refused' }, false],
    [{ kind: 'upstream_failed', reason: 'reset' }, false],
  ])('after %j the endpoint is ready: %s', async (outcome, isReady) => {
    const fleet = createFleet({ endpoints: 1 });
    (await fleet.pick()).finish(outcome);
    expect(fleet.endpoint('e0').isReady).toBe(isReady);
  });

  it('ejects an endpoint that answers five requests in a row with an error of its own', async () => {
    const fleet = createFleet({ endpoints: 1 });
    for (let i = 0; i < 5; i++) {
      expect(fleet.endpoint('e0').isReady).toBe(true);
      (await fleet.pick()).finish({ kind: 'rejected_by_engine', status: 500 });
    }
    expect(fleet.endpoint('e0').isReady).toBe(false);
  });

  it('uses the profile in force when the request comes', async () => {
    const fleet = createFleet();
    expect((await fleet.pick()).record.profile).toBe('default');
    fleet.state.profile = createProfile({
      name: 'other',
      filters: [],
      scorers: [],
      picker: { name: 'max-score', picker: (_context, scored) => scored },
    });
    expect((await fleet.pick()).record.profile).toBe('other');
  });

  it('keeps the last records, newest first', async () => {
    const fleet = createFleet();
    for (let i = 0; i < 11; i++) (await fleet.pick({ id: `r${i}` })).finish(done);
    expect(fleet.picker.recent().map(({ requestId }) => requestId)).toEqual(
      Array.from({ length: 8 }, (_, i) => `r${10 - i}`),
    );
  });

  it('lists the models of ready endpoints, sorted, with the endpoints that serve them', () => {
    const fleet = createFleet({ endpoints: 3 });
    fleet.pool.recordModels(fleet.endpoint('e0'), { models: ['b', 'a'], adapters: [] });
    fleet.pool.recordModels(fleet.endpoint('e1'), { models: ['a'], adapters: [] });
    fleet.pool.recordModels(fleet.endpoint('e2'), { models: ['c'], adapters: [] });
    fleet.pool.recordScrapeFailure(fleet.endpoint('e2'), 'down');
    expect(fleet.picker.models()).toEqual([
      { id: 'a', endpoints: ['e0', 'e1'] },
      { id: 'b', endpoints: ['e0'] },
    ]);
  });
});

describe('the endpoint picker refuses', () => {
  it('when the pool is empty', async () => {
    const fleet = createFleet({ endpoints: 0 });
    await expect(fleet.pick()).rejects.toMatchObject({
      code: 'no_endpoints',
      message: expect.stringMatching(/no endpoints/),
    });
  });

  it('when no endpoint is ready, and tells why each is out', async () => {
    const fleet = createFleet({ endpoints: 2 });
    fleet.pool.recordScrapeFailure(fleet.endpoint('e0'), 'connection refused');
    fleet.pool.reportFailure(fleet.endpoint('e1'), 'connection reset');
    await expect(fleet.pick()).rejects.toMatchObject({
      code: 'no_endpoints',
      message: expect.stringMatching(/2 endpoints.*e0: connection refused; e1: ejected: connection reset/),
    });
    expect(fleet.rejected).toEqual([{ code: 'no_endpoints', hasRecord: false, waitedMs: 0 }]);
  });

  it('when filters leave nothing, with the record and the filter of each endpoint', async () => {
    const fleet = createFleet({
      profile: createProfile({
        name: 'p',
        filters: [{ name: 'nobody', filter: () => [] }],
        scorers: [],
        picker: { name: 'max-score', picker: (_context, scored) => scored },
      }),
    });
    await expect(fleet.pick()).rejects.toMatchObject({
      code: 'no_endpoints',
      message: expect.stringMatching(/e0: removed by filter nobody/),
    });
    expect(fleet.rejected).toEqual([{ code: 'no_endpoints', hasRecord: true, waitedMs: 0 }]);
  });

  it('a model that all ready endpoints have told not to serve, and lists those that they do', async () => {
    const fleet = createFleet({ endpoints: 2 });
    fleet.pool.recordModels(fleet.endpoint('e0'), { models: ['small'], adapters: [] });
    (await fleet.pick({ model: 'unknown' })).finish(done);
    fleet.pool.recordModels(fleet.endpoint('e1'), { models: ['large'], adapters: [] });
    await expect(fleet.pick({ model: 'unknown' })).rejects.toMatchObject({
      code: 'model_not_found',
      param: 'model',
      message: expect.stringMatching(/`unknown`.*large, small/),
    });
    expect((await fleet.pick({ model: 'large' })).endpoint.name).toBe('e1');
    expect((await fleet.pick({ model: 'small' })).endpoint.name).toBe('e0');
  });

  it('a request whose client has left, and everything once it shuts down', async () => {
    const fleet = createFleet();
    const { request } = await fleet.pick();
    await expect(
      fleet.picker.pick(request, { subset: undefined, signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: 'client_closed' });
    fleet.picker.shutDown();
    await expect(fleet.pick()).rejects.toMatchObject({ code: 'shutting_down' });
    expect(fleet.rejected.map(({ code }) => code)).toEqual(['client_closed', 'shutting_down']);
  });
});

describe('a subset', () => {
  const addresses = [
    '10.0.0.1:8000',
    '10.0.0.1:8001',
    '10.0.0.2:8000',
    '[2001:db8::1]:8000',
    'engine.local:80',
  ];
  async function chosenFrom(subset: readonly string[]): Promise<string[]> {
    const fleet = createFleet({ endpoints: 0 });
    for (const address of addresses) {
      fleet.pool.upsert({ name: address, address });
      fleet.scrape(address);
    }
    const { record } = await fleet.pick({}, subset);
    return record.candidates.map(({ address }) => address);
  }

  it.each([
    [['10.0.0.1:8001'], ['10.0.0.1:8001']],
    [['10.0.0.1'], ['10.0.0.1:8000', '10.0.0.1:8001']],
    [
      ['10.0.0.2:8000', '10.0.0.1:8000'],
      ['10.0.0.1:8000', '10.0.0.2:8000'],
    ],
    [[' 10.0.0.2:8000 , 10.0.0.1:8001 '], ['10.0.0.1:8001', '10.0.0.2:8000']],
    [['[2001:db8::1]:8000'], ['[2001:db8::1]:8000']],
    [['[2001:0DB8:0::1]:8000'], ['[2001:db8::1]:8000']],
    [['2001:db8::1'], ['[2001:db8::1]:8000']],
    [['[2001:db8::1]'], ['[2001:db8::1]:8000']],
    [['Engine.Local'], ['engine.local:80']],
    [['10.0.0.9:1', '10.0.0.2'], ['10.0.0.2:8000']],
  ])('of %j leaves %j to choose from', async (subset, expected) => {
    expect(await chosenFrom(subset)).toEqual(expected);
  });

  it.each<[readonly string[]]>([[[]], [['']], [['10.0.0.9:8000']], [['10.0.0.1:9999']], [['!?', ',,']]])(
    'of %j names no endpoint and is refused',
    async (subset) => {
      await expect(chosenFrom(subset)).rejects.toMatchObject({ code: 'no_endpoints' });
    },
  );
});

describe('whatever happens to requests and endpoints', () => {
  it('each request ends once and all counters return to zero', async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.constant({ kind: 'pick' as const }) },
      {
        weight: 6,
        arbitrary: fc.record({
          kind: fc.constantFrom(
            'finish' as const,
            'served' as const,
            'abort' as const,
            'retry' as const,
            'token' as const,
            'break' as const,
          ),
          which: fc.nat(30),
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constantFrom('scrape' as const, 'down' as const, 'remove' as const, 'add' as const),
          which: fc.nat(3),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('wait' as const), which: fc.nat(3000) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const fleet = createFleet({ endpoints: 3, profile: defaultProfile() });
        const picked: Assignment[] = [];
        let refused = 0;
        for (const action of steps) {
          if (action.kind === 'pick') {
            await fleet.pick(promptOf('p'.repeat(600))).then(
              (assignment) => {
                expect(fleet.endpoint(assignment.endpoint.name).inFlight.requests).toBeGreaterThan(0);
                picked.push(assignment);
              },
              () => refused++,
            );
            continue;
          }
          const name = `e${action.which}`;
          const endpoint = fleet.endpoint(name);
          const assignment = picked[action.which % Math.max(1, picked.length)];
          if (action.kind === 'wait') fleet.clock.nowMs += action.which;
          else if (action.kind === 'add')
            fleet.pool.upsert({ name, address: `10.0.0.${action.which + 1}:8000` });
          else if (action.kind === 'remove') fleet.pool.remove(name);
          else if (action.kind === 'scrape') endpoint && fleet.scrape(name);
          else if (action.kind === 'down') endpoint && fleet.pool.recordScrapeFailure(endpoint, 'down');
          else if (action.kind === 'finish') assignment?.finish(done);
          else if (action.kind === 'abort') assignment?.finish({ kind: 'client_aborted' });
          else if (action.kind === 'break') assignment?.finish({ kind: 'upstream_failed', reason: 'reset' });
          else if (action.kind === 'retry') assignment?.retryNext('refused');
          else if (action.kind === 'served')
            assignment?.servedBy(`10.0.0.${(action.which % 4) + 1}:8000`, [assignment.endpoint.address]);
          else assignment?.firstToken();
          fleet.picker.checkIntegrity();
        }
        for (const assignment of picked) assignment.finish(done);
        expect(fleet.finished).toHaveLength(picked.length);
        expect(fleet.rejected).toHaveLength(refused);
        expect(fleet.picker.openAssignments).toBe(0);
        fleet.picker.checkIntegrity();
        for (const { inFlight } of fleet.pool.snapshot(fleet.clock.nowMs + 100)) {
          expect(Object.values(inFlight)).toEqual([0, 0, 0, 0, 0, 0]);
        }
      }),
    );
  });
});
