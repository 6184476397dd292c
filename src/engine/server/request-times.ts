import type { StepOutput } from '../step-output.ts';
import type { EngineMetrics, FinishReason } from './engine-metrics.ts';
import type { GenerationRequest } from './run-generation.ts';

interface ChoiceTimes {
  scheduledMs: number | undefined;
  firstTokenMs: number | undefined;
  lastTokenMs: number;
  tokens: number;
  cachedTokens: number;
}

/**
 * When what happened to one request, for the histograms. Each choice counts as one request, as in vLLM.
 *
 *   arrival ──queue── scheduled ──prefill── first token ──decode── last token
 */
export class RequestTimes {
  readonly #metrics: EngineMetrics;
  readonly #request: GenerationRequest;
  readonly #arrivalMs: number;
  readonly #choices: ChoiceTimes[];

  constructor(metrics: EngineMetrics, request: GenerationRequest, arrivalMs: number) {
    this.#metrics = metrics;
    this.#request = request;
    this.#arrivalMs = arrivalMs;
    this.#choices = Array.from({ length: request.options.choices }, () => ({
      scheduledMs: undefined,
      firstTokenMs: undefined,
      lastTokenMs: arrivalMs,
      tokens: 0,
      cachedTokens: 0,
    }));
    metrics.requestParamsN.observe(request.options.choices);
    metrics.requestParamsMaxTokens.observe(request.maxTokens);
  }

  token({ choice, first }: StepOutput, atMs: number): void {
    const times = this.#choices[choice]!;
    const metrics = this.#metrics;
    times.tokens++;
    metrics.generationTokens.inc();
    if (first !== undefined) {
      const promptTokens = this.#request.promptTokens.length;
      times.scheduledMs = first.scheduledMs;
      times.firstTokenMs = atMs;
      times.cachedTokens = first.cachedTokens;
      metrics.promptTokens.inc(promptTokens);
      metrics.promptTokensCached.inc(first.cachedTokens);
      metrics.promptTokensComputed.inc(promptTokens - first.cachedTokens);
      metrics.promptTokensHit.inc(first.cachedTokens);
      metrics.timeToFirstToken.observe((atMs - this.#arrivalMs) / 1000);
    } else {
      metrics.interTokenLatency.observe((atMs - times.lastTokenMs) / 1000);
    }
    times.lastTokenMs = atMs;
  }

  finish(choice: number, reason: FinishReason, atMs: number): void {
    const times = this.#choices[choice]!;
    const metrics = this.#metrics;
    const promptTokens = this.#request.promptTokens.length;
    metrics.requestSuccess(reason).inc();
    metrics.requestPromptTokens.observe(promptTokens);
    metrics.requestGenerationTokens.observe(times.tokens);
    metrics.requestMaxNumGenerationTokens.observe(
      this.#choices.reduce((most, { tokens }) => Math.max(most, tokens), 0),
    );
    metrics.e2eRequestLatency.observe((atMs - this.#arrivalMs) / 1000);
    if (times.scheduledMs === undefined || times.firstTokenMs === undefined) return;
    metrics.requestPrefillKvComputedTokens.observe(promptTokens - times.cachedTokens);
    // The engine's clock may be a fraction of a millisecond behind ours.
    metrics.requestQueueTime.observe(Math.max(0, times.scheduledMs - this.#arrivalMs) / 1000);
    metrics.requestPrefillTime.observe(Math.max(0, times.firstTokenMs - times.scheduledMs) / 1000);
    metrics.requestDecodeTime.observe((times.lastTokenMs - times.firstTokenMs) / 1000);
    metrics.requestInferenceTime.observe(Math.max(0, times.lastTokenMs - times.scheduledMs) / 1000);
    if (times.tokens > 1)
      metrics.requestTimePerOutputToken.observe(
        (times.lastTokenMs - times.firstTokenMs) / 1000 / (times.tokens - 1),
      );
  }
}
