import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  SAMPLING_FLOATS,
  SAMPLING_INTS,
  SamplingFloat,
  SamplingInt,
} from '../../../src/engine/native/native.ts';
import type { Answer, FakeEngine } from '../support/fake-engine.ts';
import { letters, readEvents, startFakeEngine } from '../support/fake-engine.ts';
import { FakeModel } from '../support/fake-model.ts';

let engine: FakeEngine;
beforeAll(async () => {
  engine = await startFakeEngine();
});
afterAll(async () => {
  await engine.server.close();
  engine.core.checkIntegrity();
});

const base = { prompt: 'hello', temperature: 0, max_tokens: 8, allowed_token_ids: letters };

async function complete(body: object): Promise<Answer> {
  const response = await engine.post('/v1/completions', { ...base, ...body });
  return (await response.json()) as Answer;
}

describe('a completion', () => {
  test('has id, model, text, finish reason and usage', async () => {
    const answer = await complete({});
    expect(answer).toMatchObject({
      object: 'text_completion',
      model: 'fake',
      choices: [{ index: 0, finish_reason: 'length', stop_reason: null, logprobs: null }],
      usage: {
        prompt_tokens: 5,
        completion_tokens: 8,
        total_tokens: 13,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    });
    expect(answer.id).toMatch(/^cmpl-/);
    expect(answer.choices[0]!.text).toMatch(/^[a-z]{8}$/);
  });

  test('takes its id from X-Request-Id', async () => {
    const response = await engine.post('/v1/completions', base, { 'x-request-id': 'mine' });
    expect(((await response.json()) as Answer).id).toBe('cmpl-mine');
  });

  test('is the same for a prompt as text and as token ids', async () => {
    const asText = await complete({});
    const asIds = await complete({ prompt: [104, 101, 108, 108, 111] });
    expect(asIds.choices[0]!.text).toBe(asText.choices[0]!.text);
  });

  test('answers several prompts, n choices each, in order', async () => {
    const answer = await complete({ prompt: ['a', [98], 'c'], n: 2, temperature: 1, seed: 3 });
    expect(answer.choices.map((choice) => choice.index)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(answer.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 48 });
    const alone = await complete({ prompt: 'c', n: 2, temperature: 1, seed: 3 });
    expect(answer.choices.slice(4).map((choice) => choice.text)).toEqual(
      alone.choices.map((choice) => choice.text),
    );
  });

  test('reports what the prefix cache held', async () => {
    const prompt = 'a prompt that fills more than one block of tokens';
    await complete({ prompt });
    expect((await complete({ prompt })).usage.prompt_tokens_details.cached_tokens).toBe(48);
    expect((await complete({ prompt, cache_salt: 'x' })).usage.prompt_tokens_details.cached_tokens).toBe(0);
  });

  test('has 16 tokens unless asked otherwise, and fewer where the context ends', async () => {
    expect((await complete({ max_tokens: undefined })).usage.completion_tokens).toBe(16);
    const long = await complete({ prompt: 'x'.repeat(505), max_tokens: null });
    expect(long.usage.completion_tokens).toBe(7);
    expect(long.choices[0]!.finish_reason).toBe('length');
  });

  test('echoes the prompt', async () => {
    expect((await complete({ echo: true })).choices[0]!.text).toMatch(/^hello[a-z]{8}$/);
    expect((await complete({ echo: true, prompt: [104, 105] })).choices[0]!.text).toMatch(/^hi[a-z]{8}$/);
  });

  test('gives log-probabilities with the chosen token among the top ones', async () => {
    const { tokens, token_logprobs, top_logprobs, text_offset } = (await complete({ logprobs: 2 }))
      .choices[0]!.logprobs;
    expect(tokens).toHaveLength(8);
    expect(text_offset).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    tokens.forEach((token: string, i: number) => {
      expect(token_logprobs[i]).toBeLessThan(0);
      expect(top_logprobs[i]![token]).toBe(token_logprobs[i]);
    });
  });
});

describe('a stop string', () => {
  test('ends the text before itself, or after it when included', async () => {
    const { text } = (await complete({ max_tokens: 20 })).choices[0]!;
    const stop = text.slice(5, 8);
    const cut = (await complete({ max_tokens: 20, stop })).choices[0]!;
    expect(cut).toMatchObject({
      text: text.slice(0, text.indexOf(stop)),
      finish_reason: 'stop',
      stop_reason: stop,
    });
    const included = (await complete({ max_tokens: 20, stop: [stop], include_stop_str_in_output: true }))
      .choices[0]!;
    expect(included.text).toBe(text.slice(0, text.indexOf(stop) + 3));
  });

  test('ends one choice while the others go on', async () => {
    const body = { n: 3, temperature: 1, seed: 11, max_tokens: 20 };
    const { choices } = await complete(body);
    const stop = choices[1]!.text.slice(3, 7);
    const stopped = await complete({ ...body, stop });
    expect(stopped.choices[1]).toMatchObject({
      text: choices[1]!.text.slice(0, choices[1]!.text.indexOf(stop)),
      finish_reason: 'stop',
    });
    expect(stopped.choices[0]!.text).toBe(choices[0]!.text);
    expect(stopped.choices[2]!.text).toBe(choices[2]!.text);
  });

  test('does not count before min_tokens', async () => {
    const { text } = (await complete({ max_tokens: 20 })).choices[0]!;
    const stopped = await complete({ max_tokens: 20, stop: text.slice(2, 4), min_tokens: 10 });
    expect(stopped.choices[0]!.text.length).toBeGreaterThan(4);
  });
});

test('a stop token is named and not shown', async () => {
  const { text } = (await complete({})).choices[0]!;
  const token = text.charCodeAt(4);
  const { choices } = await complete({ stop_token_ids: [token] });
  const at = text.indexOf(text[4]!);
  expect(choices[0]).toMatchObject({ text: text.slice(0, at), finish_reason: 'stop', stop_reason: token });
});

test('end of text gives no stop reason', async () => {
  const { choices } = await complete({ logit_bias: { 0: 100 }, allowed_token_ids: [0, 97] });
  expect(choices[0]).toMatchObject({ text: '', finish_reason: 'stop', stop_reason: null });
});

describe('a stream', () => {
  const stream = async (body: object) =>
    readEvents(await engine.post('/v1/completions', { ...base, stream: true, ...body }));

  test('adds up to the whole answer and ends with [DONE]', async () => {
    const whole = await complete({ n: 2, seed: 5, temperature: 1 });
    const events = await stream({ n: 2, seed: 5, temperature: 1 });
    for (const index of [0, 1]) {
      const own = events.map((event) => event.choices[0]!).filter((choice) => choice.index === index);
      expect(own.map((choice) => choice.text).join('')).toBe(whole.choices[index]!.text);
      expect(own.map((choice) => choice.finish_reason).filter((reason) => reason !== null)).toEqual([
        'length',
      ]);
    }
  });

  test('never shows text that a stop string takes back', async () => {
    const { text } = (await complete({ max_tokens: 20 })).choices[0]!;
    const stop = text.slice(6, 10);
    const events = await stream({ max_tokens: 20, stop });
    const shown = events.map((event) => event.choices[0]!.text);
    expect(shown.join('')).toBe(text.slice(0, text.indexOf(stop)));
  });

  test('carries usage at the end, and in every chunk when asked', async () => {
    const last = (await stream({ stream_options: { include_usage: true } })).at(-1);
    expect(last).toMatchObject({ choices: [], usage: { completion_tokens: 8 } });
    const all = await stream({ stream_options: { include_usage: true, continuous_usage_stats: true } });
    expect(all.every((event) => event.usage.prompt_tokens === 5)).toBe(true);
  });

  test('answers several prompts at once', async () => {
    const events = await stream({ prompt: ['a', 'b'], echo: true });
    const texts = [0, 1].map((index) =>
      events
        .map((event) => event.choices[0]!)
        .filter((choice) => choice.index === index)
        .map((choice) => choice.text)
        .join(''),
    );
    expect(texts[0]).toMatch(/^a[a-z]{8}$/);
    expect(texts[1]).toMatch(/^b[a-z]{8}$/);
  });

  test('has event-stream headers', async () => {
    const response = await engine.post('/v1/completions', { ...base, stream: true });
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    await response.text();
  });
});

describe('log-probabilities of the prompt', () => {
  interface PromptEntry {
    readonly logprob: number;
    readonly rank: number;
    readonly decoded_token: string;
  }
  type Scored = Answer['choices'][number] & {
    readonly prompt_logprobs: readonly (Readonly<Record<string, PromptEntry>> | null)[];
  };

  test('have vLLM’s shape: null, then per token the tokens by id', async () => {
    const { prompt_logprobs: scored } = (await complete({ prompt_logprobs: 2 })).choices[0] as Scored;
    expect(scored).toHaveLength(5);
    expect(scored[0]).toBeNull();
    const own = scored[1]![String('e'.charCodeAt(0))]!;
    expect(own).toMatchObject({ decoded_token: 'e', rank: expect.any(Number) });
    expect(own.logprob).toBeLessThan(0);
    const ranks = Object.values(scored[1]!).map(({ rank }) => rank);
    expect(ranks.sort((a, b) => a - b).slice(0, 2)).toEqual([1, 2]);
    expect(Object.keys(scored[1]!).length).toBeLessThanOrEqual(3);
  });

  test('are absent unless asked for, one token’s own when 0 are asked for', async () => {
    expect((await complete({})).choices[0]).not.toHaveProperty('prompt_logprobs');
    const { prompt_logprobs: scored } = (await complete({ prompt_logprobs: 0 })).choices[0] as Scored;
    expect(scored.slice(1).map((entry) => Object.values(entry!)[0]!.decoded_token)).toEqual([...'ello']);
  });

  test('come with an echo, before those of the text', async () => {
    const { text, logprobs } = (await complete({ echo: true, logprobs: 2 })).choices[0]!;
    expect(logprobs.tokens.join('')).toBe(text);
    expect(logprobs.tokens).toHaveLength(13);
    expect([logprobs.token_logprobs[0], logprobs.top_logprobs[0]]).toEqual([null, null]);
    expect(logprobs.token_logprobs.slice(1).every((value) => value < 0)).toBe(true);
    expect(logprobs.text_offset).toEqual(Array.from({ length: 13 }, (_, i) => i));
    const asked = (await complete({ prompt_logprobs: 0 })).choices[0] as Scored;
    const entries = asked.prompt_logprobs.slice(1).map((entry) => Object.values(entry!)[0]!.logprob);
    expect(logprobs.token_logprobs.slice(1, 5)).toEqual(entries);
  });

  test('can be had without any text: max_tokens 0 with echo scores the prompt', async () => {
    const answer = await complete({ echo: true, logprobs: 1, max_tokens: 0 });
    expect(answer.choices[0]).toMatchObject({ text: 'hello', finish_reason: 'length' });
    expect(answer.choices[0]!.logprobs.tokens).toEqual([...'hello']);
    expect(answer.usage).toMatchObject({ prompt_tokens: 5, completion_tokens: 0, total_tokens: 5 });
    const refused = await engine.post('/v1/completions', { ...base, max_tokens: 0 });
    expect(refused.status).toBe(400);
  });

  test('come in the first chunk of a stream with echo', async () => {
    const body = { ...base, echo: true, logprobs: 1, prompt: ['hello', 'hi'] };
    const whole = await complete(body);
    const events = await readEvents(await engine.post('/v1/completions', { ...body, stream: true }));
    for (const index of [0, 1]) {
      const own = events.map((event) => event.choices[0]!).filter((choice) => choice.index === index);
      const joined = <Key extends 'tokens' | 'token_logprobs' | 'text_offset'>(key: Key) =>
        own.flatMap(({ logprobs }) => logprobs[key] as readonly unknown[]);
      for (const key of ['tokens', 'token_logprobs', 'text_offset'] as const)
        expect(joined(key)).toEqual(whole.choices[index]!.logprobs[key]);
    }
  });

  test('have the offsets of their tokens where a stop string could begin and text is held back', async () => {
    const [third] = (await complete({ max_tokens: 3 })).choices[0]!.text.slice(2);
    const body = { ...base, logprobs: 1, stop: [`${third}#`], stream: true };
    const events = await readEvents(await engine.post('/v1/completions', body));
    expect(events.flatMap((event) => event.choices[0]!.logprobs.text_offset)).toEqual([
      0, 1, 2, 3, 4, 5, 6, 7,
    ]);
  });

  test('are refused in a stream, and beyond --max-logprobs', async () => {
    const refusal = async (body: object) =>
      (await (await engine.post('/v1/completions', { ...base, ...body })).json()) as Answer;
    expect((await refusal({ prompt_logprobs: 1, stream: true })).error.message).toMatch(/not available when/);
    expect((await refusal({ prompt_logprobs: 6 })).error.message).toMatch(/greater than max allowed: 5/);
    expect((await refusal({ prompt_logprobs: -1 })).error).toMatchObject({ code: 400 });
  });
});

describe('tokens of an answer', () => {
  interface WithIds {
    readonly prompt_token_ids?: readonly number[];
    readonly token_ids: readonly number[];
  }
  const ids = (text: string) => Array.from(text, (letter) => letter.charCodeAt(0));

  test('come as ids if asked for, the prompt’s too, whole and in streams', async () => {
    const { choices } = await complete({ return_token_ids: true });
    const { text, prompt_token_ids, token_ids } = choices[0] as Answer['choices'][number] & WithIds;
    expect([prompt_token_ids, token_ids]).toEqual([ids('hello'), ids(text)]);
    const body = { ...base, return_token_ids: true, stream: true };
    const events = await readEvents(await engine.post('/v1/completions', body));
    const own = events.map((event) => event.choices[0] as unknown as WithIds);
    expect(own.flatMap((choice) => choice.token_ids)).toEqual(token_ids);
    expect(own.map((choice) => choice.prompt_token_ids).filter(Boolean)).toEqual([ids('hello')]);
  });

  test('are named by id in log-probabilities if asked for', async () => {
    const { logprobs } = (await complete({ logprobs: 1, return_tokens_as_token_ids: true })).choices[0]!;
    const { logprobs: named } = (await complete({ logprobs: 1 })).choices[0]!;
    expect(logprobs.tokens).toEqual(named.tokens.map((token) => `token_id:${token.charCodeAt(0)}`));
  });
});

describe('a bad word', () => {
  test('never appears, though its beginning may', async () => {
    const { text } = (await complete({ max_tokens: 20 })).choices[0]!;
    const word = text.slice(3, 6);
    const without = (await complete({ max_tokens: 20, bad_words: [word] })).choices[0]!.text;
    expect(without.slice(0, 5)).toBe(text.slice(0, 5));
    expect(without[5]).not.toBe(text[5]);
    expect(without).not.toContain(word);
    const letter = (await complete({ max_tokens: 20, bad_words: text[0] })).choices[0]!.text;
    expect(letter).not.toContain(text[0]);
  });

  test('in the prompt does not count', async () => {
    const { text } = (await complete({})).choices[0]!;
    const across = await complete({ bad_words: [`o${text[0]}`] });
    expect(across.choices[0]!.text[0]).toBe(text[0]);
  });
});

describe('truncate_prompt_tokens', () => {
  test('keeps the end of a prompt, or its beginning if asked for', async () => {
    const echo = async (body: object) =>
      (await complete({ echo: true, max_tokens: 1, ...body })).choices[0]!.text;
    expect(await echo({ truncate_prompt_tokens: 3 })).toMatch(/^llo.$/);
    expect(await echo({ truncate_prompt_tokens: 3, truncation_side: 'right' })).toMatch(/^hel.$/);
    expect(await echo({ truncate_prompt_tokens: 9 })).toMatch(/^hello.$/);
    expect((await complete({ prompt: ids('hello'), truncate_prompt_tokens: 3 })).usage.prompt_tokens).toBe(3);
  });

  test('-1 keeps all that leaves room for the answer', async () => {
    const { usage } = await complete({ prompt: 'x'.repeat(600), truncate_prompt_tokens: -1 });
    expect(usage).toMatchObject({ prompt_tokens: 504, completion_tokens: 8 });
  });

  test('is refused when it means nothing', async () => {
    const refusal = async (body: object) =>
      ((await (await engine.post('/v1/completions', { ...base, ...body })).json()) as Answer).error.message;
    expect(await refusal({ truncate_prompt_tokens: 0 })).toMatch(/must be -1 or at least 1, got 0/);
    expect(await refusal({ truncation_side: 'up' })).toMatch(/'left' or 'right', got "up"/);
    expect(await refusal({ bad_words: [''] })).toMatch(/bad_words cannot contain an empty string/);
  });

  const ids = (text: string) => Array.from(text, (letter) => letter.charCodeAt(0));
});

test.each([
  { top_k: 2 ** 31 },
  { top_k: 1e300 },
  { top_p: 1e-300 },
  { repetition_penalty: 1e-300 },
  { repetition_penalty: 1e300 },
  { temperature: 1e300 },
  { temperature: 1e-300 },
])('a number that 32 bits cannot hold is answered, and the engine goes on: %j', async (fields) => {
  const seen: number[] = [];
  const model = new FakeModel({
    blocks: 128,
    blockSize: 16,
    vocabSize: 256,
    onStep: ({ samples, samplingFloats, samplingInts }) => {
      for (let sample = 0; sample < samples; sample++) {
        const floats = samplingFloats.subarray(sample * SAMPLING_FLOATS, (sample + 1) * SAMPLING_FLOATS);
        expect(floats[SamplingFloat.TopP]).toBeGreaterThan(0);
        expect(floats[SamplingFloat.Temperature]).toBeLessThan(Number.POSITIVE_INFINITY);
        expect(floats[SamplingFloat.RepetitionPenalty]).toBeGreaterThan(0);
        expect(floats[SamplingFloat.RepetitionPenalty]).toBeLessThan(Number.POSITIVE_INFINITY);
        seen.push(samplingInts[sample * SAMPLING_INTS + SamplingInt.TopK]!);
      }
    },
  });
  const engine = await startFakeEngine({ model });
  const { status } = await engine.post('/v1/completions', { prompt: 'x', max_tokens: 2, ...fields });
  expect(status).toBe(200);
  expect(engine.crashes).toEqual([]);
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.every((topK) => topK === 0)).toBe(true);
  await engine.server.close();
});
