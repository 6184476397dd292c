import { expect, test } from 'vitest';
import type { FakeEngine } from '../support/fake-engine.ts';
import { startedEngines } from '../support/started-engines.ts';

const start = startedEngines();

const preflight = (engine: FakeEngine, origin: string) =>
  fetch(`${engine.url}/v1/chat/completions`, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization, content-type',
    },
  });

test('pages of any origin may call, streams too, and are asked for no key before', async () => {
  const engine = await start({}, { apiKey: 'key' });
  const asked = await preflight(engine, 'http://page');
  expect(asked.status).toBe(204);
  expect(asked.headers.get('access-control-allow-origin')).toBe('*');
  expect(asked.headers.get('access-control-allow-headers')).toBe('authorization, content-type');
  const body = { prompt: 'x', max_tokens: 1, stream: true };
  const headers = { origin: 'http://page', authorization: 'Bearer key' };
  const answer = await engine.post('/v1/completions', body, headers);
  expect(answer.headers.get('access-control-allow-origin')).toBe('*');
  expect(await answer.text()).toContain('[DONE]');
  const refused = await engine.post('/v1/completions', body, { origin: 'http://page' });
  expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([401, '*']);
});

test('only pages of the origins that are named, where they are', async () => {
  const engine = await start({}, { allowedOrigins: ['http://one', 'http://two'] });
  expect((await preflight(engine, 'http://two')).headers.get('access-control-allow-origin')).toBe(
    'http://two',
  );
  const other = await preflight(engine, 'http://three');
  expect([other.status, other.headers.get('access-control-allow-origin')]).toEqual([404, null]);
});

test('any of several keys opens', async () => {
  const engine = await start({}, { apiKey: ['one', 'two'] });
  const statuses = await Promise.all(
    ['one', 'two', 'onetwo', ''].map(async (key) => {
      const response = await engine.get('/v1/models', { authorization: `Bearer ${key}` });
      return response.status;
    }),
  );
  expect(statuses).toEqual([200, 200, 401, 401]);
});

test('a key may come in either header, its scheme in any case, and must be there', async () => {
  const engine = await start({}, { apiKey: 'key' });
  const statuses = await Promise.all(
    [
      { authorization: 'bearer key' },
      { 'x-api-key': 'key' },
      { authorization: 'Basic other', 'x-api-key': 'key' },
      { authorization: 'key' },
      { authorization: 'Basic key' },
      { 'x-api-key': '' },
      {},
    ].map(async (headers) => (await engine.get('/v1/models', headers as Record<string, string>)).status),
  );
  expect(statuses).toEqual([200, 200, 200, 401, 401, 401, 401]);
});
