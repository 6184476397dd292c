import { describe, expect, it } from 'vitest';
import kvCacheUsage from '../../scorers/kv-cache-usage.ts';
import loraAffinity from '../../scorers/lora-affinity.ts';
import queueDepth from '../../scorers/queue-depth.ts';
import { defaultRoomRule } from '../../src/endpoint-picker/room-rule.ts';
import { defaultLimits } from '../../src/flow-control/index.ts';
import ready from '../../src/scheduling/filters/ready.ts';
import sessionPin from '../../src/scheduling/filters/session-pin.ts';
import utilization from '../../src/scheduling/filters/utilization.ts';
import type { Filter } from '../../src/scheduling/index.ts';
import maxScore from '../../src/scheduling/pickers/max-score.ts';
import { createProfile } from '../../src/scheduling/profile.ts';
import { createFleet } from '../endpoint-picker/support.ts';
import { ask, bodySent, destination, type Given, openFleet, three } from './hermetic-fixture.ts';
import { type Harness, outline, settle } from './stream-harness.ts';

/**
 * More cases of llm-d's suites, by their numbers or names: those that need plugins, its gRPC engine, its director
 * and its admission. Where we differ on purpose, the name says "ours". Not here, because what they test does not
 * exist here: admitter and PreRequest plugins, agent identity, producers with a time budget, prefill and decode
 * apart, eviction of running requests.
 */

type NamedFilter = readonly [name: string, filter: Filter];

function profileWith(...filters: readonly NamedFilter[]) {
  return createProfile({
    name: 'default',
    filters: [
      { name: 'ready', filter: ready.create({}) },
      ...filters.map(([name, filter]) => ({ name, filter })),
    ],
    scorers: [
      { name: 'lora-affinity', weight: 4, scorer: loraAffinity.create({}) },
      { name: 'queue-depth', weight: 2, scorer: queueDepth.create(queueDepth.defaults) },
      { name: 'kv-cache-usage', weight: 2, scorer: kvCacheUsage.create({}) },
    ],
    picker: { name: 'max-score', picker: maxScore.create({}) },
  });
}

async function askWith(given: Given, ...filters: readonly NamedFilter[]) {
  return ask(given, openFleet(given.pods, profileWith(...filters)));
}

interface Scored {
  readonly endpoint: string;
  readonly total: number;
}

const addressOf = (pod: number) => `192.168.1.${pod + 1}:8000`;
const explained = { headers: { headers: { 'x-pointsman-explain': 'true' } } };

