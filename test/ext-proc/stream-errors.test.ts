import { describe, expect, it } from 'vitest';
import type { HttpRequest } from '../../src/endpoint-picker/http-request.ts';
import { parseOrReadHeaders } from '../../src/endpoint-picker/inference-request.ts';
import { ServiceError } from '../../src/protocol/errors.ts';
import { fakePicker } from './fakes.ts';
import { chatBody, type Harness, openStream, outline, settle } from './stream-harness.ts';

const modes = { request: 'FULL_DUPLEX_STREAMED' } as const;

function refusal({ sent }: Harness) {
  const reply = sent.at(-1);
  if (reply?.kind !== 'immediate') throw new Error(`expected an immediate response, got ${outline(sent)}`);
  const { error } = JSON.parse(Buffer.from(reply.body).toString()) as { error: Record<string, unknown> };
  return { status: reply.status, headers: Object.fromEntries(reply.headers.set), error };
}

describe('an error is a JSON response with the stream ended', () => {
  const bodies: readonly [string, string, number, string][] = [
    ['no JSON', '{"model":', 400, 'invalid_json'],
    ['an empty body', '', 400, 'invalid_json'],
    ['no model', '{"messages":[]}', 400, 'invalid_request'],
    ['too many bytes', `{"model":"m","prompt":"${'x'.repeat(1_000_000)}"}`, 413, 'request_too_large'],
  ];
  it.each(bodies)('%s', async (_, text, status, code) => {
    const harness = openStream({ modes });
    harness.headers();
    harness.body(text, true);
    await settle();
    expect(refusal(harness)).toMatchObject({
      status,
      headers: { 'content-type': 'application/json' },
      error: { code, type: 'invalid_request_error' },
    });
    expect(harness.isEnded()).toBe(true);
    expect(harness.picker.picks).toHaveLength(0);
  });

  it.each([
    ['no_endpoints', 503, 'rejected-no-endpoints', '1'],
    ['overloaded', 429, 'rejected-saturated', '1'],
    ['shutting_down', 503, 'rejected-shutting-down', '5'],
    ['model_not_found', 404, undefined, undefined],
  ] as const)('%s from the picker', async (code, status, reason, retryAfter) => {
    const picker = fakePicker(['10.0.0.1:8000']);
    picker.failWith(new ServiceError(code, 'Why.'));
    const harness = openStream({ modes, picker });
    harness.headers();
    harness.body(chatBody, true);
    await settle();
    const { status: found, headers } = refusal(harness);
    expect(found).toBe(status);
    expect(headers['x-llm-d-request-dropped-reason']).toBe(reason);
    expect(headers['retry-after']).toBe(retryAfter);
  });

  it.each([
    [{ ':path': '/v1/messages' }],
    [{ ':path': '/anthropic/v1/messages/count_tokens?beta=true' }],
    [{ ':path': '', 'anthropic-version': '2023-06-01' }],
  ])('in the dialect of Anthropic for %j', async (headers: Record<string, string>) => {
    const picker = fakePicker([]);
    const harness = openStream({ modes, picker });
    harness.headers({ headers });
    harness.body(chatBody, true);
    await settle();
    const reply = harness.sent.at(-1);
    const body = reply?.kind === 'immediate' ? JSON.parse(Buffer.from(reply.body).toString()) : undefined;
    expect(body).toEqual({
      type: 'error',
      error: { type: 'overloaded_error', message: 'No endpoint is ready.' },
    });
  });

  it('a fault of the parser is passed on as a note beside the pick', async () => {
    const picker = fakePicker(['10.0.0.1:8000']);
    const parseRequest = (http: HttpRequest) =>
      parseOrReadHeaders(http, {
        blockTokens: 16,
        maxPrefixTokens: 64,
        rewriteModel: () => {
          throw new RangeError('oops');
        },
      });
    const harness = openStream({ modes, picker, collaborators: { parseRequest } });
    harness.headers();
    harness.body(chatBody, true);
    await settle();
    expect(outline(harness.sent)[0]).toBe('headers picked');
    expect(picker.picks[0]?.options.parserFault).toBe('RangeError: oops');
  });

  it('an unknown error is a 500 that tells nothing of itself, and is logged', async () => {
    const picker = fakePicker(['10.0.0.1:8000']);
    picker.failWith(new TypeError('secret detail'));
    const logged: object[] = [];
    const log = { error: (fields: object) => logged.push(fields), warn() {}, info() {}, debug() {} };
    const harness = openStream({ modes, picker, collaborators: { log } });
    harness.headers();
    harness.body(chatBody, true);
    await settle();
    const { status, error } = refusal(harness);
    expect(status).toBe(500);
    expect(JSON.stringify(error)).not.toContain('secret');
    expect(logged).toEqual([expect.objectContaining({ err: expect.any(TypeError), requestId: 'request-1' })]);
  });

  it('a fault while a lost stream is closed is logged, and goes no further', async () => {
    const logged: object[] = [];
    const log = { error: (fields: object) => logged.push(fields), warn() {}, info() {}, debug() {} };
    const picker = fakePicker(['10.0.0.1:8000']);
    const submit: typeof picker.submit = (request, options, listener) =>
      picker.submit(request, options, {
        ...listener,
        placed: (placement) =>
          listener.placed({
            ...placement,
            finish: () => {
              throw new TypeError('cannot finish');
            },
          }),
      });
    const harness = openStream({ modes, collaborators: { log, picker: { submit } } });
    harness.headers();
    harness.body(chatBody, true);
    await settle();
    harness.stream.onCancel();
    expect(logged).toEqual([expect.objectContaining({ err: expect.any(TypeError), requestId: 'request-1' })]);
  });

  it('a body over the cap is refused before it has ended', async () => {
    const harness = openStream({ modes, collaborators: { maxBodyBytes: 100 } });
    harness.headers();
    harness.body('x'.repeat(101));
    expect(refusal(harness).status).toBe(413);
    harness.body('more', true);
    expect(harness.sent).toHaveLength(1);
  });

  it.each([
    ['no JSON', '{"model"', 'invalid_json'],
    ['no model', '{"prompt":"x"}', 'invalid_request'],
    ['more than may be', `{"model":"m","prompt":"${'x'.repeat(200)}"}`, 'request_too_large'],
  ])('%s is told to the observer, as the picker never sees it', (_, body, code) => {
    const refused: string[] = [];
    const observer = {
      opened() {},
      phase() {},
      decided() {},
      responded() {},
      closed() {},
      refused: (each: string) => refused.push(each),
    };
    const phases = { clock: () => 0, observer, timesResponse: () => false };
    const harness = openStream({ modes, collaborators: { phases, maxBodyBytes: 100 } });
    harness.headers();
    harness.body(body, true);
    expect(refusal(harness).error['code']).toBe(code);
    expect(refused).toEqual([code]);
    expect(harness.picker.picks).toEqual([]);
  });

  it('what the picker refuses is told by the picker alone', async () => {
    const refused: string[] = [];
    const observer = {
      opened() {},
      phase() {},
      decided() {},
      responded() {},
      closed() {},
      refused: (each: string) => refused.push(each),
    };
    const harness = openStream({
      modes,
      picker: fakePicker([]),
      collaborators: { phases: { clock: () => 0, observer, timesResponse: () => false } },
    });
    harness.headers();
    harness.body(chatBody, true);
    await settle();
    expect(refusal(harness).status).toBe(503);
    expect(refused).toEqual([]);
  });

  it.each(['BUFFERED', 'STREAMED'] as const)('also in %s', async (request) => {
    const picker = fakePicker([]);
    const harness = openStream({ modes: { request }, picker });
    harness.headers();
    if (request === 'BUFFERED') harness.body(chatBody, true);
    await settle();
    expect(refusal(harness).status).toBe(503);
  });

  it('BUFFERED trailers without a body cannot carry a pick', async () => {
    const harness = openStream({ modes: { request: 'BUFFERED' } });
    harness.headers({ headers: { ':method': 'GET', ':path': '/v1/models' } });
    harness.trailers();
    await settle();
    expect(refusal(harness).status).toBe(400);
    expect(harness.picker.inFlight()).toBe(0);
  });
});
