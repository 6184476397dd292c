import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FakeEngine } from '../support/fake-engine.ts';
import { startFakeEngine } from '../support/fake-engine.ts';
import { fakeHiddenSize } from '../support/fake-model.ts';

let engine: FakeEngine;
beforeAll(async () => {
  engine = await startFakeEngine({ maxModelLen: 200 });
});
afterAll(async () => {
  await engine.server.close();
  engine.core.checkIntegrity();
});

interface Embeddings {
  readonly id: string;
  readonly object: string;
  readonly model: string;
  readonly data: readonly { readonly index: number; readonly object: string; readonly embedding: number[] }[];
  readonly usage: object;
}

async function embed(body: object): Promise<Embeddings> {
  const response = await engine.post('/v1/embeddings', body);
  expect(response.status).toBe(200);
  return (await response.json()) as Embeddings;
}

async function refusal(body: object) {
  const response = await engine.post('/v1/embeddings', body);
  return { status: response.status, ...((await response.json()) as { error: object }) };
}

describe('embeddings', () => {
  test('have id, model, usage and one vector of length 1', async () => {
    const answer = await embed({ model: 'alias', input: 'hello' });
    expect(answer).toMatchObject({
      object: 'list',
      model: 'alias',
      data: [{ index: 0, object: 'embedding' }],
      usage: { prompt_tokens: 5, total_tokens: 5, completion_tokens: 0 },
    });
    expect(answer.id).toMatch(/^embd-/);
    const { embedding } = answer.data[0]!;
    expect(embedding).toHaveLength(fakeHiddenSize);
    expect(Math.hypot(...embedding)).toBeCloseTo(1, 6);
  });

  test('of several inputs come in order, the same as alone, however long', async () => {
    const input = ['hello', 'a text that fills more than one block and one step '.repeat(3), 'hello', 'x'];
    const { data, usage } = await embed({ input });
    const alone = await Promise.all(input.map(async (text) => (await embed({ input: text })).data[0]!));
    expect(data.map(({ embedding }) => embedding)).toEqual(alone.map(({ embedding }) => embedding));
    expect(data.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(new Set(data.map(({ embedding }) => embedding.join())).size).toBe(3);
    expect(usage).toMatchObject({ prompt_tokens: input.join('').length });
  });

  test('are the same for token ids, and may fill the whole context', async () => {
    const [asText, asIds] = [await embed({ input: 'hi' }), await embed({ input: [[104, 105], [104]] })];
    expect(asIds.data[0]).toEqual(asText.data[0]);
    expect(await embed({ input: [104, 105] })).toMatchObject({ data: asText.data });
    expect((await embed({ input: 'x'.repeat(200) })).data).toHaveLength(1);
  });

  test('come as base64 of little-endian floats, and unscaled if asked', async () => {
    const [plain, packed, raw] = await Promise.all(
      [{}, { encoding_format: 'base64' }, { normalize: false }].map((more) =>
        embed({ input: 'hi', ...more }),
      ),
    );
    const bytes = Buffer.from(packed!.data[0]!.embedding as unknown as string, 'base64');
    const floats = Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
    expect(floats).toEqual(plain!.data[0]!.embedding);
    const length = Math.hypot(...raw!.data[0]!.embedding);
    expect(length).not.toBeCloseTo(1, 2);
    expect(raw!.data[0]!.embedding.map((value) => Math.fround(value / length))).toEqual(floats);
  });

  test('of a chat are those of its rendered messages', async () => {
    const chat = await embed({ messages: [{ role: 'user', content: 'hi' }] });
    expect(chat.data).toEqual((await embed({ input: 'user: hi\n' })).data);
  });

  test('run beside generation, count in the metrics and leave nothing behind', async () => {
    const generating = engine.post('/v1/completions', { prompt: 'hello', max_tokens: 30, ignore_eos: true });
    await embed({ input: ['a', 'b'] });
    expect((await generating).status).toBe(200);
    const metrics = await (await engine.get('/metrics')).text();
    expect(metrics).toMatch(/request_success_total\{[^}]*finished_reason="stop"\} [1-9]/);
    expect(metrics).toMatch(/num_requests_running\{[^}]*\} 0/);
    expect(engine.server.engine.liveRequests).toBe(0);
  });
});

describe('embeddings are refused, with the field and the reason,', () => {
  test.each([
    [{ input: 'hi', dimensions: 3 }, 'dimensions', /have 4 dimensions .* leave dimensions out/],
    [{ input: 'x'.repeat(201) }, 'input', /maximum context length is 200 tokens/],
    [{ input: '' }, 'input', /no tokens/],
    [{ input: [] }, 'input', /an empty list/],
    [{}, 'input', /input must be a string/],
    [{ input: [[256]] }, 'input', /integers from 0 to 255/],
    [{ input: 'hi', encoding_format: 'int8' }, 'encoding_format', /'float' or 'base64'/],
  ])('%j', async (body, param, message) => {
    expect(await refusal(body)).toMatchObject({
      status: 400,
      error: { type: 'BadRequestError', param, message: expect.stringMatching(message) as string },
    });
  });

  test('an unknown model with 404, as everywhere', async () => {
    expect(await refusal({ model: 'none', input: 'hi' })).toMatchObject({ status: 404 });
  });
});

test('one input that fails ends the request, not the engine', async () => {
  const { status } = await refusal({ input: ['hi', ''] });
  expect(status).toBe(400);
  expect((await embed({ input: 'hi', dimensions: fakeHiddenSize })).data).toHaveLength(1);
});
