import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { selfSignedPair } from '../../src/ext-proc/self-signed.ts';
import { InferencePool } from '../../src/pool/inference-pool.ts';
import { type Scraper, type ScraperOptions, startScraper } from '../../src/pool/scraper.ts';

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const vllmMetrics = (queued = 0, started = 1) => `vllm:num_requests_running 1
vllm:num_requests_waiting ${queued}
vllm:kv_cache_usage_perc 0.5
vllm:cache_config_info{block_size="16",num_gpu_blocks="640"} 1
process_start_time_seconds ${started}
`;
const models = { data: [{ id: 'base' }, { id: 'adapter', parent: 'base' }] };

/** A tiny engine; `answers` may be changed while it runs. */
async function startEngine(answers: { metrics?: RequestListener; models?: RequestListener } = {}, port = 0) {
  const sockets = new Set<Socket>();
  const counts = { metrics: 0, models: 0 };
  const server: Server = createServer((request, response) => {
    const isMetrics = request.url === '/metrics';
    counts[isMetrics ? 'metrics' : 'models']++;
    const answer = isMetrics ? answers.metrics : answers.models;
    if (answer !== undefined) answer(request, response);
    else response.end(isMetrics ? vllmMetrics() : JSON.stringify(models));
  });
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((listening) => server.listen(port, '127.0.0.1', listening));
  const stop = () =>
    new Promise((closed) => {
      server.close(closed);
      for (const socket of sockets) socket.destroy();
    });
  cleanups.push(stop);
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { address, port: (server.address() as AddressInfo).port, answers, counts, stop };
}

function createPool() {
  const cleared: number[] = [];
  const pool = new InferencePool({
    clock: () => performance.now(),
    prefixIndex: { blockTokens: 64, setCapacity() {}, removeEndpoint: (slot) => cleared.push(slot) },
  });
  const endpoint = (name: string) =>
    pool.snapshot(performance.now() + 1000).find((known) => known.name === name);
  /** Resolves when the claim holds; changes of the pool are looked at as they come. */
  const until = (claim: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = () => (claim() ? resolve() : setTimeout(look, 2));
      look();
    });
  const untilReady = (name: string, isReady = true) => until(() => endpoint(name)?.isReady === isReady);
  return { pool, endpoint, until, untilReady, cleared };
}

function scrape(pool: InferencePool, options: Partial<ScraperOptions> = {}): Scraper {
  const scraper = startScraper({
    pool,
    clock: () => performance.now(),
    random: () => 0.5,
    intervalMs: 5,
    idleIntervalMs: 10,
    timeoutMs: 2000,
    ...options,
  });
  cleanups.push(() => scraper.close());
  return scraper;
}

