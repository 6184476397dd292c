import OpenAI, { APIError, APIUserAbortError, BadRequestError, NotFoundError } from 'openai';
import { describe, expect, it } from 'vitest';
import { ServiceError } from '../../src/protocol/errors.ts';
import { answer, stopMidStream } from '../support/fake-engine.ts';
import { startGateway } from '../support/gateway-fixture.ts';
import { until } from '../support/until.ts';

/** The official client, as a user sets it up. */
async function startClient() {
  const fixture = await startGateway();
  const client = new OpenAI({ baseURL: `${fixture.url}/v1`, apiKey: 'any', maxRetries: 0 });
  return { ...fixture, client };
}

const model = 'fake-model';
const messages = [{ role: 'user' as const, content: 'hi' }];

describe('the official openai client', () => {
  it('chats', async () => {
    const { client } = await startClient();
    const completion = await client.chat.completions.create({ model, messages, max_tokens: 2 });
    expect(completion.choices[0]?.message.content).toBe('token-0 token-1 ');
    expect(completion.usage?.completion_tokens).toBe(2);
    expect(completion._request_id).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('chats in a stream, with usage at the end', async () => {
    const { client, picker } = await startClient();
    const stream = await client.chat.completions.create({
      model,
      messages,
      max_tokens: 3,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let tokens: number | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      tokens = chunk.usage?.completion_tokens ?? tokens;
    }
    expect([text, tokens]).toEqual(['token-0 token-1 token-2 ', 3]);
    expect(picker.outcomes).toMatchObject([{ kind: 'completed', usage: { completionTokens: 3 } }]);
  });

  it('completes, whole and in a stream', async () => {
    const { client } = await startClient();
    const whole = await client.completions.create({ model, prompt: 'hi', max_tokens: 2 });
    const stream = await client.completions.create({ model, prompt: 'hi', max_tokens: 2, stream: true });
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.text ?? '';
    expect([whole.choices[0]?.text, text]).toEqual(['token-0 token-1 ', 'token-0 token-1 ']);
  });

  it('aborts in the middle of a stream', async () => {
    const { client, engine, picker } = await startClient();
    engine.behave(answer({ tokens: 10_000, tokenDelayMs: 1 }));
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    let chunks = 0;
    for await (const _ of stream) {
      chunks += 1;
      if (chunks === 3) stream.controller.abort();
    }
    await until(() => engine.abortedResponses === 1, 500);
    expect(picker.outcomes).toEqual([{ kind: 'client_aborted' }]);
  });

  it('aborts before the answer', async () => {
    const { client, engine } = await startClient();
    engine.behave(() => {});
    const abort = new AbortController();
    const answered = client.chat.completions.create({ model, messages }, { signal: abort.signal });
    await until(() => engine.requests.length === 1);
    abort.abort();
    await expect(answered).rejects.toThrow(APIUserAbortError);
    await until(() => engine.openResponses === 0, 500);
  });

  it('lists models and retrieves one with a slash in its name', async () => {
    const fixture = await startGateway({ engines: [{ models: ['base', 'org/adapter'] }] });
    const client = new OpenAI({ baseURL: `${fixture.url}/v1`, apiKey: 'any' });
    const listed: string[] = [];
    for await (const { id } of client.models.list()) listed.push(id);
    expect(listed).toEqual(['base', 'org/adapter']);
    expect((await client.models.retrieve('org/adapter')).id).toBe('org/adapter');
    await expect(client.models.retrieve('none')).rejects.toThrow(NotFoundError);
  });

  it('raises errors as its own types, with param and code', async () => {
    const { client } = await startClient();
    const error = await client.chat.completions
      .create({ model, messages, max_tokens: -1 })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ status: 400, param: 'max_tokens', code: 'invalid_request' });
  });

  it('retries by itself what it is told to retry', async () => {
    const { url, picker, engine } = await startGateway();
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 1 });
    let isFirst = true;
    picker.pickWith(async () => {
      if (!isFirst) return;
      isFirst = false;
      throw new ServiceError('overloaded', 'full', { retryAfterSeconds: 0.001 });
    });
    await client.chat.completions.create({ model, messages });
    expect([picker.requests.length, engine.requests.length]).toEqual([2, 1]);
  });

  it('raises an error when the stream breaks off', async () => {
    const { client, engine } = await startClient();
    engine.behave(stopMidStream(2, 'reset'));
    const read = async () => {
      const stream = await client.chat.completions.create({ model, messages, stream: true });
      for await (const _ of stream);
    };
    const error = await read().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({ code: 'upstream_reset' });
  });
});