describe('plugins', () => {
  it('2 the pod that has the adapter', async () => {
    const pods = [
      { queue: 0, kv: 0.2, adapters: ['foo', 'bar'] },
      { queue: 0, kv: 0.1, adapters: ['foo', 'target'] },
      { queue: 10, kv: 0.2, adapters: ['foo', 'bar'] },
    ];
    const { harness } = await askWith({ pods, model: 'target' });
    expect(destination(harness)).toBe(addressOf(1));
  });

  it('3 the adapter counts for more than the cache that is free', async () => {
    const pods = [
      { queue: 10, kv: 0.2, adapters: ['a', 'b', 'c', 'd'] },
      { queue: 10, kv: 0.4, adapters: ['foo', 'target'] },
      { queue: 10, kv: 0.3, adapters: ['a', 'b', 'c', 'd'] },
    ];
    const { harness } = await askWith({ pods, model: 'target' });
    expect(destination(harness)).toBe(addressOf(1));
  });

  it('20 the scores of both pods in the metadata of the pick, the winner included', async () => {
    const { harness } = await askWith({ pods: three.slice(0, 2), tellsScores: true });
    const [first] = harness.sent;
    const values = first?.kind === 'headers' ? first.metadata?.['envoy.lb'] : undefined;
    const scores = values?.['x-gateway-destination-endpoint-scores'] as ReadonlyMap<string, number>;
    expect([...scores.keys()].toSorted()).toEqual([addressOf(0), addressOf(1)]);
    expect(Math.min(...scores.values())).toBeGreaterThanOrEqual(0);
    expect(scores.get(destination(harness)!)).toBe(Math.max(...scores.values()));
  });

  it('20 the scores of the best two pods, ours: also in a response header for who asks', async () => {
    const { harness } = await askWith({ pods: three.slice(0, 2), ...explained });
    harness.responseHeaders();
    const reply = harness.sent.at(-1);
    const set = reply?.kind === 'headers' ? Object.fromEntries(reply.mutation?.set ?? []) : {};
    const decision = JSON.parse(set['x-pointsman-decision']!) as Scored & { readonly runnerUp: Scored };
    expect([decision.endpoint, decision.runnerUp.endpoint]).toEqual(['pod1', 'pod0']);
    expect(decision.runnerUp.total).toBeGreaterThanOrEqual(0);
    expect(decision.total).toBeGreaterThan(decision.runnerUp.total);
  });

  it.each([
    ['whole', 'application/json', ['{"usage":{"prompt_tokens":7,', '"completion_tokens":10}}']],
    [
      'streamed',
      'text/event-stream',
      ['data: {"usage":{"prompt_tokens":7,"completion_tokens":10}}\n\n', 'data: [DONE]\n\n'],
    ],
  ])(
    '22 usage of a %s response, ours: in log and metrics, with no metadata to the data plane',
    async (_, type, chunks) => {
      const { harness, fleet } = await askWith({ pods: three });
      harness.sent.length = 0;
      harness.responseHeaders({ headers: { 'content-type': type } });
      for (const [at, chunk] of chunks.entries()) harness.responseBody(chunk, at === chunks.length - 1);
      expect(harness.sent.every((reply) => reply.kind !== 'body' || reply.metadata === undefined)).toBe(true);
      expect(fleet.finished[0]?.outcome).toMatchObject({ usage: { promptTokens: 7, completionTokens: 10 } });
    },
  );

  it('23 a session stays on its pod when another is less loaded, ours: by its id, without a token', async () => {
    const pin = sessionPin.create(sessionPin.defaults);
    const fleet = openFleet(three, profileWith(['session-pin', pin]));
    const session = (id: string): Given => ({ pods: three, headers: { headers: { 'x-session-id': id } } });
    expect(destination((await ask(session('one'), fleet)).harness)).toBe(addressOf(1));
    fleet.scrape('pod1', { queuedRequests: 50, kvCacheUsage: 0.9 });
    expect(destination((await ask(session('one'), fleet)).harness)).toBe(addressOf(1));
    expect(destination((await ask(session('two'), fleet)).harness)).toBe(addressOf(0));
  });

  it('24 a filter sees the requests in flight of this very moment', async () => {
    const limit = utilization.create({ ...utilization.defaults, limits: ['active-requests<1'] });
    const fleet = openFleet(three, profileWith(['utilization', limit]));
    const picked: (string | undefined)[] = [];
    const given = { pods: three };
    for (let turn = 0; turn < 3; turn++) picked.push(destination((await ask(given, fleet)).harness));
    expect([...picked].sort()).toEqual([0, 1, 2].map(addressOf));
    expect(outline((await ask(given, fleet)).harness.sent)).toEqual(['immediate 503']);
  });
});

describe('a gRPC engine', () => {
  /** A message as vLLM's engine takes it, framed by gRPC; no text, and no JSON. */
  const message = Buffer.from([0, 0, 0, 0, 5, 0x0a, 0x03, 0xff, 0xfe, 0x7b]).toString('latin1');
  const call = (method: string, given: Partial<Given> = {}): Given => ({
    pods: three,
    body: message,
    ...given,
    headers: {
      headers: { ':path': `/vllm.grpc.engine.VllmEngine/${method}`, 'content-type': 'application/grpc' },
    },
  });

  it.each(['Generate', 'Embed', 'GenerateStream'])(
    '%s goes to the least loaded pod, byte for byte',
    async (method) => {
      const { harness, body } = await askWith(call(method));
      expect(destination(harness)).toBe(addressOf(1));
      expect(bodySent(harness)).toBe(body);
    },
  );

  it('a frame that is split over two chunks arrives whole', async () => {
    const { harness, body } = await askWith(call('Generate', { cutAt: 3 }));
    expect(bodySent(harness)).toBe(body);
  });

  it('no pods, ours: 503 instead of 500', async () => {
    const { harness } = await askWith(call('Generate', { pods: [] }));
    expect(outline(harness.sent)).toEqual(['immediate 503']);
  });

  it.each([
    [[addressOf(0), addressOf(1), addressOf(2)], addressOf(1)],
    [[addressOf(2)], addressOf(2)],
    [['10.0.0.9:8000'], undefined],
  ])('a subset of %j', async (subset, expected) => {
    const { harness } = await askWith(call('Generate', { subset }));
    expect(destination(harness)).toBe(expected);
    if (expected === undefined) expect(outline(harness.sent)).toEqual(['immediate 503']);
  });

  it('a response in chunks that ends with trailers, ours: each chunk passes at once, its tokens are not read', async () => {
    const { harness, fleet } = await askWith(call('Generate'));
    harness.sent.length = 0;
    harness.responseHeaders({ headers: { 'content-type': 'application/grpc' } });
    harness.responseBody('one');
    harness.responseBody('more');
    harness.responseTrailers();
    expect(outline(harness.sent)).toEqual([
      'response headers',
      'response body(3)',
      'response body(4)',
      'response trailers',
    ]);
    expect(fleet.finished[0]?.outcome).toMatchObject({ kind: 'completed', status: 200 });
    expect(fleet.finished[0]?.outcome).toHaveProperty('usage', undefined);
  });
});

