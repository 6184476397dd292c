import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/endpoint-picker/assignment.ts';
import { createFleet, promptOf } from './support.ts';

const done: Outcome = { kind: 'completed', status: 200, usage: undefined };
const prompt = promptOf('a prompt of many blocks '.repeat(400));
const blocks = prompt.prefix.count;

/** Blocks of the prompt believed cached, per endpoint. */
function believed({ prefixIndex, pool }: ReturnType<typeof createFleet>): Record<string, number> {
  const match = prefixIndex.match(prompt.prefix);
  return Object.fromEntries(pool.snapshot(1000).map(({ name, slot }) => [name, match.cachedBlocks(slot)]));
}

/** How often the pool has heard of failures. */
function countFailures({ pool }: ReturnType<typeof createFleet>): { of: (name: string) => number } {
  const failures: string[] = [];
  const original = pool.reportFailure.bind(pool);
  pool.reportFailure = (endpoint, reason) => {
    failures.push(endpoint.name);
    original(endpoint, reason);
  };
  return { of: (name) => failures.filter((each) => each === name).length };
}

describe('a request being served', () => {
  it('counts the failure of the last endpoint once, though it is told twice', async () => {
    const fleet = createFleet({ endpoints: 1 });
    const failures = countFailures(fleet);
    const assignment = await fleet.pick(prompt);
    expect(assignment.retryNext('refused')).toBeUndefined();
    assignment.finish({ kind: 'connect_failed', reason: 'refused' });
    expect(failures.of('e0')).toBe(1);
  });

  it('counts the failures of each endpoint that it tried', async () => {
    const fleet = createFleet({ endpoints: 2 });
    const failures = countFailures(fleet);
    const assignment = await fleet.pick(prompt);
    assignment.retryNext('refused');
    assignment.finish({ kind: 'upstream_failed', reason: 'reset' });
    expect([failures.of('e0'), failures.of('e1')]).toEqual([1, 1]);
  });

  it('takes its prompt along when it moves, in the prefix index too', async () => {
    const fleet = createFleet({ endpoints: 2 });
    const assignment = await fleet.pick(prompt);
    const first = assignment.endpoint.name;
    const second = assignment.retryNext('refused')!.name;
    expect(believed(fleet)).toEqual({ [first]: 0, [second]: blocks });
  });

  it('keeps what the endpoint had cached before', async () => {
    const fleet = createFleet({ endpoints: 1 });
    (await fleet.pick(prompt)).finish(done);
    (await fleet.pick(prompt)).finish({ kind: 'connect_failed', reason: 'refused' });
    expect(believed(fleet)).toEqual({ e0: blocks });
  });

  it.each<[Outcome, number]>([
    [done, blocks],
    [{ kind: 'client_aborted' }, blocks],
    [{ kind: 'cut_at_shutdown' }, blocks],
    [{ kind: 'connect_failed', reason: 'refused' }, 0],
    [{ kind: 'upstream_failed', reason: 'reset' }, 0],
    [{ kind: 'rejected_by_engine', status: 400 }, 0],
    [{ kind: 'rejected_by_engine', status: 500 }, 0],
  ])('after %j has %d blocks in the index', async (outcome, expected) => {
    const fleet = createFleet({ endpoints: 1 });
    (await fleet.pick(prompt)).finish(outcome);
    expect(believed(fleet)).toEqual({ e0: expected });
  });

  it('keeps the prompt of a stream that broke off after its first token', async () => {
    const fleet = createFleet({ endpoints: 1 });
    const assignment = await fleet.pick(prompt);
    assignment.firstToken();
    assignment.finish({ kind: 'upstream_failed', reason: 'reset' });
    expect(believed(fleet)).toEqual({ e0: blocks });
  });
});

