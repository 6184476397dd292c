import { describe, expect, it } from 'vitest';
import { controlHeaders } from '../../src/protocol/headers.ts';
import { answerWith } from '../support/fake-engine.ts';
import { chatBody, post, startGateway } from '../support/gateway-fixture.ts';
import { rawExchange } from '../support/raw-http.ts';

describe('what reaches the engine', () => {
  it.each(['/v1/chat/completions', '/v1/completions', '/v1/embeddings', '/v1/responses', '/v1/messages'])(
    'is the very bytes that the client sent to %s',
    async (path) => {
      const { url, engine } = await startGateway();
      const body = `{ "model" :"fake-model","seed":12345678901234567890,\n"messages": [],"x_unknown":{"é":1.0e+2}, "seed":1 }`;
      const response = await post(`${url}${path}?trace=1`, body, {
        'content-type': 'application/json; charset=utf-8',
      });
      expect(response.status).toBe(200);
      const [request] = engine.requests;
      expect(request?.body.toString()).toBe(body);
      expect(request?.path).toBe(`${path}?trace=1`);
      expect(request?.headers['content-type']).toBe('application/json; charset=utf-8');
      expect(request?.headers['content-length']).toBe(String(Buffer.byteLength(body)));
    },
  );

  it.each([
    ...['/v1/chat/completions/render', '/v1/completions/render', '/pooling', '/classify'],
    ...['/score', '/v1/score', '/rerank', '/v1/rerank', '/v2/rerank'],
  ])('goes by its model on %s, which vLLM has, too', async (path) => {
    const { url, engine, picker } = await startGateway();
    engine.behave(answerWith(200, '{}'));
    expect((await post(`${url}${path}`, '{"model":"fake-model"}')).status).toBe(200);
    expect(engine.requests[0]?.path).toBe(path);
    expect(picker.requests[0]?.model).toBe('fake-model');
  });

  it.each(['/tokenize', '/detokenize'])('is anything JSON-like on %s', async (path) => {
    const { url, engine, picker } = await startGateway();
    engine.behave(answerWith(200, '{"count":1}'));
    expect((await post(`${url}${path}`, '[1, 2')).status).toBe(200);
    expect(engine.requests[0]?.body.toString()).toBe('[1, 2');
    expect(picker.requests[0]?.model).toBeUndefined();
  });

  it('holds no control header of the client, nor headers of its connection', async () => {
    const { url, engine, picker } = await startGateway();
    const spoofed = Object.fromEntries(controlHeaders.map((name) => [name, '10.0.0.1:80']));
    await post(`${url}/v1/chat/completions`, chatBody, {
      ...spoofed,
      'x-pointsman-explain': 'true',
      'proxy-authorization': 'Basic x',
      'accept-encoding': 'gzip, br',
      'x-kept': 'yes',
    });
    const { headers } = engine.requests[0]!;
    for (const name of [...controlHeaders, 'x-pointsman-explain', 'proxy-authorization', 'te', 'expect']) {
      expect(headers[name], name).toBeUndefined();
    }
    expect(headers).toMatchObject({ 'accept-encoding': 'identity', 'x-kept': 'yes', host: engine.address });
    expect(picker.requests[0]?.headers.get('x-kept')).toBe('yes');
  });

  it('keeps repeated headers, and drops those that the connection header names', async () => {
    const { gateway, engine } = await startGateway();
    await rawExchange(
      gateway.port,
      `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-Twice: a\r\nX-Twice: b\r\nContent-Type: application/json\r\nContent-Length: ${chatBody.length}\r\n\r\n${chatBody}`,
    );
    const { rawHeaders, headers } = engine.requests[0]!;
    expect(headers['x-hop']).toBeUndefined();
    expect(rawHeaders.filter((value) => value.toLowerCase() === 'x-twice')).toHaveLength(2);
  });

  it('is sent as JSON when the client names no type', async () => {
    const { gateway, engine } = await startGateway();
    const answer = await rawExchange(
      gateway.port,
      `POST /v1/chat/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: ${chatBody.length}\r\n\r\n${chatBody}`,
    );
    expect(answer).toContain('200 OK');
    expect(engine.requests[0]?.headers['content-type']).toBe('application/json');
  });

  it.each([
    ['with its keys', {}, 'Bearer engine-key'],
    ['without the keys of the gateway', { apiKeys: ['engine-key'] }, undefined],
  ])('comes %s', async (_, options, expected) => {
    const { url, engine } = await startGateway(options);
    await post(`${url}/v1/chat/completions`, chatBody, {
      authorization: 'Bearer engine-key',
      'x-api-key': 'other',
    });
    expect(engine.requests[0]?.headers.authorization).toBe(expected);
    expect(engine.requests[0]?.headers['x-api-key']).toBe(expected === undefined ? undefined : 'other');
  });
});