describe('the director', () => {
  it.each(['{"model":"m"}', '{"model":"m","messages":[]}', '{"model":"m","prompt":""}'])(
    'no prompt in %s, ours: routed, as the engine knows best what it can do with it',
    async (body) => {
      expect(destination((await ask({ pods: three, body })).harness)).toBe(addressOf(1));
    },
  );

  it.each(['if-available', 'respond-async'])(
    'prefer: %s, ours: it reaches the engine, which may heed it',
    async (prefer) => {
      const { harness } = await ask({ pods: three, headers: { headers: { prefer } } });
      expect(destination(harness)).toBe(addressOf(1));
      const [first] = harness.sent;
      expect(first?.kind === 'headers' ? first.mutation?.remove : []).not.toContain('prefer');
    },
  );

  it('a scheduler that fails, ours: a ready pod instead of 429', async () => {
    const broken: Filter = () => {
      throw new Error('broken');
    };
    const fleet = openFleet(three, profileWith(['broken', broken]));
    expect(destination((await ask({ pods: three }, fleet)).harness)).toMatch(/^192\.168\.1\.[123]:8000$/);
  });

  it('filters that leave nobody, ours: 503 instead of 429, as waiting a second may not help', async () => {
    const nobody: Filter = () => [];
    const { harness } = await askWith({ pods: three }, ['nobody', nobody]);
    expect(outline(harness.sent)).toEqual(['immediate 503']);
  });

  it('requests with the same id are independent', async () => {
    const fleet = openFleet(three);
    const same: Given = { pods: three, headers: { headers: { 'x-request-id': 'twice' } } };
    const [one, two] = [(await ask(same, fleet)).harness, (await ask(same, fleet)).harness];
    const events = (harness: Harness, text: string) => harness.responseBody(text);
    for (const harness of [one, two]) {
      harness.sent.length = 0;
      harness.responseHeaders();
    }
    events(one, 'data: 1\n\n');
    events(two, 'data: a\n\n');
    events(one, 'data: 2\n\n');
    two.responseBody('data: [DONE]\n\n', true);
    expect(fleet.picker.openAssignments).toBe(1);
    one.responseBody('data: [DONE]\n\n', true);
    expect([bodySent(one), bodySent(two)]).toEqual([
      'data: 1\n\ndata: 2\n\ndata: [DONE]\n\n',
      'data: a\n\ndata: [DONE]\n\n',
    ]);
    expect(fleet.picker.openAssignments).toBe(0);
  });
});

describe('admission', () => {
  const done = { kind: 'completed', status: 200, usage: undefined } as const;
  const long = { promptTokens: 6000 };

  it.each([0, -1])('priority %d, not saturated: admitted', async (priority) => {
    const fleet = createFleet();
    expect((await fleet.pick({ priority })).endpoint.name).toMatch(/^e[01]$/);
  });

  it.each([0, -1])(
    'priority %d, saturated, ours: admitted, as nothing is shed unless flow control is on',
    async (priority) => {
      const fleet = createFleet();
      for (const name of ['e0', 'e1']) fleet.scrape(name, { queuedRequests: 50, kvCacheUsage: 0.99 });
      expect((await fleet.pick({ priority })).endpoint.name).toMatch(/^e[01]$/);
    },
  );

  it('priority -1 and no pods, ours: 503 instead of 429', async () => {
    const fleet = createFleet({ endpoints: 0 });
    await expect(fleet.pick({ priority: -1 })).rejects.toMatchObject({ code: 'no_endpoints' });
  });

  it('with flow control and no place left in the line: the lower priority is shed with 429', async () => {
    const limits = { ...defaultLimits, maxQueuedRequests: 1 };
    const fleet = createFleet({
      flowControl: { limits: () => limits, room: () => defaultRoomRule, schedule: () => () => undefined },
    });
    const busy = [await fleet.pick(long), await fleet.pick(long)];
    const low = fleet.pick({ ...long, priority: -1 });
    const shed = expect(low).rejects.toMatchObject({ code: 'overloaded' });
    const high = fleet.pick({ ...long, priority: 0 });
    await shed;
    for (const assignment of busy) assignment.finish(done);
    await settle();
    expect((await high).request.priority).toBe(0);
  });
});
