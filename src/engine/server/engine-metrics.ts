import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { SleepLevel } from '../engine-client.ts';
import type { EngineInfo } from '../engine-messages.ts';
import type { AdapterUse, DraftCounters, EngineGauges } from '../step-output.ts';

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
 * dashboards made for it work unchanged. Every series is defined here and nowhere else.
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

/** What vLLM's web layer counts: paths are routes, statuses are classes. */
function httpMetrics(registry: Registry) {
  const registers = [registry];
  const requests = new Counter({
    name: 'http_requests_total',
    help: 'HTTP requests by method, status class and route.',
    labelNames: ['method', 'status', 'handler'],
    registers,
  });
  const durations = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time of HTTP requests in seconds.',
    labelNames: ['method', 'handler'],
    buckets: [0.1, 0.5, 1],
    registers,
  });
  return {
    observe: (method: string, statusCode: number, handler: string, seconds: number) => {
      requests.inc({ method, status: `${Math.floor(statusCode / 100)}xx`, handler });
      durations.observe({ method, handler }, seconds);
    },
  };
}

type Labels = Readonly<Record<string, string>>;

function waitingByReason(registry: Registry, labels: Labels, waiting: () => number): void {
  new Gauge({
    name: 'vllm:num_requests_waiting_by_reason',
    help: 'Requests waiting, by what they wait for.',
    labelNames: ['model_name', 'engine', 'reason'],
    registers: [registry],
    collect() {
      this.set({ ...labels, reason: 'capacity' }, waiting());
      this.set({ ...labels, reason: 'deferred' }, 0);
    },
  });
}

/** Drafts of speculative decoding, and what became of them. */
function draftCounters(registry: Registry, labels: Labels, drafts: () => DraftCounters): void {
  const labelNames = ['model_name', 'engine'];
  const counter = (name: string, help: string, read: (counters: DraftCounters) => number) =>
    new Counter({
      name: `vllm:spec_decode_${name}_total`,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(labels, read(drafts()));
      },
    });
  counter('num_drafts', 'Drafts checked.', (counters) => counters.drafts);
  counter('num_draft_tokens', 'Tokens of drafts.', (counters) => counters.draftTokens);
  counter('num_accepted_tokens', 'Tokens of drafts accepted.', (counters) => counters.acceptedTokens);
  new Counter({
    name: 'vllm:spec_decode_num_accepted_tokens_per_pos_total',
    help: 'Tokens of drafts accepted, by their place in the draft.',
    labelNames: [...labelNames, 'position'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [position, count] of drafts().acceptedAt.entries())
        this.inc({ ...labels, position: String(position) }, count);
    },
  });
}

/** 1 marks the state that the engine is in. */
function sleepState(registry: Registry, labels: Labels, sleepLevel: () => SleepLevel): void {
  new Gauge({
    name: 'vllm:engine_sleep_state',
    help: 'Sleep state of the engine; 1 marks the one it is in.',
    labelNames: ['model_name', 'engine', 'sleep_state'],
    registers: [registry],
    collect() {
      for (const [level, sleep_state] of ['awake', 'weights_offloaded', 'discard_all'].entries())
        this.set({ ...labels, sleep_state }, level === sleepLevel() ? 1 : 0);
    },
  });
}

/** The configuration as labels: this is where routers learn block size and block count. */
/** vLLM's way to tell names: as labels, with the time as value, so that the newest series is the true one. */
function loraInfo(registry: Registry, maxLoras: number, read: () => AdapterUse): void {
  new Gauge({
    name: 'vllm:lora_requests_info',
    help: 'LoRA adapters in use, as labels; the value is the time in seconds.',
    labelNames: ['max_lora', 'waiting_lora_adapters', 'running_lora_adapters'],
    registers: [registry],
    collect() {
      const { running, waiting } = read();
      this.reset();
      this.set(
        {
          max_lora: String(maxLoras),
          waiting_lora_adapters: waiting.join(','),
          running_lora_adapters: running.join(','),
        },
        Date.now() / 1000,
      );
    },
  });
}

function cacheConfig(registry: Registry, info: EngineInfo, gpuMemoryUtilization: number | undefined): void {
  const labels = {
    block_size: String(info.blockSize),
    num_gpu_blocks: String(info.blocks),
    num_cpu_blocks: 'None',
    cache_dtype: info.kvCacheDtype,
    gpu_memory_utilization: String(gpuMemoryUtilization ?? 'None'),
    enable_prefix_caching: info.hasPrefixCaching ? 'True' : 'False',
    prefix_caching_hash_algo: 'sha256_cbor',
    kv_cache_size_tokens: String(info.blocks * info.blockSize),
    engine: '0',
  };
  const config = new Gauge({
    name: 'vllm:cache_config_info',
    help: 'Configuration of the KV cache, as labels.',
    labelNames: Object.keys(labels),
    registers: [registry],
  });
  config.set(labels, 1);
}
