import { describe, expect, it } from 'vitest';
import { startGateway } from '../support/gateway-fixture.ts';

const get = async (url: string, headers: Record<string, string> = {}) => {
  const response = await fetch(url, { headers });
  return { status: response.status, type: response.headers.get('content-type'), body: await response.text() };
};

describe('models', () => {
  const engines = [{ models: ['base', 'org/adapter'] }];

  it.each(['/v1/models', '/v1/models/'])('are listed in the shape of OpenAI at %s', async (path) => {
    const { url } = await startGateway({ engines });
    const { status, body } = await get(`${url}${path}`);
    expect(status).toBe(200);
    const model = { object: 'model', created: expect.any(Number), owned_by: 'pointsman' };
    expect(JSON.parse(body)).toEqual({
      object: 'list',
      data: [
        { id: 'base', ...model },
        { id: 'org/adapter', ...model },
      ],
    });
  });

  it.each(['base', 'org/adapter', 'org%2Fadapter'])('are found by name: %s', async (name) => {
    const { url } = await startGateway({ engines });
    const { status, body } = await get(`${url}/v1/models/${name}`);
    expect([status, JSON.parse(body).id]).toEqual([200, decodeURIComponent(name)]);
  });

  it('that nobody serves are answered with those that are', async () => {
    const { url } = await startGateway({ engines });
    const { status, body } = await get(`${url}/v1/models/none`);
    expect(status).toBe(404);
    expect(JSON.parse(body).error).toMatchObject({
      code: 'model_not_found',
      message: 'No engine serves the model "none". Served are: base, org/adapter.',
    });
  });
});

describe('probes', () => {
  it('tell that the process lives, and whether it can serve', async () => {
    const { url } = await startGateway();
    expect(await get(`${url}/health`)).toMatchObject({ status: 200, body: '{"status":"ok"}' });
    expect(await get(`${url}/ready`)).toMatchObject({ status: 200, body: '{"status":"ready"}' });
  });

  it('say why the gateway is not ready', async () => {
    const { url } = await startGateway({ engines: [] });
    expect(await get(`${url}/ready`)).toMatchObject({
      status: 503,
      body: '{"status":"not_ready","reason":"no endpoint is ready"}',
    });
    expect((await get(`${url}/health`)).status).toBe(200);
  });

  it('turn unready while draining, and connections are not kept', async () => {
    let isDraining = false;
    const { url } = await startGateway({ isDraining: () => isDraining });
    expect((await get(`${url}/ready`)).status).toBe(200);
    isDraining = true;
    expect(await get(`${url}/ready`)).toMatchObject({ status: 503 });
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      body: '{"model":"m"}',
      headers: { 'content-type': 'application/json' },
    });
    expect([response.status, response.headers.get('connection')]).toEqual([200, 'close']);
  });
});

describe('metrics', () => {
  it('are those of the process', async () => {
    const metricsText = async () => ({ contentType: 'text/plain; version=0.0.4', body: 'up 1\n' });
    const { url } = await startGateway({ metricsText });
    expect(await get(`${url}/metrics`)).toEqual({
      status: 200,
      type: 'text/plain; version=0.0.4',
      body: 'up 1\n',
    });
  });

  it('are not there when the gateway is given none', async () => {
    const { url } = await startGateway();
    expect((await get(`${url}/metrics`)).status).toBe(404);
  });
});

describe('keys', () => {
  const apiKeys = ['one', 'two'];

  it.each(['/health', '/ready'])('are not asked for on %s', async (path) => {
    const { url } = await startGateway({ apiKeys });
    expect((await get(`${url}${path}`)).status).toBe(200);
  });

  it.each(['/v1/models', '/metrics', '/nothing'])('are asked for on %s', async (path) => {
    const { url } = await startGateway({ apiKeys });
    expect((await get(`${url}${path}`)).status).toBe(401);
  });

  it.each([{ authorization: 'Bearer two' }, { authorization: 'bearer  one' }, { 'x-api-key': 'one' }])(
    'let in with %j',
    async (headers) => {
      const { url } = await startGateway({ apiKeys });
      expect((await get(`${url}/v1/models`, headers as Record<string, string>)).status).toBe(200);
    },
  );
});
