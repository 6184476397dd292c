import { describe, expect, it } from 'vitest';
import { all, ask, bodySent, destination, direct, type Given, three } from './hermetic-fixture.ts';
import { outline } from './stream-harness.ts';

/**
 * The cases of llm-d's integration suite for its endpoint picker, by its numbers: real picker, pool, profile and
 * stream. Where we differ on purpose, the name says "ours" and the reason stands beside it. Pod i is at
 * 192.168.1.(i+1):8000; its state is queue, KV cache usage, adapters in the batch.
 */
interface Expected {
  /** Index of the pod that is chosen. */
  readonly pod?: number;
  readonly status?: number;
  readonly reason?: string;
  readonly message?: RegExp;
  readonly body?: string;
}

const cases: readonly (readonly [name: string, given: Given, expected: Expected])[] = [
  ['1 the least loaded pod', { pods: three }, { pod: 1 }],
  [
    '4 saturated, priority 0 or more: nothing is shed',
    {
      pods: [
        { queue: 6, kv: 0.2, adapters: ['sql-lora'] },
        { queue: 0, kv: 0.85 },
        { queue: 10, kv: 0.9 },
      ],
      headers: { headers: { 'x-llm-d-inference-objective': 'sql-lora' } },
    },
    { pod: 1 },
  ],
  [
    '5 a body that is no JSON on an unknown path passes as it is',
    {
      pods: three,
      body: 'raw bytes',
      headers: { headers: { ':path': '/custom', 'x-gateway-inference-objective': 'sql-lora' } },
    },
    { pod: 1, body: 'raw bytes' },
  ],
  [
    '6 a body that is no JSON, ours: JSON with the place of the mistake',
    { pods: three, body: 'no healthy upstream' },
    { status: 400, message: /invalid JSON at line 1, column 2/ },
  ],
  [
    '7 JSON in two chunks with a rewrite header',
    {
      pods: three,
      body: direct,
      cutAt: 12,
      headers: { headers: { 'x-llm-d-model-name-rewrite': 'target' } },
    },
    { pod: 1, body: direct.replace('direct-model', 'target') },
  ],
  [
    // A 500 blames us and is not retried; the protocol asks for 503 when no endpoint is there (clause 9).
    '8 headers only and no pods, ours: 503 instead of 500',
    { pods: [], headers: { headers: { ':method': 'GET' }, endOfStream: true } },
    { status: 503, reason: 'rejected-no-endpoints', message: /no endpoints/ },
  ],
  ['9 JSON without a model', { pods: three, body: '{"prompt":"test"}' }, { status: 400, message: /"model"/ }],
  ['10 a subset of all three', { pods: three, subset: all }, { pod: 1 }],
  ['11 a subset of the loaded pod', { pods: three, subset: all.slice(2) }, { pod: 2 }],
  [
    '12 a subset that nobody is in',
    { pods: three, subset: ['10.0.0.9:8000'] },
    { status: 503, reason: 'rejected-no-endpoints' },
  ],
  // Byte for byte, where theirs sorts keys and rounds large integers.
  [
    '13 a model without an objective',
    { pods: three, body: `${direct.slice(0, -1)},"seed":12345678901234567890}` },
    { pod: 1, body: `${direct.slice(0, -1)},"seed":12345678901234567890}` },
  ],
  [
    '14 a model that a rule rewrites',
    { pods: three, body: '{"prompt":"test", "model": "model-to-be-rewritten"}' },
    { pod: 1, body: '{"prompt":"test", "model": "rewritten-model"}' },
  ],
  // Theirs picks at random and ignores the subset; a GET deserves the same pipeline.
  [
    '15 GET, ours: the same pipeline, subset and all',
    {
      pods: three,
      headers: { headers: { ':method': 'GET', ':path': '/v1/models' }, endOfStream: true },
      subset: all.slice(2),
    },
    { pod: 2 },
  ],
];

describe('a request', () => {
  it.each(cases)('%s', async (_, given, expected) => {
    const { fleet, harness, body } = await ask(given);
    if (expected.status !== undefined) {
      const reply = harness.sent.at(-1);
      if (reply?.kind !== 'immediate') throw new Error(`expected an error, found ${outline(harness.sent)}`);
      expect(reply.status).toBe(expected.status);
      expect(Object.fromEntries(reply.headers.set)['x-llm-d-request-dropped-reason']).toBe(expected.reason);
      const { error } = JSON.parse(Buffer.from(reply.body).toString()) as { error: { message: string } };
      if (expected.message !== undefined) expect(error.message).toMatch(expected.message);
      return;
    }
    expect(destination(harness)).toBe(`192.168.1.${expected.pod! + 1}:8000`);
    if (given.headers?.endOfStream !== true) expect(bodySent(harness)).toBe(expected.body ?? body);
    expect(fleet.picker.openAssignments).toBe(1);
    fleet.picker.checkIntegrity();
  });
});

/** What the client gets of a response in these chunks, and what was learned of it. */
async function respond(headers: Record<string, string>, chunks: readonly string[]) {
  const { fleet, harness } = await ask({ pods: three });
  harness.sent.length = 0;
  harness.responseHeaders({ headers });
  for (const [index, chunk] of chunks.entries()) harness.responseBody(chunk, index === chunks.length - 1);
  return { replies: outline(harness.sent), body: bodySent(harness), finished: fleet.finished };
}

describe('a response', () => {
  const json = { 'content-type': 'application/json' };

  it('16 JSON in two chunks, ours: each passes at once, as buffering only delays it', async () => {
    const { replies, body } = await respond(json, ['{"id":1,', '"usage":null}']);
    expect(replies).toEqual(['response headers', 'response body(8)', 'response body(13)+end']);
    expect(body).toBe('{"id":1,"usage":null}');
  });

  it('17 no JSON passes unchanged', async () => {
    expect((await respond({ 'content-type': 'text/plain' }, ['plain', ' text'])).body).toBe('plain text');
  });

  it('18 JSON, then an empty end', async () => {
    const { body, finished } = await respond(json, [
      '{"usage":{"prompt_tokens":7,"completion_tokens":10}}',
      '',
    ]);
    expect(body).toBe('{"usage":{"prompt_tokens":7,"completion_tokens":10}}');
    expect(finished[0]?.outcome).toMatchObject({ kind: 'completed', usage: { promptTokens: 7 } });
  });

  it('19 events with usage, then an empty end: each passes, tokens are counted', async () => {
    const events = [
      'data: {}\n\n',
      'data: {"usage":{"prompt_tokens":7,"completion_tokens":10,"total_tokens":17}}\n\ndata: [DONE]\n\n',
      '',
    ];
    const { body, finished } = await respond({ 'content-type': 'text/event-stream' }, events);
    expect(body).toBe(events.join(''));
    expect(finished[0]?.outcome).toMatchObject({ usage: { promptTokens: 7, completionTokens: 10 } });
  });

  it('21 no scores in the metadata of the pick', async () => {
    const { harness } = await ask({ pods: three });
    const [first] = harness.sent;
    expect(first?.kind === 'headers' ? Object.keys(first.metadata!['envoy.lb']!) : []).toEqual([
      'x-gateway-destination-endpoint',
    ]);
  });
});