describe('the scraper', () => {
  it('makes an endpoint ready with its figures and models', async () => {
    const engine = await startEngine();
    const { pool, endpoint, untilReady } = createPool();
    pool.upsert({ name: 'e', address: engine.address });
    scrape(pool);
    await untilReady('e');
    expect(endpoint('e')).toMatchObject({
      models: ['base', 'adapter'],
      adapters: ['adapter'],
      metrics: { runningRequests: 1, kvCacheUsage: 0.5, blockSizeTokens: 16, totalBlocks: 640 },
    });
  });

  it('reads engines that serve https at a path of their own, with any certificate only when told so', async () => {
    const server = createTlsServer(await selfSignedPair(), (request, response) =>
      response.end(request.url === '/prometheus/metrics' ? vllmMetrics() : JSON.stringify(models)),
    );
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    cleanups.push(() => server.close());
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const target = { scheme: 'https', path: '/prometheus/metrics' } as const;
    const trusting = createPool();
    trusting.pool.upsert({ name: 'e', address });
    scrape(trusting.pool, { ...target, verifyTls: false });
    await trusting.untilReady('e');
    expect(trusting.endpoint('e')).toMatchObject({
      models: ['base', 'adapter'],
      metrics: { totalBlocks: 640 },
    });

    const wary = createPool();
    const reasons: (string | undefined)[] = [];
    wary.pool.subscribe({ readinessChanged: (_endpoint, reason) => reasons.push(reason) });
    wary.pool.upsert({ name: 'e', address });
    scrape(wary.pool, target);
    await wary.until(() => reasons.length > 0);
    expect(reasons[0]).toMatch(/GET \/prometheus\/metrics failed: self-signed certificate/);
  });

  it('asks for the models again soon when they were not told at first', async () => {
    const engine = await startEngine({ models: (_request, response) => response.writeHead(503).end() });
    const { pool, endpoint, untilReady, until } = createPool();
    pool.upsert({ name: 'e', address: engine.address });
    scrape(pool, { modelsIntervalMs: 1_000_000 });
    await untilReady('e');
    expect(endpoint('e')!.models).toEqual([]);
    delete engine.answers.models;
    await until(() => endpoint('e')!.models.length === 2);
  });

  it('follows the pool: endpoints that come, and those that go', async () => {
    const engine = await startEngine();
    const { pool, untilReady, until } = createPool();
    scrape(pool);
    pool.upsert({ name: 'e', address: engine.address });
    await untilReady('e');
    pool.remove('e');
    const seen = engine.counts.metrics;
    pool.upsert({ name: 'f', address: engine.address });
    await untilReady('f');
    await until(() => engine.counts.metrics > seen + 3);
  });

  it('keeps figures current', async () => {
    const engine = await startEngine();
    const { pool, endpoint, untilReady, until } = createPool();
    pool.upsert({ name: 'e', address: engine.address });
    scrape(pool);
    await untilReady('e');
    engine.answers.metrics = (_request, response) => response.end(vllmMetrics(7));
    await until(() => endpoint('e')?.metrics.queuedRequests === 7);
  });

  it('scrapes less often while nothing of ours runs there', async () => {
    const engine = await startEngine();
    const { pool, endpoint, untilReady, until } = createPool();
    pool.upsert({ name: 'e', address: engine.address });
    scrape(pool, { idleIntervalMs: 1_000_000 });
    await untilReady('e');
    expect(engine.counts.metrics).toBe(1);
    pool.reserve(endpoint('e')!, { promptTokens: 1, uncachedTokens: 1 });
    await until(() => engine.counts.metrics > 3);
  });

  it.each([
    ['404', (status: number) => status],
    ['other text', () => 200],
  ])('makes an engine ready that has no metrics (%s) but lists its models', async (_name, status) => {
    const engine = await startEngine({
      metrics: (_request, response) => response.writeHead(status(404)).end('nothing here'),
    });
    const { pool, endpoint, untilReady } = createPool();
    pool.upsert({ name: 'e', address: engine.address });
    scrape(pool);
    await untilReady('e');
    expect(endpoint('e')).toMatchObject({
      models: ['base', 'adapter'],
      metrics: { ageMs: Number.POSITIVE_INFINITY },
    });
  });

  it('takes an engine that wants a key for its models to be ready, with models unknown', async () => {
    const engine = await startEngine({
      metrics: (_request, response) => response.writeHead(404).end(),
      models: (_request, response) => response.writeHead(401).end('{}'),
    });
    const { pool, endpoint, untilReady } = createPool();
    pool.upsert({ name: 'e', address: engine.address });
    scrape(pool);
    await untilReady('e');
    expect(endpoint('e')!.models).toEqual([]);
  });

  it.each<[string, RequestListener, RegExp]>([
    [
      'answers 503',
      (_request, response) => response.writeHead(503).end(),
      /\/metrics was answered with status 503/,
    ],
    ['never answers', () => undefined, /\/metrics got no answer in 300 ms/],
    ['breaks the connection', (request) => request.socket.destroy(), /\/metrics failed|connection reset/],
    [
      'sends without end',
      (_request, response) => {
        const more = () =>
          response.writable && !response.destroyed && response.write('#'.repeat(10_000), more);
        more();
      },
      /\/metrics failed/,
    ],
  ])('tells why an engine is out that %s', async (name, metrics, reason) => {
    const engine = await startEngine();
    const { pool, endpoint, untilReady } = createPool();
    pool.upsert({ name: 'e', address: engine.address });
    // Alone, an engine that only stays silent would still count as ready.
    pool.upsert({ name: 'other', address: (await startEngine()).address });
    scrape(pool, { maxBodyBytes: 50_000, timeoutMs: name === 'never answers' ? 300 : 10_000 });
    await untilReady('e');
    engine.answers.metrics = metrics;
    await untilReady('e', false);
    expect(endpoint('e')!.notReadyReason).toMatch(reason);
    engine.answers.metrics = (_request, response) => response.end(vllmMetrics());
    await untilReady('e');
  });

  it('notices a closed port at once, and the same engine when it is back, with an empty cache', async () => {
    const engine = await startEngine();
    const { pool, endpoint, untilReady, cleared } = createPool();
    pool.upsert({ name: 'e', address: engine.address });
    scrape(pool);
    await untilReady('e');
    expect(cleared).toEqual([]);
    await engine.stop();
    await untilReady('e', false);
    expect(endpoint('e')!.notReadyReason).toMatch(/refused|reset/);
    const list = JSON.stringify({ data: [{ id: 'other' }] });
    await startEngine(
      {
        metrics: (_request, response) => response.end(vllmMetrics(0, 2)),
        models: (_request, response) => response.end(list),
      },
      engine.port,
    );
    await untilReady('e');
    expect(cleared).toEqual([0]);
    expect(endpoint('e')!.models).toEqual(['other']);
  });

  it('notices an engine that restarted between two scrapes by its start time', async () => {
    const engine = await startEngine();
    const { pool, until, untilReady, cleared } = createPool();
    pool.upsert({ name: 'e', address: engine.address });
    scrape(pool);
    await untilReady('e');
    engine.answers.metrics = (_request, response) => response.end(vllmMetrics(0, 2));
    await until(() => cleared.length > 0);
    expect(cleared).toEqual([0]);
  });

  it('takes an engine that sleeps for not ready until it is woken, and its cache for empty then', async () => {
    const engine = await startEngine();
    const { pool, until, untilReady, cleared } = createPool();
    pool.upsert({ name: 'e', address: engine.address });
    scrape(pool);
    await untilReady('e');
    let asleep = 1;
    const state = (name: string, value: number) =>
      `vllm:engine_sleep_state{engine="0",sleep_state="${name}"} ${value}\n`;
    const told = () => vllmMetrics() + state('awake', 1 - asleep) + state('weights_offloaded', asleep);
    engine.answers.metrics = (_request, response) => response.end(told());
    await untilReady('e', false);
    expect(cleared).toEqual([]);
    asleep = 0;
    await untilReady('e');
    await until(() => cleared.length > 0);
    expect(cleared).toEqual([0]);
  });

  it('asks twice before it takes an engine for hung', async () => {
    const engine = await startEngine();
    const { pool, endpoint, untilReady, until } = createPool();
    pool.upsert({ name: 'e', address: engine.address });
    scrape(pool, { timeoutMs: 600, intervalMs: 20 });
    await untilReady('e');
    let asked = 0;
    engine.answers.metrics = (_request, response) => {
      if (asked++ > 0) response.end(vllmMetrics(3));
    };
    await until(() => endpoint('e')?.metrics.queuedRequests === 3);
    expect(asked).toBeGreaterThan(1);
    expect(endpoint('e')!.isReady).toBe(true);
  });

  it('is not held up by a slow engine', async () => {
    const slow = await startEngine({ metrics: () => undefined });
    const quick = await startEngine();
    const { pool, until } = createPool();
    pool.upsert({ name: 'slow', address: slow.address });
    pool.upsert({ name: 'quick', address: quick.address });
    scrape(pool, { timeoutMs: 60_000 });
    await until(() => quick.counts.metrics > 5);
    expect(slow.counts.metrics).toBe(1);
  });

  it('says that a host name is not found', async () => {
    const { pool, endpoint, until } = createPool();
    pool.upsert({ name: 'e', address: 'no-such-host.invalid:80' });
    scrape(pool, { timeoutMs: 5000 });
    await until(() => endpoint('e')?.notReadyReason !== 'not yet scraped');
    expect(endpoint('e')!.notReadyReason).toMatch(/host name not found/);
  });

  it('reads a larger fleet at longer intervals', async () => {
    const engine = await startEngine();
    const { pool, until } = createPool();
    for (const name of ['a', 'b']) pool.upsert({ name, address: engine.address });
    const startMs = performance.now();
    // Both are read at once when they are added; the next readings come a tenth of a second later.
    scrape(pool, { intervalMs: 1, idleIntervalMs: 1, maxScrapesPerSecond: 20 });
    await until(() => engine.counts.metrics >= 4);
    expect(performance.now() - startMs).toBeGreaterThan(90);
  });

  it('ends what is under way when it is closed', async () => {
    const engine = await startEngine({ metrics: () => undefined });
    const { pool, endpoint, until } = createPool();
    pool.upsert({ name: 'e', address: engine.address });
    const scraper = scrape(pool, { timeoutMs: 60_000 });
    await until(() => engine.counts.metrics === 1);
    await scraper.close();
    await scraper.close();
    expect(endpoint('e')!.notReadyReason).toBe('not yet scraped');
  });
});
