import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { EngineCoreOptions } from '../../../src/engine/engine-core-options.ts';
import type { EngineInfo } from '../../../src/engine/engine-messages.ts';
import { Generation } from '../../../src/engine/generation.ts';
import type { ServeOpenEngineOptions } from '../../../src/engine/serve-open-engine.ts';
import type { StepOutput } from '../../../src/engine/step-output.ts';
import type { Answer, FakeEngine } from '../support/fake-engine.ts';
import { fakeVocabSize, letters, readEvents, startFakeEngine } from '../support/fake-engine.ts';
import { FakeModel } from '../support/fake-model.ts';

const started: FakeEngine[] = [];
async function start(
  options: Partial<EngineCoreOptions> = {},
  serving: Partial<ServeOpenEngineOptions> = {},
  info: Partial<EngineInfo> = {},
): Promise<FakeEngine> {
  const engine = await startFakeEngine(options, serving, info);
  started.push(engine);
  return engine;
}
afterEach(async () => {
  for (const engine of started.splice(0)) await engine.server.close(0);
});

const endless = { prompt: 'hello', ignore_eos: true, allowed_token_ids: letters };

/** Reads the value of one series from the exposition text. */
async function metric(engine: FakeEngine, series: string): Promise<number | undefined> {
  const text = await (await engine.get('/metrics')).text();
  const line = text.split('\n').find((each) => each.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

const labels = 'model_name="fake",engine="0"';

describe('small endpoints', () => {
  test('models, version, load, server info', async () => {
    const engine = await start();
    const models = (await (await engine.get('/v1/models')).json()) as Answer;
    expect(models.data.map((card) => card.id)).toEqual(['fake', 'alias']);
    expect(models.data[0]).toMatchObject({ object: 'model', root: '/models/fake', max_model_len: 512 });
    expect(await (await engine.get('/version')).json()).toEqual({ version: '1.2.3' });
    expect(await (await engine.get('/load')).json()).toEqual({ server_load: 0 });
    expect(await (await engine.get('/server_info')).json()).toMatchObject({
      device: 'cpu',
      isa: 'fake',
      blocks: 128,
    });
    const health = await engine.get('/health');
    expect([health.status, await health.text()]).toEqual([200, '']);
    expect((await engine.get('/ping')).status).toBe(200);
  });

  test('tokenize and detokenize are each other’s inverse', async () => {
    const engine = await start();
    const tokens = (await (
      await engine.post('/tokenize', { prompt: 'héy', return_token_strs: true })
    ).json()) as Answer;
    expect(tokens).toMatchObject({ count: 4, max_model_len: 512, tokens: [104, 195, 169, 121] });
    const text = (await (await engine.post('/detokenize', { tokens: tokens.tokens })).json()) as Answer;
    expect(text).toEqual({ prompt: 'héy' });
    const chat = (await (
      await engine.post('/tokenize', { messages: [{ role: 'user', content: 'x' }] })
    ).json()) as Answer;
    expect(chat.count).toBe('user: x\na:'.length);
  });

  test('the prefix cache is reset only while nothing runs', async () => {
    const engine = await start();
    const prompt = 'x'.repeat(40);
    const cached = async () =>
      ((await (await engine.post('/v1/completions', { prompt, max_tokens: 1 })).json()) as Answer).usage
        .prompt_tokens_details.cached_tokens;
    expect([await cached(), await cached()]).toEqual([0, 32]);
    expect(await (await engine.post('/reset_prefix_cache', '')).json()).toEqual({ success: true });
    expect(await cached()).toBe(0);
  });
});

describe('an API key', () => {
  test('protects everything but health, ping and metrics', async () => {
    const engine = await start({}, { apiKey: 'secret' });
    for (const path of ['/health', '/ping', '/metrics']) expect((await engine.get(path)).status).toBe(200);
    for (const path of ['/v1/models', '/version', '/server_info', '/load'])
      expect((await engine.get(path)).status).toBe(401);
    const wrong = await engine.post('/v1/completions', endless, { authorization: 'Bearer guess' });
    expect(wrong.status).toBe(401);
    expect(((await wrong.json()) as Answer).error).toMatchObject({ code: 401 });
    expect((await engine.get('/v1/models', { authorization: 'Bearer secret' })).status).toBe(200);
  });
});

describe('metrics', () => {
  test('carry what routers read, with their labels', async () => {
    const engine = await start();
    const text = await (await engine.get('/metrics')).text();
    expect(text).toMatch(/^vllm:cache_config_info\{.*block_size="16".*num_gpu_blocks="128".*\} 1$/m);
    for (const gauge of ['num_requests_running', 'num_requests_waiting', 'kv_cache_usage_perc'])
      expect(text).toContain(`vllm:${gauge}{${labels}} 0`);
    expect(text).toContain('# TYPE vllm:iteration_tokens_total histogram');
    expect(text).toContain(`vllm:time_to_first_token_seconds_bucket{le="0.001",${labels}} 0`);
    expect(text).toContain(`vllm:e2e_request_latency_seconds_bucket{le="7680",${labels}} 0`);
    expect(text).toContain(`vllm:request_prompt_tokens_bucket{le="500",${labels}} 0`);
  });

  test('count tokens, prefix hits and reasons', async () => {
    const engine = await start();
    const prompt = 'y'.repeat(40);
    for (let i = 0; i < 2; i++)
      await (await engine.post('/v1/completions', { ...endless, prompt, max_tokens: 4 })).json();
    expect(await metric(engine, `vllm:prompt_tokens_total{${labels}}`)).toBe(80);
    expect(await metric(engine, `vllm:generation_tokens_total{${labels}}`)).toBe(8);
    expect(await metric(engine, `vllm:prefix_cache_queries_total{${labels}}`)).toBe(80);
    expect(await metric(engine, `vllm:prefix_cache_hits_total{${labels}}`)).toBe(32);
    expect(await metric(engine, `vllm:request_success_total{${labels},finished_reason="length"}`)).toBe(2);
    expect(await metric(engine, `vllm:time_to_first_token_seconds_count{${labels}}`)).toBe(2);
    expect(await metric(engine, `vllm:inter_token_latency_seconds_count{${labels}}`)).toBe(6);
    expect(await metric(engine, `vllm:iteration_tokens_total_sum{${labels}}`)).toBe(40 + 3 + 8 + 3);
  });
});

describe('a client that goes away', () => {
  test('ends its request in the engine, streaming or not', async () => {
    for (const stream of [true, false]) {
      const engine = await start();
      const leaving = new AbortController();
      const response = fetch(`${engine.url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...endless, n: 2, max_tokens: 500, stream }),
        signal: leaving.signal,
      }).catch(() => undefined);
      await vi.waitFor(() => expect(engine.core.gauges.running).toBe(2), { interval: 1 });
      leaving.abort();
      await response;
      await vi.waitFor(() => expect(engine.core.hasWork).toBe(false), { interval: 1 });
      engine.core.checkIntegrity();
      expect(engine.core.gauges.kvCacheUsage).toBe(0);
      await vi.waitFor(async () =>
        expect(await metric(engine, `vllm:request_success_total{${labels},finished_reason="abort"}`)).toBe(2),
      );
    }
  });
});

describe('a slow reader', () => {
  test('does not hold the engine up, and gets everything when it reads', async () => {
    const engine = await start();
    const asked = { ...endless, n: 4, max_tokens: 100, stream: true, logprobs: 5, temperature: 1 };
    const body = JSON.stringify(asked);
    const socket = connect(engine.server.port, '127.0.0.1');
    socket.pause();
    socket.write(
      `POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await vi.waitFor(() => expect(engine.core.gauges.running).toBe(4), { interval: 1 });
    await vi.waitFor(() => expect(engine.core.hasWork).toBe(false), { interval: 5, timeout: 20_000 });
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.resume();
    await once(socket, 'close');
    expect(text).toContain('data: [DONE]');
    const tokens = text
      .split('\n')
      .filter((line) => line.startsWith('data: {'))
      .map((line) => JSON.parse(line.slice(6)) as Answer)
      .reduce((sum, event) => sum + event.choices[0]!.logprobs.tokens.length, 0);
    expect(tokens).toBe(4 * 100);
  });

  test('finds what gathered meanwhile in one piece', async () => {
    const generation = new Generation(7);
    const output = (tokenId: number): StepOutput => ({
      requestId: 7,
      choice: 0,
      tokenId,
      logprobs: undefined,
      first: undefined,
      finish: undefined,
    });
    for (const tokenId of [1, 2, 3]) generation.push(output(tokenId));
    generation.end();
    const pieces: number[][] = [];
    for await (const outputs of generation) pieces.push(outputs.map(({ tokenId }) => tokenId));
    expect(pieces).toEqual([[1, 2, 3]]);
  });
});

describe('an engine that breaks', () => {
  const breaking = () =>
    new FakeModel({
      blocks: 128,
      blockSize: 16,
      vocabSize: fakeVocabSize,
      onStep: (batch) => {
        if (batch.positions[0]! > 10) throw new Error('device lost');
      },
    });

  test('fails what runs, is unhealthy, and says so once', async () => {
    const engine = await start({ model: breaking() });
    const whole = await engine.post('/v1/completions', { ...endless, max_tokens: 50 });
    expect(whole.status).toBe(500);
    expect(((await whole.json()) as Answer).error).toMatchObject({ type: 'InternalServerError', code: 500 });
    expect((await engine.get('/health')).status).toBe(503);
    expect((await engine.post('/v1/completions', endless)).status).toBe(500);
    expect(engine.crashes.map((error) => error.message)).toEqual(['device lost']);
    expect(await metric(engine, `vllm:request_success_total{${labels},finished_reason="error"}`)).toBe(2);
  });

  test('tells a stream that has begun by an error event', async () => {
    const engine = await start({ model: breaking() });
    const events = await readEvents(
      await engine.post('/v1/completions', { ...endless, max_tokens: 50, stream: true }),
    );
    expect(events.at(-1)!.error).toMatchObject({ code: 500 });
  });
});

describe('closing', () => {
  test('lets what runs finish', async () => {
    const engine = await start();
    const response = engine.post('/v1/completions', { ...endless, max_tokens: 200 });
    await vi.waitFor(() => expect(engine.core.gauges.running).toBe(1), { interval: 1 });
    const closed = engine.server.close();
    expect(((await (await response).json()) as Answer).usage.completion_tokens).toBe(200);
    await closed;
    await expect(engine.get('/health')).rejects.toThrow();
  });

  test('cuts what runs at the deadline', async () => {
    const engine = await start();
    const response = engine.post('/v1/completions', { ...endless, max_tokens: 500 });
    const failed = expect(response).rejects.toThrow();
    await vi.waitFor(() => expect(engine.core.gauges.running).toBe(1), { interval: 1 });
    await engine.server.close(0);
    await failed;
  });
});

test('a port in use is named', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as AddressInfo;
  await expect(startFakeEngine({}, { port })).rejects.toThrow(`cannot listen on 127.0.0.1:${port}`);
  other.close();
});

describe('sleep', () => {
  const reopen = () => new FakeModel({ blocks: 128, blockSize: 16, vocabSize: fakeVocabSize });

  test('gives the model back until it is woken, and ends what is under way', async () => {
    const engine = await start({ reopenModel: reopen }, { hasSleepMode: true });
    const sleeping = async () => (await engine.get('/is_sleeping')).json();
    const before = await readText(engine);
    const running = engine.post('/v1/completions', { ...endless, max_tokens: 400, stream: true });
    const stream = (await running).text();
    expect((await engine.post('/sleep?level=2', '')).status).toBe(200);
    expect(await stream).toContain('This engine sleeps');
    expect(await sleeping()).toEqual({ is_sleeping: true });
    const state = (name: string) =>
      metric(engine, `vllm:engine_sleep_state{${labels},sleep_state="${name}"}`);
    expect([await state('awake'), await state('discard_all')]).toEqual([0, 1]);
    const refused = await engine.post('/v1/completions', { ...endless, max_tokens: 4 });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
    expect((await engine.get('/health')).status).toBe(200);

    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    expect((await engine.post('/wake_up', '', form)).status).toBe(200);
    expect(await sleeping()).toEqual({ is_sleeping: false });
    expect(await readText(engine)).toBe(before);
    engine.core.checkIntegrity();
  });

  test('sleeps on if the model cannot be opened again', async () => {
    const reopenModel = () => {
      throw new Error('the weights are gone');
    };
    const engine = await start({ reopenModel }, { hasSleepMode: true });
    await engine.post('/sleep', '');
    const woken = await engine.post('/wake_up', '');
    expect([woken.status, await woken.text()]).toEqual([
      500,
      expect.stringContaining('the weights are gone'),
    ]);
    expect(await (await engine.get('/is_sleeping')).json()).toEqual({ is_sleeping: true });
  });

  test('refuses what it does not know, and everything unless it is on', async () => {
    const engine = await start({ reopenModel: reopen }, { hasSleepMode: true });
    expect((await engine.post('/sleep?level=3', '')).status).toBe(400);
    expect((await engine.post('/sleep?mode=keep', '')).status).toBe(400);
    const without = await start();
    const refused = await without.post('/sleep', '');
    expect([refused.status, await refused.text()]).toEqual([
      404,
      expect.stringContaining('--enable-sleep-mode'),
    ]);
  });

  async function readText(engine: FakeEngine) {
    const body = { ...endless, max_tokens: 20, temperature: 0 };
    const answer = (await (await engine.post('/v1/completions', body)).json()) as Answer;
    return answer.choices[0]!.text;
  }
});

describe('flags of the server', () => {
  test('--stream-interval groups tokens, but neither the first nor the last', async () => {
    const engine = await start({}, { streamInterval: 4 });
    const body = { prompt: 'hello', max_tokens: 11, allowed_token_ids: letters, temperature: 0 };
    const whole = (await (await engine.post('/v1/completions', body)).json()) as Answer;
    const events = await readEvents(await engine.post('/v1/completions', { ...body, stream: true, n: 2 }));
    for (const index of [0, 1]) {
      const texts = events.flatMap(({ choices }) => choices.filter((choice) => choice.index === index));
      expect(texts.map(({ text }) => text).join('')).toBe(whole.choices[0]!.text);
      expect(texts[0]!.text).toHaveLength(1);
      expect(texts.slice(1, -1).every(({ text }) => text.length >= 4)).toBe(true);
      expect(texts.at(-1)!.finish_reason).toBe('length');
    }
  });

  test('--enable-force-include-usage ends every stream with usage', async () => {
    const engine = await start({}, { forcesUsage: true });
    const response = await engine.post('/v1/completions', { prompt: 'a', max_tokens: 2, stream: true });
    expect((await readEvents(response)).at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 1 } });
  });

  test('--enable-request-id-headers echoes the id, on streams and errors too', async () => {
    const engine = await start({}, { hasRequestIdHeaders: true });
    const id = { 'x-request-id': 'mine' };
    for (const body of [{ prompt: 'a' }, { prompt: 'a', stream: true }, { prompt: [] }]) {
      const response = await engine.post('/v1/completions', { max_tokens: 1, ...body }, id);
      expect(response.headers.get('x-request-id')).toBe('mine');
      await response.text();
    }
    expect((await engine.get('/health')).headers.get('x-request-id')).toMatch(/^[0-9a-f]{32}$/);
    const plain = await start();
    expect((await plain.get('/health', id)).headers.get('x-request-id')).toBeNull();
  });

  test('--uds serves on a Unix socket', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'pointsman-uds-')), 'engine.sock');
    const engine = await start({}, { uds: path });
    expect(engine.server.address).toBe(`unix:${path}`);
    const status = await new Promise((resolve) =>
      request({ socketPath: path, path: '/health' }, (response) => resolve(response.statusCode)).end(),
    );
    expect(status).toBe(200);
    await expect(startFakeEngine({}, { uds: path })).rejects.toThrow(/the file is there already/);
  });
});

