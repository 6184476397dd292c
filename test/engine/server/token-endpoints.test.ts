import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Answer, FakeEngine } from '../support/fake-engine.ts';
import { startFakeEngine } from '../support/fake-engine.ts';

let engine: FakeEngine;
beforeAll(async () => {
  engine = await startFakeEngine();
});
afterAll(async () => {
  await engine.server.close();
});

async function ask(path: string, body: object): Promise<{ status: number; answer: unknown }> {
  const response = await engine.post(path, body);
  return { status: response.status, answer: await response.json() };
}

const messages = [{ role: 'user', content: 'hi' }];
const bytes = (text: string) => [...Buffer.from(text)];

test('rendering gives the tokens that generation would begin with', async () => {
  const rendered = await ask('/v1/chat/completions/render', { messages });
  expect(rendered.answer).toEqual({ token_ids: bytes('user: hi\na:') });
  const prompts = await ask('/v1/completions/render', { prompt: ['ab', 'c'] });
  expect(prompts.answer).toEqual([{ token_ids: bytes('ab') }, { token_ids: bytes('c') }]);
  expect(await ask('/v1/completions/render', { prompt: 5 })).toMatchObject({ status: 400 });
});

test('tokens in give the tokens out that a completion gives, whole and streamed', async () => {
  const sampling_params = { max_tokens: 6, temperature: 0, ignore_eos: true };
  const { answer } = await ask('/inference/v1/generate', { token_ids: bytes('ab'), sampling_params });
  const completion = await ask('/v1/completions', {
    prompt: 'ab',
    ...sampling_params,
    return_token_ids: true,
  });
  const [choice] = (completion.answer as Answer).choices as unknown as { token_ids: number[] }[];
  expect(answer).toMatchObject({
    choices: [{ index: 0, finish_reason: 'length', token_ids: choice!.token_ids }],
    kv_transfer_params: null,
  });
  const streamed = await engine.post('/inference/v1/generate', {
    token_ids: bytes('ab'),
    sampling_params,
    stream: true,
    request_id: 'mine',
  });
  const events = (await streamed.text()).split('\n\n').filter((event) => event.startsWith('data: {'));
  const parsed = events.map(
    (event) => JSON.parse(event.slice(6)) as { request_id: string; choices: { token_ids: number[] }[] },
  );
  expect(parsed.flatMap(({ choices }) => choices[0]!.token_ids)).toEqual(choice!.token_ids);
  expect(parsed[0]!.request_id).toBe('generate-tokens-mine');
});

test.each([
  [{ sampling_params: {} }, 'token_ids'],
  [{ token_ids: [300] }, 'token_ids'],
  [{ token_ids: [1], sampling_params: { temperature: -1 } }, 'temperature'],
])('generation from tokens refuses %j', async (body, param) => {
  expect(await ask('/inference/v1/generate', body)).toMatchObject({
    status: 400,
    answer: { error: { param } },
  });
});

test('/invocations is the endpoint that the fields mean', async () => {
  const objects = await Promise.all(
    [{ messages, max_tokens: 1 }, { prompt: 'x', max_tokens: 1 }, { input: 'x' }].map(
      async (body) => (await ask('/invocations', body)).answer as Answer,
    ),
  );
  expect(objects.map(({ object }) => object)).toEqual(['chat.completion', 'text_completion', 'list']);
});

test.each(['/classify', '/pause', '/abort_requests', '/v1/audio/transcriptions'])(
  '%s says why it is not served',
  async (path) => {
    expect(await ask(path, {})).toMatchObject({
      status: 501,
      answer: { error: { type: 'NotImplementedError', code: 501 } },
    });
  },
);
