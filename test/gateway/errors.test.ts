import { describe, expect, it } from 'vitest';
import { ServiceError } from '../../src/protocol/errors.ts';
import { answerWith, keepSilent } from '../support/fake-engine.ts';
import { chatBody, type FixtureOptions, post, startGateway } from '../support/gateway-fixture.ts';
import { rawExchange } from '../support/raw-http.ts';
import { until } from '../support/until.ts';

interface OpenAiError {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
  };
}

async function errorOf(response: Response) {
  expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
  expect(response.headers.get('x-request-id')).not.toBeNull();
  const { error } = (await response.json()) as OpenAiError;
  return { status: response.status, ...error };
}

/** Name, request, what the client reads. */
const rows: readonly (readonly [
  string,
  {
    path?: string;
    method?: string;
    body?: string;
    headers?: Record<string, string>;
    options?: FixtureOptions;
  },
  { status: number; code: string; param?: string; message: string | RegExp },
])[] = [
  [
    'broken JSON, with its place',
    { body: '{"model":"m",\n "messages":[}' },
    {
      status: 400,
      code: 'invalid_json',
      message: /line 2, column 14 \(byte 27\): expected a JSON value, found "}"/,
    },
  ],
  [
    'an empty body',
    { body: '' },
    { status: 400, code: 'invalid_json', message: /found the end of the body/ },
  ],
  [
    'a body that is no object',
    { body: '[]' },
    { status: 400, code: 'invalid_request', message: /found an array/ },
  ],
  [
    'a missing model',
    { body: '{"messages":[]}' },
    { status: 400, code: 'invalid_request', param: 'model', message: /found nothing/ },
  ],
  [
    'a wrong stream',
    { body: '{"model":"m","stream":"yes"}' },
    { status: 400, code: 'invalid_request', param: 'stream', message: /true or false/ },
  ],
  [
    'an unknown path, listing the known ones',
    { path: '/v1/nothing' },
    {
      status: 404,
      code: 'not_found',
      message: /no POST \/v1\/nothing here. There are: POST \/v1\/chat\/completions, .*GET \/metrics/,
    },
  ],
  [
    'a wrong method',
    { method: 'PUT', path: '/v1/completions' },
    { status: 405, code: 'method_not_allowed', message: 'Expected POST for /v1/completions, found PUT.' },
  ],
  [
    'a wrong method on a path of our own',
    { method: 'DELETE', path: '/v1/models/x' },
    { status: 405, code: 'method_not_allowed', message: /Expected GET, HEAD/ },
  ],
  [
    'a body over the limit, naming the limit and how to raise it',
    {
      body: `{"model":"${'x'.repeat(2000)}"}`,
      options: { limits: { maxBodyBytes: 1000, blockTokens: 16, maxPrefixTokens: 64 } },
    },
    { status: 413, code: 'request_too_large', message: /at most 1000 bytes.*gateway\.maxBodyBytes/ },
  ],
  [
    'a type that is not JSON',
    { headers: { 'content-type': 'application/x-www-form-urlencoded' } },
    { status: 415, code: 'unsupported_media_type', message: /found "application\/x-www-form-urlencoded"/ },
  ],
  [
    'a type that is no type',
    { headers: { 'content-type': 'what' } },
    { status: 415, code: 'unsupported_media_type', message: /application\/json/ },
  ],
  [
    'a compressed body',
    { headers: { 'content-encoding': 'gzip' } },
    {
      status: 415,
      code: 'unsupported_media_type',
      message: /without compression, found "content-encoding: gzip"/,
    },
  ],
  [
    'a missing key',
    { options: { apiKeys: ['right'] } },
    { status: 401, code: 'unauthorized', message: /authorization: Bearer/ },
  ],
  [
    'a wrong key',
    { options: { apiKeys: ['right'] }, headers: { authorization: 'Bearer wrong' } },
    { status: 401, code: 'unauthorized', message: /not one of those/ },
  ],
  [
    'an engine that is not there',
    { options: { engines: [] } },
    { status: 503, code: 'no_endpoints', message: /none/ },
  ],
];

