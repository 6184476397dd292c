import { setTimeout as sleep } from 'node:timers/promises';
import { type EngineMetricsScanner, scanEngineMetrics } from '../protocol/engine-metrics.ts';
import { EngineClient, type EngineReport, type ScrapeTarget } from './engine-client.ts';
import type { InferencePool } from './inference-pool.ts';
import type { EndpointRef } from './pool-listeners.ts';

export interface ScraperOptions extends Partial<ScrapeTarget> {
  readonly pool: InferencePool;
  /** Milliseconds of a monotonic clock; the same as the pool's. */
  readonly clock: () => number;
  /** Uniform in [0, 1); spreads the scrapes of a fleet. */
  readonly random: () => number;
  /** Between scrapes of an endpoint that has requests of ours, or is not ready. */
  readonly intervalMs?: number | undefined;
  /** Between scrapes of an endpoint that has none. */
  readonly idleIntervalMs?: number | undefined;
  /** Of the whole fleet: a larger one is read at longer intervals, so that reading costs no more. */
  readonly maxScrapesPerSecond?: number | undefined;
  /** With the interval it bounds how long a hung endpoint stays ready. */
  readonly timeoutMs?: number | undefined;
  /** Between looks at `/v1/models`; it is also read at start and after each recovery. */
  readonly modelsIntervalMs?: number | undefined;
  readonly maxBodyBytes?: number | undefined;
  /** Sent with every scrape, e.g. `authorization`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Reads `/metrics`; the built-in engines by default. */
  readonly scan?: EngineMetricsScanner | undefined;
}

export interface Scraper {
  /** Stops all scrapes, those under way too. Idempotent. */
  close(): Promise<void>;
}

/**
 * Keeps the pool informed of its engines, each in a loop of its own, so that a slow one delays no other.
 * Follows the pool: endpoints that are added are scraped at once, removed ones no more.
 */
export function startScraper(options: ScraperOptions): Scraper {
  const { pool, clock } = options;
  const loops = new Map<EndpointRef, { readonly stop: AbortController; readonly ended: Promise<void> }>();

  const add = (endpoint: EndpointRef): void => {
    const stop = new AbortController();
    loops.set(endpoint, { stop, ended: watchEndpoint(endpoint, options, stop.signal) });
  };
  const remove = (endpoint: EndpointRef): void => {
    for (const [ref, { stop }] of loops) {
      if (ref.name !== endpoint.name) continue;
      stop.abort();
      loops.delete(ref);
    }
  };

  const unsubscribe = pool.subscribe({ added: add, removed: remove });
  for (const endpoint of pool.snapshot(clock())) add(endpoint);
  return {
    async close() {
      unsubscribe();
      for (const { stop } of loops.values()) stop.abort();
      await Promise.all([...loops.values()].map(({ ended }) => ended));
    },
  };
}

async function watchEndpoint(
  endpoint: EndpointRef,
  options: ScraperOptions,
  signal: AbortSignal,
): Promise<void> {
  const { pool, clock, random } = options;
  const { intervalMs = 200, idleIntervalMs = 1000, modelsIntervalMs = 5000 } = options;
  const { maxScrapesPerSecond = 200 } = options;
  const { timeoutMs = 750, maxBodyBytes = 8 * 1024 * 1024, headers = {}, scan = scanEngineMetrics } = options;
  const { scheme = 'http', path = '/metrics', verifyTls = true } = options;
  const target = { scheme, path, verifyTls };
  const { address } = endpoint;
  const client = new EngineClient({ address, target, timeoutMs, maxBodyBytes, headers, scan });
  const restarts = new RestartDetector();
  let scrapeAtMs = Number.NEGATIVE_INFINITY;
  let modelsAtMs = Number.NEGATIVE_INFINITY;

  while (!signal.aborted) {
    const now = pool.find(endpoint);
    const isIdle = now?.isReady === true && now.inFlight.requests === 0;
    if (clock() >= scrapeAtMs || !isIdle) {
      scrapeAtMs = clock() + idleIntervalMs;
      const isModelsDue = clock() >= modelsAtMs || now?.isReady !== true;
      pool.beginScrape(endpoint);
      const report = await client.report({ withModels: isModelsDue, signal });
      if (signal.aborted) break;
      if (restarts.isRestarted(report)) pool.recordRestart(endpoint);
      recordReport(pool, endpoint, report);
      if (isModelsDue && report.kind === 'alive') {
        // Until it has answered once, any request may be sent to it: ask again soon.
        modelsAtMs = clock() + (report.hasAnsweredModels ? modelsIntervalMs : idleIntervalMs);
      }
    }
    // A tenth of jitter, so that the scrapes of a fleet do not fall on the same millisecond for ever.
    const pauseMs = Math.max(intervalMs, (1000 * pool.size) / maxScrapesPerSecond);
    await sleep(pauseMs * (0.95 + 0.1 * random()), undefined, { signal }).catch(() => undefined);
  }
  await client.close();
}

function recordReport(pool: InferencePool, endpoint: EndpointRef, report: EngineReport): void {
  if (report.kind === 'down') {
    if (report.failure === 'timeout') pool.recordScrapeTimeout(endpoint, report.reason);
    else pool.recordScrapeFailure(endpoint, report.reason);
    return;
  }
  // It answers every request with 503 until somebody wakes it.
  if (report.metrics?.isAsleep) {
    pool.recordScrapeFailure(endpoint, 'it sleeps');
    return;
  }
  // Models first: once the endpoint is ready, its models decide which requests it gets.
  if (report.models !== undefined) pool.recordModels(endpoint, report.models);
  pool.recordScrape(endpoint, report.metrics);
}

/** Tells when an engine's process was replaced, or has slept, which empties its cache. */
class RestartDetector {
  #startSeconds: number | undefined;
  #wasRefused = false;
  #hasSlept = false;

  /** By the process's start time; of engines that do not tell it, by a port that was closed in between. */
  isRestarted(report: EngineReport): boolean {
    if (report.kind === 'down') {
      this.#wasRefused ||= report.failure === 'refused';
      return false;
    }
    const { processStartSeconds: startSeconds, isAsleep } = report.metrics ?? {};
    const isReplaced =
      startSeconds === undefined || this.#startSeconds === undefined
        ? this.#wasRefused
        : startSeconds !== this.#startSeconds;
    const isWoken = this.#hasSlept && isAsleep === undefined;
    this.#startSeconds = startSeconds;
    this.#wasRefused = false;
    this.#hasSlept = isAsleep === true;
    return isReplaced || isWoken;
  }
}
