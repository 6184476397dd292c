import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { SleepLevel } from '../engine-client.ts';
import type { EngineInfo } from '../engine-messages.ts';
import type { EngineGauges } from '../step-output.ts';
import { cacheConfig, draftCounters, loraInfo, sleepState, waitingByReason } from './engine-state-metrics.ts';
import { createExposition } from './exposition.ts';
import { httpMetrics } from './http-metrics.ts';

/** `finished_reason` of `vllm:request_success`. */
export type FinishReason = 'stop' | 'length' | 'abort' | 'error';

const ttftBuckets = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640,
  2560,
];
const tokenLatencyBuckets = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];
const requestLatencyBuckets = [
  0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
];
const residenceBuckets = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800,
];
const iterationBuckets = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384];

/** 1, 2, 5, 10, 20, 50… up to the limit. */
function oneTwoFive(limit: number): number[] {
  const buckets: number[] = [];
  for (let scale = 1; ; scale *= 10)
    for (const mantissa of [1, 2, 5]) {
      if (mantissa * scale > limit) return buckets;
      buckets.push(mantissa * scale);
    }
}

export interface EngineMetricsOptions {
  readonly modelName: string;
  readonly info: EngineInfo;
  readonly gpuMemoryUtilization: number | undefined;
  readonly gauges: () => EngineGauges;
  readonly sleepLevel: () => SleepLevel;
}

export type EngineMetrics = ReturnType<typeof createEngineMetrics>;

/**
 * The metrics of vLLM V1, by its names, labels and buckets (`vllm/v1/metrics/loggers.py`), so that routers and
 * dashboards made for it work unchanged. Beside it: what tells the engine's state (`engine-state-metrics.ts`) and the
 * web layer (`http-metrics.ts`).
 */
