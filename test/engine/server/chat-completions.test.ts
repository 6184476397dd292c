import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, FakeEngine } from '../support/fake-engine.ts';
import { letters, readAnswer, readEvents, startFakeEngine } from '../support/fake-engine.ts';

let engine: FakeEngine;
beforeAll(async () => {
  engine = await startFakeEngine();
});
afterAll(async () => {
  await engine.server.close();
});

const base = {
  model: 'alias',
  messages: [{ role: 'user', content: 'hi' }],
  temperature: 0,
  max_completion_tokens: 6,
  allowed_token_ids: letters,
};

const chat = async (body: object): Promise<Answer> =>
  readAnswer(engine.post('/v1/chat/completions', { ...base, ...body }));

describe('a chat answer', () => {
  test('has the assistant’s message and the requested model name', async () => {
    const answer = await chat({});
    expect(answer).toMatchObject({
      object: 'chat.completion',
      model: 'alias',
      choices: [{ index: 0, message: { role: 'assistant' }, finish_reason: 'length', logprobs: null }],
      usage: { prompt_tokens: 'user: hi\na:'.length, completion_tokens: 6 },
    });
    expect(answer.id).toMatch(/^chatcmpl-/);
    expect(answer.choices[0]!.message.content).toMatch(/^[a-z]{6}$/);
  });

  test('fills the context when the request does not bound it', async () => {
    const answer = await chat({ max_completion_tokens: null });
    expect(answer.usage.total_tokens).toBe(512);
  });

  test('joins text parts, and takes messages without content', async () => {
    const parts = [
      { type: 'text', text: 'h' },
      { type: 'text', text: 'i' },
    ];
    const answer = await chat({
      messages: [
        { role: 'user', content: parts },
        { role: 'assistant', content: null },
      ],
    });
    expect(answer.usage.prompt_tokens).toBe('user: h\ni\nassistant: \na:'.length);
  });

  test('gives log-probabilities as text and bytes', async () => {
    const { logprobs, message } = (await chat({ logprobs: true, top_logprobs: 2 })).choices[0]!;
    expect(logprobs.content.map((entry) => entry.token).join('')).toBe(message.content);
    expect(logprobs.content[0]!.top_logprobs).toHaveLength(2);
    expect(logprobs.content[0]!.bytes).toEqual([message.content!.charCodeAt(0)]);
    expect((await chat({ logprobs: true })).choices[0]!.logprobs.content[0]!.top_logprobs).toEqual([]);
  });
});

describe('a chat stream', () => {
  const stream = async (body: object = {}) =>
    readEvents(await engine.post('/v1/chat/completions', { ...base, stream: true, ...body }));

  test('opens with the role, brings the text, closes with the reason and [DONE]', async () => {
    const whole = await chat({});
    const events = await stream();
    expect(events[0]!.choices[0]).toMatchObject({
      delta: { role: 'assistant', content: '' },
      finish_reason: null,
    });
    const text = events.slice(1).map((event) => event.choices[0]!.delta.content ?? '');
    expect(text.join('')).toBe(whole.choices[0]!.message.content);
    expect(events.at(-1)!.choices[0]).toMatchObject({ finish_reason: 'length', stop_reason: null });
    expect(new Set(events.map((event) => event.id)).size).toBe(1);
    expect(events[0]!.object).toBe('chat.completion.chunk');
  });

  test('opens every choice with its role', async () => {
    const events = await stream({ n: 3, temperature: 1 });
    const roles = events.filter((event) => event.choices[0]!.delta.role === 'assistant');
    expect(roles.map((event) => event.choices[0]!.index).sort()).toEqual([0, 1, 2]);
  });

  test('carries the usage in a chunk of its own', async () => {
    const events = await stream({ stream_options: { include_usage: true } });
    expect(events.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 6 } });
    expect(events[1]).not.toHaveProperty('usage');
  });

  test('brings log-probabilities with the tokens', async () => {
    const events = await stream({ logprobs: true, top_logprobs: 1 });
    const tokens = events
      .slice(1)
      .flatMap((event) => event.choices[0]!.logprobs.content)
      .map((entry) => entry.token);
    expect(tokens).toHaveLength(6);
  });
});

test('log-probabilities of the prompt stand beside the choices', async () => {
  const body = { messages: [{ role: 'user', content: 'hi' }], max_tokens: 2, prompt_logprobs: 1, n: 2 };
  const response = await engine.post('/v1/chat/completions', body);
  const answer = (await response.json()) as { prompt_logprobs: unknown[]; usage: { prompt_tokens: number } };
  expect(answer.prompt_logprobs).toHaveLength(answer.usage.prompt_tokens);
  expect(answer.prompt_logprobs[0]).toBeNull();
});

test('token ids come with a chat if asked for, whole and in streams', async () => {
  const body = {
    messages: [{ role: 'user', content: 'hi' }],
    max_tokens: 4,
    temperature: 0,
    ignore_eos: true,
    return_token_ids: true,
  };
  interface Ids {
    readonly prompt_token_ids?: readonly number[];
    readonly choices: readonly { readonly token_ids?: readonly number[] }[];
  }
  const whole = (await (await engine.post('/v1/chat/completions', body)).json()) as Ids;
  expect(whole.prompt_token_ids).toEqual(Array.from('user: hi\na:', (letter) => letter.charCodeAt(0)));
  expect(whole.choices[0]!.token_ids).toHaveLength(4);
  const stream = await engine.post('/v1/chat/completions', { ...body, stream: true });
  const events = (await readEvents(stream)) as unknown as readonly Ids[];
  expect(events.flatMap(({ prompt_token_ids }) => prompt_token_ids ?? [])).toEqual(whole.prompt_token_ids);
  expect(events.flatMap(({ choices }) => choices[0]!.token_ids ?? [])).toEqual(whole.choices[0]!.token_ids);
});
