import { describe, expect, it } from 'vitest';
import { parseInferenceRequest, parseOrReadHeaders } from '../../src/endpoint-picker/inference-request.ts';
import { modelRewrites } from '../../src/endpoint-picker/model-rewrites.ts';
import { seededRandom } from '../scheduling/support.ts';

const rules = [
  { match: 'alias', targets: [{ model: 'real' }] },
  { match: 'alias', targets: [{ model: 'never' }] },
  {
    match: 'canary',
    targets: [
      { model: 'a', weight: 3 },
      { model: 'b', weight: 1 },
      { model: 'c' },
      { model: 'd', weight: 0 },
    ],
  },
  { match: 'even', targets: [{ model: 'a' }, { model: 'b', weight: 0 }] },
];
const generic = { targets: [{ model: 'default' }] };

function shares(model: string): Record<string, number> {
  const rewrite = modelRewrites(rules, seededRandom(5));
  const counts: Record<string, number> = {};
  for (let i = 0; i < 4000; i++) {
    const target = rewrite(model) ?? 'none';
    counts[target] = (counts[target] ?? 0) + 1;
  }
  return counts;
}

describe('model rewrites', () => {
  it('prefer the first exact rule, then the generic one', () => {
    const rewrite = modelRewrites([generic, ...rules], () => 0);
    expect(['alias', 'unknown', undefined].map(rewrite)).toEqual(['real', 'default', 'default']);
    expect(modelRewrites(rules, () => 0)('unknown')).toBeUndefined();
  });

  it('draw by weight, and never a target without one beside others', () => {
    const counts = shares('canary');
    expect(Object.keys(counts).sort()).toEqual(['a', 'b']);
    expect(counts['a']! / counts['b']!).toBeGreaterThan(2.5);
    expect(counts['a']! / counts['b']!).toBeLessThan(3.5);
  });

  it('draw evenly when no target has a weight', () => {
    const { a, b } = shares('even');
    expect(Math.abs(a! - b!)).toBeLessThan(400);
  });
});

function rewritten(
  body: string,
  given: { headers?: Record<string, string>; path?: string; rules?: object[] },
) {
  const { request, rewrite } = parseInferenceRequest(
    {
      id: 'id',
      method: 'POST',
      path: given.path ?? '/v1/chat/completions',
      headers: new Map(Object.entries(given.headers ?? {})),
      body: Buffer.from(body),
    },
    {
      blockTokens: 4,
      maxPrefixTokens: 64,
      rewriteModel: modelRewrites((given.rules ?? rules) as typeof rules, () => 0),
    },
  );
  return {
    model: request.model,
    body: rewrite === undefined ? undefined : Buffer.concat(rewrite.body).toString(),
  };
}

describe('a body whose model is rewritten', () => {
  it('keeps every other byte', () => {
    const before = '{ "seed":12345678901234567890, "z":1.0e2,"model" : "alias" ,"a":"é\\u00e9" }\n';
    expect(rewritten(before, {})).toEqual({ model: 'real', body: before.replace('"alias"', '"real"') });
  });

  it('is not touched when the names are equal', () => {
    const same = [{ match: 'm', targets: [{ model: 'm' }] }];
    expect(rewritten('{"model":"m"}', { rules: same })).toEqual({ model: 'm', body: undefined });
  });

  it.each([
    ['{}', '{"model":"default"}'],
    ['{ }', '{"model":"default" }'],
    [' {"messages":[]}', ' {"model":"default","messages":[]}'],
  ])('gets a model when it has none and a generic rule tells one: %s', (before, after) => {
    expect(rewritten(before, { rules: [generic] })).toEqual({ model: 'default', body: after });
  });

  it('is refused without a model when only exact rules are there', () => {
    expect(() => rewritten('{"messages":[]}', {})).toThrow(/"model"/);
  });

  it.each([
    [{ 'x-llm-d-model-name-rewrite': 'other' }, 'other'],
    [{ 'x-gateway-model-name-rewrite': 'old' }, 'old'],
    [{ 'x-llm-d-model-name-rewrite': 'new', 'x-gateway-model-name-rewrite': 'old' }, 'new'],
    [{ 'x-llm-d-model-name-rewrite': 'alias' }, 'real'],
    [{ 'x-llm-d-model-name-rewrite': 'quoted"\\' }, 'quoted"\\'],
  ])('follows the header %j', (headers, model) => {
    expect(rewritten('{"model":"m"}', { headers })).toEqual({
      model,
      body: `{"model":${JSON.stringify(model)}}`,
    });
  });

  it.each([
    ['/v1/conversations', '{"items":[]}'],
    ['/unknown', '{"x":1}'],
    ['/unknown', 'no json'],
    ['/v2/models/llama/infer', '{"inputs":[]}'],
  ])('gets none at %s, where a body has no model', (path, body) => {
    expect(rewritten(body, { path, rules: [generic] }).body).toBeUndefined();
  });
});

describe('a fault of the parser', () => {
  it('leaves a request that is known by its headers', () => {
    const parsed = parseOrReadHeaders(
      {
        id: 'id',
        method: 'POST',
        path: '/v1/completions',
        headers: new Map([['x-llm-d-inference-fairness-id', 'team']]),
        body: Buffer.from('{"model":"m"}'),
      },
      {
        blockTokens: 4,
        maxPrefixTokens: 64,
        rewriteModel: () => {
          throw new TypeError('broken');
        },
      },
    );
    expect(parsed).toMatchObject({
      request: { model: undefined, tenant: 'team', promptTokens: 0 },
      rewrite: undefined,
      parserFault: 'TypeError: broken',
    });
  });
});