describe('metrics beside the engine’s own', () => {
  test('count HTTP requests by route and tell of the process', async () => {
    const engine = await start();
    await engine.post('/v1/completions', { prompt: 'a', max_tokens: 1 });
    await engine.get('/nowhere/at/all');
    const post = 'http_requests_total{method="POST",status="2xx",handler="/v1/completions"}';
    expect(await metric(engine, post)).toBe(1);
    expect(await metric(engine, 'http_requests_total{method="GET",status="4xx",handler="none"}')).toBe(1);
    expect(await metric(engine, 'process_resident_memory_bytes')).toBeGreaterThan(0);
    for (const name of [
      'external_prefix_cache_queries',
      'external_prefix_cache_hits',
      'mm_cache_queries',
      'mm_cache_hits',
    ])
      expect(await metric(engine, `vllm:${name}_total{${labels}}`), name).toBe(0);
    expect(await metric(engine, `vllm:kv_block_lifetime_seconds_count{${labels}}`)).toBeUndefined();
  });

  test('tell how long cached KV blocks stay', async () => {
    const engine = await start({ blocks: 32, kvMetricsSample: 1 }, {}, { hasKvMetrics: true });
    const run = (prompt: string) =>
      engine.post('/v1/completions', { prompt, max_tokens: 1 }).then((response) => response.json());
    await run('x'.repeat(60));
    await run('x'.repeat(60));
    for (const letter of 'abcdefgh') await run(letter.repeat(100));
    const count = async (name: string) =>
      (await metric(engine, `vllm:kv_block_${name}_seconds_count{${labels}}`))!;
    expect(await count('lifetime')).toBeGreaterThan(10);
    expect(await count('idle_before_evict')).toBe(await count('lifetime'));
    expect(await count('reuse_gap')).toBe(3);
  });
});