export function createEngineMetrics({
  modelName,
  info,
  gpuMemoryUtilization,
  gauges,
  sleepLevel,
}: EngineMetricsOptions) {
  const registry = new Registry();
  const labels = { model_name: modelName, engine: '0' };
  const labelNames = ['model_name', 'engine'];
  const registers = [registry];

  const gauge = (name: string, help: string, read: () => number) => {
    const collect = function (this: Gauge) {
      this.set(labels, read());
    };
    return new Gauge({ name: `vllm:${name}`, help, labelNames, registers, collect });
  };
  const counter = (name: string, help: string) => {
    const series = new Counter({ name: `vllm:${name}_total`, help, labelNames, registers });
    series.inc(labels, 0);
    return series.labels(labels);
  };
  /** A counter that the engine counts: read when scraped. */
  const readCounter = (name: string, help: string, read: () => number) => {
    const collect = function (this: Counter) {
      this.reset();
      this.inc(labels, read());
    };
    return new Counter({ name: `vllm:${name}_total`, help, labelNames, registers, collect });
  };
  const histogram = (name: string, help: string, buckets: number[]) => {
    const series = new Histogram({ name: `vllm:${name}`, help, labelNames, buckets, registers });
    series.zero(labels);
    return series.labels(labels);
  };
  collectDefaultMetrics({ register: registry });
  const tokenBuckets = oneTwoFive(info.maxModelLen);

  gauge('num_requests_running', 'Requests in the running batch.', () => gauges().running);
  gauge('num_requests_waiting', 'Requests waiting to be run.', () => gauges().waiting);
  gauge('kv_cache_usage_perc', 'KV cache in use, 0 to 1.', () => gauges().kvCacheUsage);
  waitingByReason(registry, labels, () => gauges().waiting);
  sleepState(registry, labels, sleepLevel);
  cacheConfig(registry, info, gpuMemoryUtilization);
  if (info.maxLoras !== undefined) loraInfo(registry, info.maxLoras, () => gauges().adapters);
  readCounter(
    'prefix_cache_queries',
    'Prompt tokens looked up in the prefix cache.',
    () => gauges().prefixQueries,
  );
  readCounter('prefix_cache_hits', 'Prompt tokens found in the prefix cache.', () => gauges().prefixHits);
  // Of sources that this engine does not have: dashboards divide by them.
  counter('external_prefix_cache_queries', 'Prompt tokens looked up in other engines’ caches.');
  counter('external_prefix_cache_hits', 'Prompt tokens found in other engines’ caches.');
  counter('mm_cache_queries', 'Images and other media looked up in the cache.');
  counter('mm_cache_hits', 'Images and other media found in the cache.');
  draftCounters(registry, labels, () => gauges().drafts);
  readCounter('num_preemptions', 'Sequences that gave their blocks back.', () => gauges().preemptions);

  const success = new Counter({
    name: 'vllm:request_success_total',
    help: 'Finished requests by reason.',
    labelNames: [...labelNames, 'finished_reason'],
    registers,
  });
  for (const finished_reason of ['stop', 'length', 'abort', 'error'])
    success.inc({ ...labels, finished_reason }, 0);
  const bySource = new Counter({
    name: 'vllm:prompt_tokens_by_source_total',
    help: 'Prompt tokens by where their K and V came from.',
    labelNames: [...labelNames, 'source'],
    registers,
  });
  for (const source of ['local_compute', 'local_cache_hit', 'external_kv_transfer'])
    bySource.inc({ ...labels, source }, 0);

  return {
    registry,
    exposition: createExposition(registry),
    kvBlocks: info.hasKvMetrics
      ? {
          lifetime: histogram('kv_block_lifetime_seconds', 'Stay of a cached KV block.', residenceBuckets),
          idleBeforeEvict: histogram(
            'kv_block_idle_before_evict_seconds',
            'Time from the last use of a cached KV block to its end.',
            residenceBuckets,
          ),
          reuseGap: histogram(
            'kv_block_reuse_gap_seconds',
            'Time between uses of a cached KV block.',
            residenceBuckets,
          ),
        }
      : undefined,
    http: httpMetrics(registry),
    promptTokens: counter('prompt_tokens', 'Prompt tokens processed.'),
    promptTokensCached: counter('prompt_tokens_cached', 'Prompt tokens taken from cache.'),
    promptTokensComputed: bySource.labels({ ...labels, source: 'local_compute' }),
    promptTokensHit: bySource.labels({ ...labels, source: 'local_cache_hit' }),
    generationTokens: counter('generation_tokens', 'Tokens generated.'),
    requestSuccess: (reason: FinishReason) => success.labels({ ...labels, finished_reason: reason }),
    requestPromptTokens: histogram('request_prompt_tokens', 'Prompt tokens per request.', tokenBuckets),
    requestGenerationTokens: histogram(
      'request_generation_tokens',
      'Generated tokens per request.',
      tokenBuckets,
    ),
    requestMaxNumGenerationTokens: histogram(
      'request_max_num_generation_tokens',
      'Tokens of the longest choice per request.',
      tokenBuckets,
    ),
    requestParamsMaxTokens: histogram('request_params_max_tokens', 'max_tokens of requests.', tokenBuckets),
    requestParamsN: histogram('request_params_n', 'n of requests.', [1, 2, 5, 10, 20]),
    requestPrefillKvComputedTokens: histogram(
      'request_prefill_kv_computed_tokens',
      'Prompt tokens computed, not found in cache, per request.',
      tokenBuckets,
    ),
    iterationTokens: histogram('iteration_tokens_total', 'Tokens per engine step.', iterationBuckets),
    timeToFirstToken: histogram(
      'time_to_first_token_seconds',
      'Arrival to first token, in seconds.',
      ttftBuckets,
    ),
    interTokenLatency: histogram(
      'inter_token_latency_seconds',
      'Time between tokens, in seconds.',
      tokenLatencyBuckets,
    ),
    requestTimePerOutputToken: histogram(
      'request_time_per_output_token_seconds',
      'Mean time per output token of a request, in seconds.',
      tokenLatencyBuckets,
    ),
    e2eRequestLatency: histogram(
      'e2e_request_latency_seconds',
      'Arrival to end, in seconds.',
      requestLatencyBuckets,
    ),
    requestQueueTime: histogram(
      'request_queue_time_seconds',
      'Time waiting, in seconds.',
      requestLatencyBuckets,
    ),
    requestInferenceTime: histogram(
      'request_inference_time_seconds',
      'Time running, in seconds.',
      requestLatencyBuckets,
    ),
    requestPrefillTime: histogram(
      'request_prefill_time_seconds',
      'Time until the first token while running, in seconds.',
      requestLatencyBuckets,
    ),
    requestDecodeTime: histogram(
      'request_decode_time_seconds',
      'First token to last, in seconds.',
      requestLatencyBuckets,
    ),
  };
}