describe('the request id', () => {
  it('of the client is kept on both sides, while ours names the request inside', async () => {
    const { url, engine, picker } = await startGateway();
    const response = await post(`${url}/v1/chat/completions`, chatBody, { 'x-request-id': 'abc/1' });
    expect(response.headers.get('x-request-id')).toBe('abc/1');
    expect(engine.requests[0]?.headers['x-request-id']).toBe('abc/1');
    expect(picker.requests[0]?.id).toMatch(/^[0-9a-f-]{36}$/);
  });

  it.each([undefined, 'has space', 'x'.repeat(129), 'caf\u00e9'])(
    'is made when the client sends %j',
    async (sent) => {
      const { url, engine } = await startGateway();
      const headers: Record<string, string> = sent === undefined ? {} : { 'x-request-id': sent };
      const response = await post(`${url}/v1/chat/completions`, chatBody, headers);
      const id = response.headers.get('x-request-id');
      expect(id).toMatch(/^[0-9a-f-]{36}$/);
      expect(engine.requests[0]?.headers['x-request-id']).toBe(id);
    },
  );
});

describe('what reaches the client', () => {
  it('is the status, headers and bytes of the engine, without those of its connection', async () => {
    const { url, engine, picker } = await startGateway();
    engine.behave(
      answerWith(418, '{"a" : 1.0}', {
        'content-type': 'application/json; charset=latin1',
        'x-served': 'yes',
        'keep-alive': 'timeout=9',
        'x-request-id': 'engine',
        'x-gateway-destination-endpoint': '10.0.0.1:80',
      }),
    );
    const response = await post(`${url}/v1/completions`, chatBody, { 'x-request-id': 'mine' });
    expect(response.status).toBe(418);
    expect(await response.text()).toBe('{"a" : 1.0}');
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'application/json; charset=latin1',
      'content-length': '11',
      'x-served': 'yes',
      'x-request-id': 'mine',
    });
    expect(response.headers.get('x-gateway-destination-endpoint')).toBeNull();
    expect(response.headers.get('keep-alive')).not.toBe('timeout=9');
    expect(picker.outcomes).toEqual([{ kind: 'rejected_by_engine', status: 418 }]);
  });

  it.each([429, 500, 503])('is %i of the engine as it is, with Retry-After', async (status) => {
    const { url, engine, picker } = await startGateway();
    engine.behave(
      answerWith(status, '{"error":{"code":1}}', { 'retry-after': '7', 'content-type': 'application/json' }),
    );
    const response = await post(`${url}/v1/completions`, chatBody);
    expect([response.status, response.headers.get('retry-after'), await response.text()]).toEqual([
      status,
      '7',
      '{"error":{"code":1}}',
    ]);
    expect(picker.outcomes).toEqual([{ kind: 'rejected_by_engine', status }]);
    expect(engine.requests).toHaveLength(1);
  });

  it('tells usage to the picker', async () => {
    const { url, picker } = await startGateway();
    await (await post(`${url}/v1/chat/completions`, chatBody)).text();
    expect(picker.outcomes).toEqual([
      {
        kind: 'completed',
        status: 200,
        usage: { promptTokens: expect.any(Number), completionTokens: 4, cachedTokens: 0 },
      },
    ]);
  });

  it('is the decision in short when asked for, and no name of a pod otherwise', async () => {
    const { url } = await startGateway();
    const plain = await post(`${url}/v1/chat/completions`, chatBody);
    expect([...plain.headers.keys()].filter((name) => name.startsWith('x-pointsman'))).toEqual([]);
    const explained = await post(`${url}/v1/chat/completions`, chatBody, { 'x-pointsman-explain': 'true' });
    expect(explained.headers.get('x-pointsman-endpoint')).toBe('pod-0');
    expect(JSON.parse(explained.headers.get('x-pointsman-decision')!)).toMatchObject({
      endpoint: 'pod-0',
      total: 2,
      scores: { queue: 2 },
      removed: [{ filter: 'healthy', endpoints: ['pod-\u00e9'] }],
    });
  });
});
