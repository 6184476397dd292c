import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, FakeEngine } from '../support/fake-engine.ts';
import { startFakeEngine } from '../support/fake-engine.ts';

let engine: FakeEngine;
beforeAll(async () => {
  engine = await startFakeEngine();
});
afterAll(async () => {
  await engine.server.close();
});

async function refusal(path: string, body: unknown) {
  const response = await engine.post(path, body);
  const { error } = (await response.json()) as Answer;
  return { status: response.status, ...error };
}

const completion = (body: object) => refusal('/v1/completions', { prompt: 'x', max_tokens: 1, ...body });
const chat = (body: object) =>
  refusal('/v1/chat/completions', { messages: [{ role: 'user', content: 'x' }], max_tokens: 1, ...body });

describe('a wrong field is a 400 that names it and says what was expected', () => {
  const cases: readonly [field: string, value: unknown, message: RegExp][] = [
    ['max_tokens', -1, /max_tokens must be at least 1, got -1/],
    ['max_tokens', 0, /at least 1/],
    ['max_tokens', 1.5, /must be an integer/],
    ['max_tokens', '5', /must be an integer, got "5"/],
    ['temperature', -0.1, /temperature must be non-negative, got -0.1/],
    ['temperature', 'hot', /must be a number/],
    ['top_p', 0, /top_p must be greater than 0/],
    ['top_p', 1.1, /top_p must be at most 1, got 1.1/],
    ['top_k', -2, /top_k must be at least -1/],
    ['min_p', 2, /min_p must be in \[0, 1\]/],
    ['repetition_penalty', 0, /greater than 0/],
    ['presence_penalty', 2.5, /\[-2, 2\]/],
    ['frequency_penalty', -3, /\[-2, 2\]/],
    ['n', 0, /n must be in \[1, 128\], got 0/],
    ['n', 1000, /n must be in \[1, 128\]/],
    ['seed', 'x', /seed must be an integer/],
    ['stop', [1], /stop must be a string or a list of strings/],
    ['stop', '', /empty string/],
    ['stop_token_ids', [1000], /0 to 255/],
    ['logit_bias', { 999: 1 }, /0 to 255/],
    ['logit_bias', { 9: 'x' }, /must be a number/],
    ['allowed_token_ids', [], /must not be empty/],
    ['min_tokens', 5, /less than or equal to max_tokens=1, got 5/],
    ['priority', 1, /priority scheduling is not enabled/],
    ['cache_salt', '', /1 to 1024/],
    ['stream', 'yes', /must be true or false/],
    ['stream_options', { include_usage: true }, /when `stream=True`/],
    ['response_format', { type: 'yaml' }, /must be "text", "json_object" or "json_schema"/],
    ['use_beam_search', true, /not supported/],
    ['prompt_logprobs', -1, /prompt_logprobs must be at least 0, got -1/],
    ['ignore_eos', 1, /must be true or false/],
  ];
  test.each(cases)('%s: %j', async (field, value, message) => {
    for (const ask of [completion, chat]) {
      const error = await ask({ [field]: value });
      expect(error).toMatchObject({ status: 400, type: 'BadRequestError', code: 400, param: field });
      expect(error.message).toMatch(message);
    }
  });

  test.each([
    ['logprobs', -1, /at least 0/],
    ['logprobs', 6, /greater than max allowed: 5/],
    ['prompt', 5, /prompt must be a string/],
    ['prompt', [], /an empty list/],
    ['prompt', '', /no tokens/],
    ['prompt', [300], /0 to 255/],
    ['prompt', ['a', 1], /strings or token id lists only/],
    ['suffix', 'x', /not supported/],
  ])('completions, %s: %j', async (field, value, message) => {
    const error = await completion({ [field as string]: value });
    expect(error).toMatchObject({ status: 400, param: field });
    expect(error.message).toMatch(message as RegExp);
  });

  test.each([
    [{ messages: undefined }, 'messages', /required/],
    [{ messages: [] }, 'messages', /not be empty/],
    [{ messages: 'hi' }, 'messages', /must be a list/],
    [{ messages: ['hi'] }, 'messages', /messages\[0\] must be an object/],
    [{ messages: [{ content: 'hi' }] }, 'messages', /role must be a string, got nothing/],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 'messages', /reads text only/],
    [{ top_logprobs: 2 }, 'top_logprobs', /`logprobs` must be set to true/],
    [{ logprobs: true, top_logprobs: 9 }, 'top_logprobs', /greater than max allowed: 5/],
    [{ tool_choice: 'maybe' }, 'tool_choice', /"none", "auto", "required"/],
    [{ add_special_tokens: true }, 'add_special_tokens', /not supported/],
  ])('chat, %j', async (fields, param, message) => {
    const error = await chat(fields as object);
    expect(error).toMatchObject({ status: 400, param });
    expect(error.message).toMatch(message as RegExp);
  });
});