describe('a request that another endpoint served', () => {
  it('moves load and prompt there, and blames those passed over', async () => {
    const fleet = createFleet({ endpoints: 3 });
    const failures = countFailures(fleet);
    const assignment = await fleet.pick(prompt);
    const [first, second, third] = assignment.record.ranking;
    assignment.servedBy(third!.address, [first!.address, second!.address]);
    assignment.servedBy(third!.address, [first!.address, second!.address]);
    expect(believed(fleet)).toEqual({ [first!.name]: 0, [second!.name]: 0, [third!.name]: blocks });
    expect(fleet.endpoint(third!.name).inFlight).toMatchObject({
      requests: 1,
      promptTokens: prompt.promptTokens,
    });
    expect(fleet.endpoint(first!.name)).toMatchObject({ isReady: false, inFlight: { requests: 0 } });
    expect([failures.of(first!.name), failures.of(second!.name)]).toEqual([1, 1]);
    assignment.finish(done);
    expect(fleet.finished[0]).toMatchObject({ endpoint: third!.name, retries: 2 });
    fleet.picker.checkIntegrity();
  });

  it('also when that one is not ready, as it has served after all', async () => {
    const fleet = createFleet({ endpoints: 2 });
    const assignment = await fleet.pick(prompt);
    const other = assignment.record.ranking[1]!;
    fleet.pool.recordScrapeFailure(other, 'timeout');
    assignment.servedBy(other.address, [assignment.endpoint.address]);
    expect(assignment.endpoint.name).toBe(other.name);
    expect(fleet.endpoint(other.name).inFlight.requests).toBe(1);
    assignment.finish(done);
    fleet.picker.checkIntegrity();
  });

  it('stays where it is when nobody here knows that address', async () => {
    const fleet = createFleet({ endpoints: 1 });
    const assignment = await fleet.pick(prompt);
    assignment.servedBy('10.9.9.9:1', []);
    expect(assignment.endpoint.name).toBe('e0');
    assignment.finish(done);
    fleet.picker.checkIntegrity();
  });
});

it('a prompt that two requests share stays cached while one of them runs', async () => {
  const { pick, prefixIndex, endpoint } = createFleet({ endpoints: 1, index: { blocksPerEndpoint: 40 } });
  const [shared, other, third] = [
    promptOf('a'.repeat(4096)),
    promptOf('b'.repeat(4096)),
    promptOf('c'.repeat(4096)),
  ];
  const first = await pick(shared);
  const second = await pick(shared);
  const later = await pick(other);
  first.finish(done);
  later.finish(done);
  const last = await pick(third);
  const cached = [shared, other].map(({ prefix }) =>
    prefixIndex.match(prefix).cachedBlocks(endpoint('e0').slot),
  );
  expect(cached).toEqual([16, 8]);
  for (const each of [second, last]) each.finish(done);
});

describe('a fault of our own', () => {
  it('in the index leaves the decision to the other scorers, and the record tells it', async () => {
    const fleet = createFleet({ endpoints: 3 });
    fleet.prefixIndex.match = () => {
      throw new Error('broken index');
    };
    fleet.prefixIndex.release = () => {
      throw new Error('broken index');
    };
    fleet.prefixIndex.record = () => {
      throw new Error('broken index');
    };
    const assignments = await Promise.all(Array.from({ length: 30 }, () => fleet.pick(prompt)));
    const names = assignments.map(({ endpoint }) => endpoint.name);
    expect(['e0', 'e1', 'e2'].map((name) => names.filter((each) => each === name).length)).toEqual([
      10, 10, 10,
    ]);
    expect(assignments[0]!.record).toMatchObject({
      profile: 'default',
      failures: [{ kind: 'index', name: 'prefix-index', message: 'Error: broken index' }],
    });
    for (const assignment of assignments) assignment.finish(done);
    fleet.picker.checkIntegrity();
  });

  it('in the profile gives the ready endpoints of the subset in turn', async () => {
    const fail = () => {
      throw new TypeError('no such thing');
    };
    const broken = { name: 'broken', run: fail, propose: fail, confirm: () => [] };
    const fleet = createFleet({ endpoints: 4, profile: broken });
    fleet.pool.recordScrapeFailure(fleet.endpoint('e2'), 'down');
    const subset = ['10.0.0.2', '10.0.0.3', '10.0.0.4'];
    const picks = [];
    for (let i = 0; i < 4; i++) picks.push(await fleet.pick(prompt, subset));
    expect(picks.map(({ endpoint }) => endpoint.name)).toEqual(['e1', 'e3', 'e1', 'e3']);
    expect(picks[0]!.record).toMatchObject({
      profile: 'degraded',
      picker: 'round-robin',
      failures: [{ kind: 'profile', message: 'TypeError: no such thing' }],
    });
    await expect(fleet.pick(prompt, ['10.0.0.3'])).rejects.toMatchObject({ code: 'no_endpoints' });
    for (const pick of picks) pick.finish(done);
    fleet.picker.checkIntegrity();
  });

  it('in the parser is noted, and the request is placed by its headers', async () => {
    const fleet = createFleet({ endpoints: 1 });
    const { request } = await fleet.pick();
    const signal = new AbortController().signal;
    const assignment = await fleet.picker.pick(request, { signal, parserFault: 'RangeError: oops' });
    expect(assignment.record.failures).toEqual([
      { kind: 'parser', name: 'parser', message: 'RangeError: oops' },
    ]);
  });
});
