import OpenAI from 'openai';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { FakeEngine } from '../support/fake-engine.ts';
import { startFakeEngine } from '../support/fake-engine.ts';

let engine: FakeEngine;
let client: OpenAI;
beforeAll(async () => {
  engine = await startFakeEngine({}, { apiKey: 'key' });
  client = new OpenAI({ baseURL: `${engine.url}/v1`, apiKey: 'key', maxRetries: 0 });
});
afterAll(async () => {
  await engine.server.close();
});

const request = {
  model: 'fake',
  messages: [{ role: 'user' as const, content: 'hello' }],
  max_completion_tokens: 10,
  logit_bias: { 0: -100 },
  seed: 4,
};

test('the OpenAI client gets the same text whole and streamed', async () => {
  const whole = await client.chat.completions.create(request);
  let text = '';
  let usage: OpenAI.CompletionUsage | null | undefined;
  const stream = await client.chat.completions.create({
    ...request,
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    usage = chunk.usage ?? usage;
  }
  expect(text).toBe(whole.choices[0]?.message.content);
  expect(usage?.completion_tokens).toBe(whole.usage?.completion_tokens);
});

test('the OpenAI client lists models and understands errors', async () => {
  const { data } = await client.models.list();
  expect(data.map(({ id }) => id)).toEqual(['fake', 'alias']);
  const wrong = client.chat.completions.create({ ...request, temperature: -1 });
  await expect(wrong).rejects.toMatchObject({ status: 400, param: 'temperature', type: 'BadRequestError' });
  const unknown = client.chat.completions.create({ ...request, model: 'x' });
  await expect(unknown).rejects.toBeInstanceOf(OpenAI.NotFoundError);
});

test('the OpenAI client can stop a stream half way', async () => {
  const stream = await client.chat.completions.create({
    ...request,
    max_completion_tokens: 300,
    stream: true,
  });
  for await (const _ of stream) break;
  await expect.poll(() => engine.core.hasWork, { interval: 1 }).toBe(false);
});
