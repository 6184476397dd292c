import { describe, expect, it } from 'vitest';
import { parseInferenceRequest } from '../../src/endpoint-picker/inference-request.ts';
import type { BodyMode, ProcessingResponse } from '../../src/ext-proc/messages.ts';
import { type Harness, type HarnessOptions, openStream, settle } from './stream-harness.ts';

const before = '{"seed":12345678901234567890,"model":"alias","messages":[]}';
const after = before.replace('alias', 'the-real-one');
const answer = '{"id":1,"model":"the-real-one","usage":{}}';
const restored = answer.replace('the-real-one', 'alias');

function open(request: BodyMode, options: HarnessOptions = {}): Harness {
  return openStream({
    modes: { request, eager: true },
    ...options,
    collaborators: {
      parseRequest: (http) =>
        parseInferenceRequest(http, {
          blockTokens: 16,
          maxPrefixTokens: 1024,
          rewriteModel: (model) => (model === 'alias' ? 'the-real-one' : undefined),
        }),
      ...options.collaborators,
    },
  });
}

/** The bytes that reach the other side, where replies replace what they answer. */
function bytesOf(sent: readonly ProcessingResponse[], direction: string): string {
  return sent
    .flatMap((reply) => (reply.kind === 'body' && reply.direction === direction ? [reply] : []))
    .map(({ streamed, replaced }) => Buffer.from(streamed?.body ?? replaced ?? 'unchanged').toString())
    .join('');
}

function headersSet(sent: readonly ProcessingResponse[]): Record<string, string> {
  return Object.fromEntries(sent.flatMap((reply) => ('mutation' in reply ? reply.mutation!.set : [])));
}

describe.each(['FULL_DUPLEX_STREAMED', 'STREAMED', 'BUFFERED', 'BUFFERED_PARTIAL'] as const)('%s', (mode) => {
  const isWhole = mode.startsWith('BUFFERED');

  it('changes the model in the body, and chooses by the new one', async () => {
    const harness = open(mode);
    harness.headers();
    if (!isWhole) for (const part of [before.slice(0, 20), before.slice(20, 40)]) harness.body(part);
    harness.body(isWhole ? before : before.slice(40), true);
    await settle();
    expect(bytesOf(harness.sent, 'request')).toBe(after);
    expect(harness.picker.picks[0]?.request.model).toBe('the-real-one');
    const length = mode === 'BUFFERED' ? String(after.length) : undefined;
    expect(headersSet(harness.sent)['content-length']).toBe(length);
  });

  it('leaves a body whose model is not to be changed', async () => {
    const harness = open(mode);
    harness.headers();
    const other = before.replace('alias', 'other');
    harness.body(other, true);
    await settle();
    expect(bytesOf(harness.sent, 'request')).toBe(mode === 'FULL_DUPLEX_STREAMED' ? other : 'unchanged');
  });

  it("gives the client's name back in the response", async () => {
    const harness = open(mode);
    harness.headers();
    harness.body(before, true);
    await settle();
    harness.sent.length = 0;
    harness.responseHeaders({ headers: { 'content-type': 'application/json' } });
    if (!isWhole) for (const part of [answer.slice(0, 18), answer.slice(18, 22)]) harness.responseBody(part);
    harness.responseBody(isWhole ? answer : answer.slice(22), true);
    expect(bytesOf(harness.sent, 'response').replaceAll('unchanged', '')).toBe(restored);
    const length = mode === 'BUFFERED' ? String(restored.length) : undefined;
    expect(headersSet(harness.sent)['content-length']).toBe(length);
  });
});

it('restores each event of a stream at once', async () => {
  const harness = open('FULL_DUPLEX_STREAMED');
  harness.headers();
  harness.body(before, true);
  await settle();
  harness.sent.length = 0;
  harness.responseHeaders();
  for (let i = 0; i < 3; i++) {
    harness.responseBody(`data: ${answer}\n\n`);
    expect(bytesOf(harness.sent, 'response')).toBe(`data: ${restored}\n\n`.repeat(i + 1));
  }
  harness.responseTrailers();
  expect(harness.sent.at(-1)).toEqual({ kind: 'trailers', direction: 'response' });
});

it('removes the headers that it has read', async () => {
  const harness = open('FULL_DUPLEX_STREAMED');
  harness.headers({ headers: { 'x-llm-d-model-name-rewrite': 'alias', 'x-pointsman-explain': 'true' } });
  harness.body('{"model":"m"}', true);
  await settle();
  expect(bytesOf(harness.sent, 'request')).toBe('{"model":"the-real-one"}');
  const [headers] = harness.sent;
  expect(headers?.kind === 'headers' ? [...headers.mutation!.remove].sort() : []).toEqual([
    'x-llm-d-model-name-rewrite',
    'x-pointsman-explain',
  ]);
});