describe('errors of the gateway', () => {
  it.each(rows)(
    'answers %s',
    async (_, {
      path = '/v1/chat/completions',
      method = 'POST',
      body = chatBody,
      headers,
      options,
    }, expected) => {
      const { url, picker } = await startGateway(options);
      if (options?.engines !== undefined) {
        picker.pickWith(() => Promise.reject(new ServiceError('no_endpoints', 'there is none')));
      }
      const response = await fetch(`${url}${path}`, {
        method,
        body,
        headers: { 'content-type': 'application/json', ...headers },
      });
      const error = await errorOf(response);
      expect(error).toMatchObject({
        status: expected.status,
        code: expected.code,
        param: expected.param ?? null,
      });
      expect(error.message).toMatch(expected.message);
      if (expected.status === 405) expect(response.headers.get('allow')).toMatch(/^(POST|GET, HEAD)$/);
      expect(response.headers.get('retry-after')).toBe(expected.status === 503 ? '1' : null);
    },
  );

  it.each([
    ['model_not_found', 404, null],
    ['overloaded', 429, '3'],
    ['shutting_down', 503, '5'],
    ['context_length_exceeded', 400, null],
  ] as const)('passes %s of the picker on', async (code, status, retryAfter) => {
    const { url, picker, engine } = await startGateway();
    const options = code === 'overloaded' ? { retryAfterSeconds: 2.2 } : {};
    picker.pickWith(() => Promise.reject(new ServiceError(code, 'told by the picker', options)));
    const response = await post(`${url}/v1/completions`, chatBody);
    expect(response.headers.get('retry-after')).toBe(retryAfter);
    expect(await errorOf(response)).toMatchObject({ status, code, message: 'told by the picker' });
    expect(engine.requests).toHaveLength(0);
  });

  it('hides what it did not expect, and logs it', async () => {
    const logged: object[] = [];
    const nothing = () => {};
    const log = {
      error: (fields: object) => logged.push(fields),
      warn: nothing,
      info: nothing,
      debug: nothing,
    };
    const { url, picker } = await startGateway({ log });
    picker.pickWith(() => Promise.reject(new TypeError('a secret detail')));
    const error = await errorOf(await post(`${url}/v1/completions`, chatBody));
    expect(error).toMatchObject({ status: 500, code: 'internal' });
    expect(error.message).not.toContain('secret');
    expect(logged).toEqual([{ err: expect.any(TypeError), requestId: expect.any(String) }]);
  });

  it('speaks the dialect of Anthropic on /v1/messages', async () => {
    const { url, picker } = await startGateway();
    picker.pickWith(() => Promise.reject(new ServiceError('no_endpoints', 'there is none')));
    const response = await post(`${url}/v1/messages`, chatBody);
    expect([response.status, await response.json()]).toEqual([
      503,
      { type: 'error', error: { type: 'overloaded_error', message: 'there is none' } },
    ]);
  });

  it.each([
    ['a line that is not HTTP', 'HELLO\r\n\r\n', 400, 'Expected an HTTP/1.1 request'],
    ['a broken header', 'GET / HTTP/1.1\r\nHost : x\r\n\r\n', 400, 'Expected an HTTP/1.1 request'],
    ['headers that are too large', `GET / HTTP/1.1\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`, 431, 'too large'],
    ['two lengths', 'POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400, 'HTTP/1.1'],
    [
      'length and chunks, as smugglers send',
      'POST /v1/completions HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'HTTP/1.1',
    ],
    [
      'a path that is no URL',
      'GET /v1/models/%zz HTTP/1.1\r\nConnection: close\r\n\r\n',
      400,
      'not a valid URL path',
    ],
  ])('answers %s in JSON', async (_, bytes, status, message) => {
    const { gateway } = await startGateway();
    const [head, body] = (await rawExchange(gateway.port, bytes)).split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    const { error } = JSON.parse(body!) as OpenAiError;
    expect(error.type).toBe('invalid_request_error');
    expect(error.message).toContain(message);
  });

  it('tells of each request that the picker never sees', async () => {
    const refused: string[] = [];
    const { url, picker } = await startGateway({
      onRefused: (code) => refused.push(code),
      limits: { blockTokens: 16, maxPrefixTokens: 64, maxBodyBytes: 1000 },
    });
    const path = `${url}/v1/completions`;
    for (const body of ['{"model"', '{"prompt":"x"}', 'x'.repeat(2000)])
      await (await post(path, body)).arrayBuffer();
    await (await post(path, chatBody, { 'content-type': 'text/plain' })).arrayBuffer();
    picker.pickWith(() => Promise.reject(new ServiceError('no_endpoints', 'None is ready.')));
    expect((await post(path, chatBody)).status).toBe(503);
    expect(refused).toEqual([
      'invalid_json',
      'invalid_request',
      'request_too_large',
      'unsupported_media_type',
    ]);
  });

  it('answers 429 above the limit of concurrent requests, and serves again below it', async () => {
    const limits = { blockTokens: 16, maxPrefixTokens: 64, maxConcurrentRequests: 2 };
    const { url, engine } = await startGateway({ limits });
    engine.behave(keepSilent);
    const abort = new AbortController();
    const held = [1, 2].map(() =>
      fetch(`${url}/v1/completions`, {
        method: 'POST',
        body: chatBody,
        headers: { 'content-type': 'application/json' },
        signal: abort.signal,
      }).catch(() => 'aborted'),
    );
    await until(() => engine.requests.length === 2);
    const response = await post(`${url}/v1/completions`, chatBody);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await errorOf(response)).toMatchObject({ status: 429, code: 'overloaded' });
    abort.abort();
    expect(await Promise.all(held)).toEqual(['aborted', 'aborted']);
    engine.behave(answerWith(200, '{}'));
    await until(() => engine.openResponses === 0);
    expect((await post(`${url}/v1/completions`, chatBody)).status).toBe(200);
  });
});
