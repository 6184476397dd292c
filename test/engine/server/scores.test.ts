import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaultPooling } from '../../../src/engine/pooling-config.ts';
import type { FakeEngine } from '../support/fake-engine.ts';
import { startFakeEngine } from '../support/fake-engine.ts';

let engine: FakeEngine;
beforeAll(async () => {
  engine = await startFakeEngine({}, { pooling: { ...defaultPooling, type: 'mean', dimensions: [2] } });
});
afterAll(async () => {
  await engine.server.close();
});

interface Scores {
  readonly data: readonly { readonly index: number; readonly object: string; readonly score: number }[];
  readonly results: readonly {
    readonly index: number;
    readonly document: { readonly text: string };
    readonly relevance_score: number;
  }[];
  readonly error: { readonly message: string; readonly param: string };
}

async function ask(path: string, body: object): Promise<Scores & { readonly status: number }> {
  const response = await engine.post(path, body);
  return { status: response.status, ...((await response.json()) as Scores) };
}

async function embedding(input: string, more: object = {}): Promise<number[]> {
  const response = await engine.post('/v1/embeddings', { input, ...more });
  return ((await response.json()) as { data: { embedding: number[] }[] }).data[0]!.embedding;
}

const dot = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, value, i) => sum + value * b[i]!, 0);

describe('scores', () => {
  test('are cosines of embeddings: one text against several, or in pairs', async () => {
    const [one, two, three] = [await embedding('one'), await embedding('two'), await embedding('three')];
    const several = await ask('/score', { text_1: 'one', text_2: ['two', 'one', 'three'] });
    expect(several.data.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(several.data[0]!.score).toBeCloseTo(dot(one, two), 6);
    expect(several.data[1]!.score).toBeCloseTo(1, 6);
    const pairs = await ask('/v1/score', {
      queries: ['one', 'two'],
      documents: ['three', { text: 'three' }],
    });
    expect(pairs.data[0]!.score).toBeCloseTo(dot(one, three), 6);
    expect(pairs.data[1]!.score).toBeCloseTo(dot(two, three), 6);
  });

  test('order documents, best first, as many as are wanted', async () => {
    const documents = ['two', 'one', 'three'];
    const whole = await ask('/v1/rerank', { query: 'one', documents });
    expect(whole.results[0]).toMatchObject({ index: 1, document: { text: 'one' } });
    const scores = whole.results.map(({ relevance_score }) => relevance_score);
    expect(scores).toEqual(scores.toSorted((a, b) => b - a));
    expect((await ask('/rerank', { query: 'one', documents, top_n: 2 })).results).toEqual(
      whole.results.slice(0, 2),
    );
    expect((await ask('/v2/rerank', { query: 'one', documents })).status).toBe(200);
  });

  test.each([
    ['/score', { text_1: ['a', 'b'], text_2: ['a'] }, 'text_1'],
    ['/score', { text_1: 'a' }, 'text_2'],
    ['/rerank', { query: ['a', 'b'], documents: ['c'] }, 'query'],
    ['/rerank', { query: 'a', documents: [] }, 'documents'],
    ['/rerank', { query: 'a', documents: [5] }, 'documents'],
    ['/pooling', { input: 'a', task: 'classify' }, 'task'],
  ])('%s refuses %j', async (path, body, param) => {
    expect(await ask(path, body)).toMatchObject({ status: 400, error: { param } });
  });
});

test('/pooling gives the vectors of /v1/embeddings in its own shape', async () => {
  const response = await engine.post('/pooling', { input: 'one' });
  const { data } = (await response.json()) as { data: { object: string; data: number[] }[] };
  expect(data).toEqual([{ index: 0, object: 'pooling', data: await embedding('one') }]);
});

test('embeddings are cut to dimensions that the model was trained for, and scaled again', async () => {
  const [whole, cut] = [await embedding('one'), await embedding('one', { dimensions: 2 })];
  const length = Math.hypot(whole[0]!, whole[1]!);
  expect(cut.map((value) => value.toFixed(5))).toEqual(
    whole.slice(0, 2).map((value) => (value / length).toFixed(5)),
  );
  expect((await engine.post('/v1/embeddings', { input: 'one', dimensions: 3 })).status).toBe(400);
});
