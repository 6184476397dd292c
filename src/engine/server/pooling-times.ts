import type { FirstToken } from '../step-output.ts';
import type { EngineMetrics, FinishReason } from './engine-metrics.ts';

/** When what happened to one request for a state, for the histograms that it shares with generating ones. */
export class PoolingTimes {
  readonly #metrics: EngineMetrics;
  readonly #promptTokens: number;
  readonly #arrivalMs: number;

  constructor(metrics: EngineMetrics, promptTokens: number, arrivalMs: number) {
    this.#metrics = metrics;
    this.#promptTokens = promptTokens;
    this.#arrivalMs = arrivalMs;
  }

  finish({ cachedTokens, scheduledMs }: FirstToken, atMs: number): void {
    const metrics = this.#metrics;
    const computed = this.#promptTokens - cachedTokens;
    metrics.promptTokens.inc(this.#promptTokens);
    metrics.promptTokensCached.inc(cachedTokens);
    metrics.promptTokensComputed.inc(computed);
    metrics.promptTokensHit.inc(cachedTokens);
    metrics.requestPrefillKvComputedTokens.observe(computed);
    metrics.requestQueueTime.observe(Math.max(0, scheduledMs - this.#arrivalMs) / 1000);
    metrics.requestPrefillTime.observe(Math.max(0, atMs - scheduledMs) / 1000);
    metrics.requestInferenceTime.observe(Math.max(0, atMs - scheduledMs) / 1000);
    this.#end('stop', atMs);
  }

  fail(reason: 'abort' | 'error', atMs: number): void {
    this.#end(reason, atMs);
  }

  #end(reason: FinishReason, atMs: number): void {
    this.#metrics.requestSuccess(reason).inc();
    this.#metrics.requestPromptTokens.observe(this.#promptTokens);
    this.#metrics.e2eRequestLatency.observe((atMs - this.#arrivalMs) / 1000);
  }
}