describe('the context length', () => {
  test('is named with what was asked for when prompt and max_tokens exceed it together', async () => {
    const error = await completion({ prompt: 'x'.repeat(500), max_tokens: 100 });
    expect(error).toMatchObject({ status: 400, param: 'max_tokens' });
    expect(error.message).toMatch(/maximum context length is 512 tokens.*requested 600 tokens \(500 in the/);
  });

  test('refuses a text too long for any tokenizer by its characters', async () => {
    const text = 'x'.repeat(70_000);
    const messages = [
      { role: 'user', content: text },
      { role: 'user', content: [{ type: 'text', text }] },
    ];
    for (const [error, count] of [
      [await completion({ prompt: text }), /your prompt has 70000/],
      [await chat({ messages }), /your messages have 1400\d\d/],
    ] as const) {
      expect(error).toMatchObject({ status: 400 });
      expect(error.message).toMatch(/maximum context length is 512 tokens, which is at most 512 characters/);
      expect(error.message).toMatch(count);
    }
  });

  test('refuses a prompt that leaves no room for one token', async () => {
    const error = await chat({ messages: [{ role: 'user', content: 'x'.repeat(600) }], max_tokens: null });
    expect(error.message).toMatch(/maximum context length is 512 tokens.*your messages have 609 tokens/);
  });
});

describe('requests that never reach a field', () => {
  test('broken JSON, a body that is no object, a wrong content type', async () => {
    expect(await refusal('/v1/completions', '{"prompt": ')).toMatchObject({
      status: 400,
      type: 'BadRequestError',
    });
    expect(await refusal('/v1/completions', '[1]')).toMatchObject({ status: 400 });
    const form = await engine.post('/v1/completions', 'prompt=x', {
      'content-type': 'application/x-www-form-urlencoded',
    });
    expect(form.status).toBe(415);
    const text = await engine.post('/v1/completions', '{"prompt":"x"}', { 'content-type': 'text/plain' });
    expect(text.status).toBe(415);
  });

  test('a compressed body', async () => {
    const response = await fetch(`${engine.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      body: gzipSync('{"prompt":"x"}'),
    });
    expect(response.status).toBe(415);
    expect(await response.text()).toMatch(/without compression; it has \\"content-encoding: gzip\\"/);
  });

  test.each([
    ['GET', '/v1/chat/completions', 'POST'],
    ['DELETE', '/v1/completions', 'POST'],
    ['PUT', '/v1/models', 'GET, HEAD'],
  ])('%s %s is answered with the methods that are there', async (method, path, allowed) => {
    const response = await fetch(engine.url + path, { method });
    expect([response.status, response.headers.get('allow')]).toEqual([405, allowed]);
    expect(await response.json()).toMatchObject({ error: { type: 'MethodNotAllowedError', code: 405 } });
  });

  test('a path that is no URL', async () => {
    const response = await fetch(`${engine.url}/v1/models/%zz`);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { type: 'BadRequestError', code: 400 } });
  });

  test('values nested deeper than 128 levels, in the body or in JSON texts inside it', async () => {
    const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
    const body = (depth: number) => `{"prompt": "x", "max_tokens": 1, "unread": ${nested(depth)}}`;
    expect((await engine.post('/v1/completions', body(127))).status).toBe(200);
    for (const depth of [128, 200_000])
      expect(await refusal('/v1/completions', body(depth))).toMatchObject({
        status: 400,
        message: 'The request body may nest objects and lists up to 128 levels deep; this one nests deeper.',
      });
    const call = { type: 'function', function: { name: 'f', arguments: nested(5000) } };
    const called = await chat({ messages: [{ role: 'assistant', content: null, tool_calls: [call] }] });
    expect(called).toMatchObject({ status: 400 });
    expect(called.message).toMatch(/arguments of a call may nest/);
    const structured = await completion({ structured_outputs: { json: nested(5000) } });
    expect(structured.message).toMatch(/structured_outputs\.json may nest/);
  });

  test('a long name is not said back whole', async () => {
    const { message } = await completion({ model: 'm'.repeat(100_000) });
    expect(message).toBe(`The model \`${'m'.repeat(100)}…\` does not exist.`);
  });

  test('an unknown model and an unknown path are 404', async () => {
    expect(await completion({ model: 'gpt-9' })).toMatchObject({
      status: 404,
      type: 'NotFoundError',
      param: 'model',
      message: 'The model `gpt-9` does not exist.',
    });
    expect(await refusal('/v1/unknown', {})).toMatchObject({ status: 404, code: 404 });
  });
});

test('unknown fields and nulls are ignored', async () => {
  const response = await engine.post('/v1/completions', {
    prompt: 'x',
    max_tokens: 1,
    nobody_knows_this: { deep: true },
    stop: null,
    temperature: null,
    logit_bias: null,
    user: 'me',
  });
  expect(response.status).toBe(200);
});
