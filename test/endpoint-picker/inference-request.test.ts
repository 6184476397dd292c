import { describe, expect, it } from 'vitest';
import { parseInferenceRequest } from '../../src/endpoint-picker/inference-request.ts';
import { apiOf } from '../../src/protocol/apis.ts';
import { ServiceError } from '../../src/protocol/errors.ts';
import type { PrefixHashes } from '../../src/scheduling/inference-request.ts';

const options = { blockTokens: 4, maxPrefixTokens: 1024 };
const text = 'a sentence that is long enough to fill several blocks of sixteen bytes';

interface Given {
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
}

function parse({ path = '/v1/chat/completions', headers = {}, body }: Given, more = {}) {
  const bytes =
    body === undefined ? undefined : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return parseInferenceRequest(
    { id: 'id', method: 'POST', path, headers: new Map(Object.entries(headers)), body: bytes },
    { ...options, ...more },
  );
}

function errorOf(given: Given): ServiceError {
  try {
    parse(given);
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
  throw new Error('accepted');
}

const lanes = ({ low, high }: PrefixHashes) => [...low].map((word, index) => `${word}:${high[index]}`);
const prefixOf = (given: Given) => lanes(parse(given).request.prefix);

describe('parseInferenceRequest', () => {
  it('reads what scheduling needs from a chat request', () => {
    const body = ` {"model":"llama","messages":[{"role":"user","content":"${text}"}],"stream":true}`;
    const { request, api } = parse({ body });
    expect(api).toBe('chat');
    expect(request).toMatchObject({
      id: 'id',
      model: 'llama',
      priority: 0,
      tenant: '',
      isStreaming: true,
      promptTokens: Math.ceil((body.indexOf(']') + 1 - body.indexOf('[')) / 4),
      slo: { ttftMs: undefined, tpotMs: undefined },
    });
    expect(request.prefix.count).toBeGreaterThan(3);
  });

  it.each([
    ['/v1/chat/completions', 'chat'],
    ['/openai/v1/chat/completions?trace=1', 'chat'],
    ['/v1/completions', 'completions'],
    ['/v1/embeddings', 'embeddings'],
    ['/v1/responses', 'responses'],
    ['/v1/messages', 'messages'],
    ['/v1/messages/count_tokens', 'count_tokens'],
    ['/v1/chat/completions/render', 'chat'],
    ['/v1/conversations', 'conversations'],
    ['/v1/images/generations', 'images'],
    ['/inference/v1/generate', 'vllm_generate'],
    ['/generate?x', 'sglang_generate'],
    ['/v2/models/llama/infer', 'kserve_infer'],
    ['/v2/models/llama/versions/2/infer', 'kserve_infer'],
    ['/v2/models/llama/generate', 'kserve_generate'],
    ['/v2/models/llama/versions/2/ready', 'other'],
    ['/tokenize', 'other'],
    ['/', 'other'],
  ])('knows %s as %s', (path, api) => {
    expect(apiOf(path).api.name).toBe(api);
  });

  it('takes tenant, objective, and SLO from headers, the first spelling first', () => {
    const headers = {
      'x-llm-d-inference-fairness-id': 'team-a',
      'x-gateway-inference-fairness-id': 'old',
      'x-gateway-inference-objective': 'batch',
      'x-slo-ttft-ms': '200',
      'x-llm-d-slo-tpot-ms': 'soon',
    };
    const body = { model: 'm', priority: 100 };
    const { request } = parse({ headers, body }, { objectives: new Map([['batch', { priority: -5 }]]) });
    expect(request).toMatchObject({
      tenant: 'team-a',
      priority: -5,
      slo: { ttftMs: 200, tpotMs: undefined },
    });
    expect(parse({ headers, body }).request.priority).toBe(0);
  });

  it('takes targets from the objective where no header names them, and the tenant from a header of ours', () => {
    const chat = { priority: 3, slo: { ttftMs: 500, tpotMs: 40, isStrict: true } };
    const headers = {
      'x-llm-d-inference-objective': 'chat',
      'x-llm-d-slo-ttft-ms': '200',
      'x-team': 'team-b',
    };
    const rules = { objectives: new Map([['chat', chat]]), tenantHeader: 'x-team' };
    const { request } = parse({ headers, body: { model: 'm' } }, rules);
    expect(request).toMatchObject({
      priority: 3,
      tenant: 'team-b',
      slo: { ttftMs: 200, tpotMs: 40, isStrict: true },
    });
    const named = { ...headers, 'x-llm-d-inference-fairness-id': 'team-a' };
    expect(parse({ headers: named, body: { model: 'm' } }, rules).request.tenant).toBe('team-a');
  });

  it('hashes the prompt in the order of chat templates, wherever its members stand', () => {
    const messages = [{ role: 'user', content: text }];
    const tools = [{ type: 'function', function: { name: 'look', description: text } }];
    const a = prefixOf({ body: { model: 'm', messages, tools } });
    const b = prefixOf({ body: { tools, temperature: 0, model: 'm', messages } });
    expect(a).toEqual(b);
    expect(a[0]).not.toBe(prefixOf({ body: { model: 'm', messages } })[0]);
    const path = '/v1/messages';
    expect(prefixOf({ path, body: { model: 'm', messages, system: text } })[0]).toBe(
      prefixOf({ path, body: { model: 'm', system: text, messages: [] } })[0],
    );
  });

  it('shares the hashes of a common beginning, and none across models or cache salts', () => {
    const path = '/v1/completions';
    const of = (model: string, prompt: string, salt?: string) =>
      prefixOf({ path, body: { model, prompt, ...(salt === undefined ? {} : { cache_salt: salt }) } });
    const known = of('m', `${text} one ${text}`);
    const similar = of('m', `${text} two ${text}`);
    expect(similar.slice(0, 3)).toEqual(known.slice(0, 3));
    expect(similar).not.toEqual(known);
    for (const other of [of('n', `${text} one ${text}`), of('m', `${text} one ${text}`, 'salt')]) {
      expect(other.filter((hash) => known.includes(hash))).toEqual([]);
    }
  });

  it('treats a request without a body as naming no model', () => {
    const { request, rewrite } = parse({ path: '/v1/chat/completions' });
    expect([request.model, request.prefix.count, request.promptTokens, rewrite]).toEqual([
      undefined,
      0,
      0,
      undefined,
    ]);
  });

  it('takes the model from the path where KServe has it', () => {
    const path = '/v2/models/meta%2Fllama/versions/3/infer';
    const inputs = [{ name: 'text', datatype: 'BYTES', shape: [1], data: [text] }];
    const { request } = parse({ path, body: { inputs } });
    expect(request.model).toBe('meta/llama');
    expect(request.prefix.count).toBeGreaterThan(3);
    expect(parse({ path: '/v2/models/m/infer', body: 'binary' }).request.model).toBe('m');
    expect(parse({ path: '/v2/models/m/generate_stream', body: {} }).request.isStreaming).toBe(true);
  });

  it.each([
    ['/inference/v1/generate', 'token_ids'],
    ['/generate', 'input_ids'],
    ['/v1/completions', 'prompt'],
  ])('counts and hashes token ids at %s as tokens', (path, field) => {
    const ids = Array.from({ length: 41 }, (_, i) => 100_000 + i);
    const { request } = parse({ path, body: { model: 'm', [field]: ids } });
    expect([request.promptTokens, request.prefix.count]).toEqual([41, 10]);
    const spaced = `{"model":"m","${field}": [ ${ids.join(' , ')} ]}`;
    expect(prefixOf({ path, body: spaced })).toEqual(lanes(request.prefix));
    expect(parse({ path, body: { model: 'm', [field]: [-1.5, 'x'] } }).request.promptTokens).toBe(3);
  });

  it('counts lists of token ids as their ids, the first one being the beginning', () => {
    const ids = Array.from({ length: 40 }, (_, i) => 100_000 + i);
    const one = parse({ path: '/generate', body: { input_ids: ids } }).request;
    const list = parse({ path: '/generate', body: { input_ids: [ids, [1, 2, 3, 4]] } }).request;
    expect([list.promptTokens, list.prefix.count]).toEqual([44, 11]);
    expect(lanes(list.prefix).slice(0, 10)).toEqual(lanes(one.prefix));
    expect(
      parse({ path: '/v1/embeddings', body: { model: 'm', input: [[], []] } }).request.promptTokens,
    ).toBe(2);
  });

  const image = Buffer.alloc(60_000, 'picture').toString('base64');
  const other = Buffer.alloc(60_000, 'another').toString('base64');
  const openAiImage = (data: string) => ({
    type: 'image_url',
    image_url: { url: `data:image/png;base64,${data}` },
  });
  const anthropicImage = (data: string) => ({
    type: 'image',
    source: { type: 'base64', media_type: 'image/png', data },
  });
  const sound = (data: string) => ({ type: 'input_audio', input_audio: { data, format: 'wav' } });

  it.each([
    ['/v1/chat/completions', openAiImage],
    ['/v1/chat/completions', sound],
    ['/v1/messages', anthropicImage],
  ])('counts a medium at %s as some tokens, and tells it from others', (path, part) => {
    const bodyWith = (data: string) => ({
      model: 'm',
      messages: [{ role: 'user', content: [part(data), { type: 'text', text }] }],
    });
    const { request } = parse({ path, body: bodyWith(image) });
    expect(request.promptTokens).toBeGreaterThan(256);
    expect(request.promptTokens).toBeLessThan(256 + text.length);
    expect(prefixOf({ path, body: bodyWith(image) })).toEqual(lanes(request.prefix));
    expect(prefixOf({ path, body: bodyWith(other) })[0]).toEqual(lanes(request.prefix)[0]);
    expect(prefixOf({ path, body: bodyWith(other) }).at(-1)).not.toEqual(lanes(request.prefix).at(-1));
  });

  it.each([
    `{"data":"${'words of a text '.repeat(60)}"}`,
    `data: ${'{"delta":"x"} '.repeat(60)}`,
    `"data:image/png;base64,${'A'.repeat(900)}`,
  ])('takes a text that only looks like a medium for text', (content) => {
    const body = { model: 'm', messages: [{ role: 'user', content }] };
    const { promptTokens } = parse({ path: '/v1/chat/completions', body }).request;
    expect(promptTokens).toBe(Math.ceil(JSON.stringify(body.messages).length / 4));
  });

  it.each([
    ['/v1/chat/completions', { chat_template_kwargs: { enable_thinking: false } }],
    ['/v1/chat/completions', { reasoning_effort: 'low' }],
    ['/v1/chat/completions', { documents: [{ text: 'a' }] }],
    ['/v1/responses', { reasoning: { effort: 'low' } }],
  ])('keeps prompts apart that a template makes different at %s: %j', (path, difference) => {
    const body = { model: 'm', messages: [{ role: 'user', content: text }], input: text };
    expect(prefixOf({ path, body: { ...body, ...difference } })).not.toEqual(prefixOf({ path, body }));
    expect(prefixOf({ path, body: { ...body, temperature: 1 } })).toEqual(prefixOf({ path, body }));
  });

  it.each([
    // Of the vendors' references.
    [
      '/v1/chat/completions',
      { model: 'm', messages: [{ role: 'developer', content: text }], tools: [] },
      true,
    ],
    [
      '/v1/responses',
      { model: 'm', input: [{ role: 'user', content: [{ type: 'input_text', text }] }] },
      true,
    ],
    ['/v1/responses', { model: 'm', instructions: text, input: 'Hi', previous_response_id: 'resp_1' }, true],
    [
      '/v1/conversations',
      { metadata: { topic: 'demo' }, items: [{ type: 'message', role: 'user', content: text }] },
      true,
    ],
    ['/v1/messages', { model: 'm', max_tokens: 9, system: [{ type: 'text', text }], messages: [] }, true],
    ['/v1/embeddings', { model: 'm', input: [text, 'second'], encoding_format: 'float' }, true],
    ['/v1/completions', { model: 'm', prompt: [text, 'second'] }, true],
    ['/inference/v1/generate', { token_ids: Array(40).fill(7), sampling_params: { max_tokens: 4 } }, true],
    ['/generate', { text: [text, 'second'], sampling_params: { max_new_tokens: 4 } }, true],
    ['/v2/models/m/infer', { inputs: [{ name: 't', shape: [1], datatype: 'BYTES', data: [text] }] }, true],
    ['/v2/models/m/generate', { text_input: text, parameters: { stream: false } }, true],
    ['/v1/images/generations', { prompt: 'a cat', n: 1, size: '1024x1024' }, false],
  ])('reads the prompt of %s', (path, body, hasPrefix) => {
    const { request } = parse({ path, body });
    expect(request.promptTokens).toBeGreaterThan(1);
    expect(request.prefix.count > 0).toBe(hasPrefix);
    expect(request.bodyBytes).toBe(JSON.stringify(body).length);
  });

  it('lets other paths pass, with the model when a JSON object names one', () => {
    expect(parse({ path: '/tokenize', body: { model: 'm', prompt: 1 } }).request.model).toBe('m');
    expect(parse({ path: '/v1/audio', body: '--boundary' }).request.model).toBeUndefined();
    expect(parse({ path: '/tokenize', body: [1] }).request.model).toBeUndefined();
    expect(parse({ path: '/tokenize', body: { model: 5 } }).request.model).toBeUndefined();
  });

  it.each([
    [{ messages: [] }, 'model', 'found nothing'],
    [{ model: 5 }, 'model', 'found a number'],
    [{ model: '' }, 'model', 'found an empty string'],
    [{ model: 'm', messages: 'hi' }, 'messages', 'found a string'],
    [{ model: 'm', stream: 'yes' }, 'stream', 'found a string'],
    [{ model: 'm', max_tokens: -1 }, 'max_tokens', 'found -1'],
    [{ model: 'm', max_tokens: 1.5 }, 'max_tokens', 'found 1.5'],
    ['{"model":"m","max_tokens":1e99}', 'max_tokens', 'found 1e99'],
    [{ model: 'm', max_completion_tokens: '9' }, 'max_completion_tokens', 'found a string'],
  ])('refuses %j, naming %s', (body, param, found) => {
    const error = errorOf({ body });
    expect([error.code, error.param]).toEqual(['invalid_request', param]);
    expect(error.message).toContain(found);
  });

  it.each([
    [{ model: 'm', stream: null, max_tokens: null }],
    ['{"model":"m","max_tokens":16.0}'],
    [{ model: 'm', prompt: 7, temperature: 'hot', unknown: {} }],
  ])('leaves %j to the engine', (body) => {
    expect(parse({ body }).request.model).toBe('m');
  });

  it('says where JSON is broken, and what else than an object it found', () => {
    const broken = errorOf({ body: '{"model":"m",}' });
    expect([broken.code, broken.message]).toEqual([
      'invalid_json',
      'The body is invalid JSON at line 1, column 14 (byte 13): expected a key in double quotes, found "}".',
    ]);
    expect(errorOf({ body: '' }).code).toBe('invalid_json');
    expect(errorOf({ body: '[]' }).message).toBe('Expected a JSON object as the body, found an array.');
  });
});
