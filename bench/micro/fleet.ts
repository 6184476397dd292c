import kvCacheUsage from '../../scorers/kv-cache-usage.ts';
import prefixCache from '../../scorers/prefix-cache.ts';
import queueDepth from '../../scorers/queue-depth.ts';
import shadowPrice from '../../scorers/shadow-price.ts';
import { createEndpointPicker } from '../../src/endpoint-picker/index.ts';
import { InferencePool, unknownMetrics } from '../../src/pool/index.ts';
import { ApproximateIndex } from '../../src/prefix-index/index.ts';
import model from '../../src/scheduling/filters/model.ts';
import ready from '../../src/scheduling/filters/ready.ts';
import {
  createProfile,
  emptyPrefix,
  type InferenceRequest,
  type PrefixHashes,
} from '../../src/scheduling/index.ts';
import maxScore from '../../src/scheduling/pickers/max-score.ts';

export const blockTokens = 64;
export const hashOptions = { blockTokens, maxTokens: 131_072 };

type Scorers = Parameters<typeof createProfile>[0]['scorers'];

/** A blend of plain preferences. */
export const blendScorers: Scorers = [
  { name: 'prefix-cache', weight: 2, scorer: prefixCache.create({}) },
  { name: 'queue-depth', weight: 3, scorer: queueDepth.create(queueDepth.defaults) },
  { name: 'kv-cache-usage', weight: 1, scorer: kvCacheUsage.create({}) },
];

/** The default of the configuration. */
export function defaultScorers(): Scorers {
  return [{ name: 'shadow-price', weight: 1, scorer: shadowPrice.create(shadowPrice.defaults) }];
}

/** The scheduling core as the gateway builds it, with engines that serve the model "m" and look alive. */
export function createFleet(endpoints: number, scorers: Scorers = defaultScorers()) {
  const clock = () => performance.now();
  const prefixIndex = new ApproximateIndex({ blockTokens, blocksPerEndpoint: 31_250 });
  const pool = new InferencePool({ clock, prefixIndex });
  for (let i = 0; i < endpoints; i++) {
    const endpoint = pool.upsert({ name: `engine-${i}`, address: `10.0.${i >> 8}.${i & 255}:8000` });
    pool.recordModels(endpoint, { models: ['m'], adapters: [] });
    pool.recordScrape(endpoint, {
      ...unknownMetrics,
      queuedRequests: i % 3,
      runningRequests: i % 17,
      kvCacheUsage: (i % 10) / 10,
      blockSizeTokens: 16,
      totalBlocks: 20_000,
    });
  }
  const profile = createProfile({
    name: 'default',
    filters: [
      { name: 'ready', filter: ready.create({}) },
      { name: 'model', filter: model.create({}) },
    ],
    scorers,
    picker: { name: 'max-score', picker: maxScore.create({}) },
  });
  const picker = createEndpointPicker({
    pool,
    profile: () => profile,
    prefixIndex,
    clock,
    random: Math.random,
    observer: { onFinished() {}, onRejected() {} },
  });
  return { pool, prefixIndex, profile, picker };
}

export function requestOf(promptTokens: number, prefix: PrefixHashes = emptyPrefix): InferenceRequest {
  return {
    id: 'bench',
    model: 'm',
    requestedModel: 'm',
    priority: 0,
    tenant: 'bench',
    headers: new Map([['content-type', 'application/json']]),
    promptTokens,
    bodyBytes: 4 * promptTokens,
    prefix,
    isStreaming: true,
    slo: { ttftMs: undefined, tpotMs: undefined },
  };
}

/** Prompts of `tokens` tokens (4 bytes each): `groups` that share their first three quarters. */
export function promptsOf(tokens: number, groups: number, perGroup: number): Buffer[] {
  const prompts: Buffer[] = [];
  for (let group = 0; group < groups; group++) {
    for (let i = 0; i < perGroup; i++) {
      const shared = `Group ${group} works by these rules. `.repeat(tokens);
      const own = `Question ${i} of group ${group} is this. `.repeat(tokens);
      prompts.push(Buffer.from(shared.slice(0, tokens * 3) + own.slice(0, tokens)));
    }
  }
  return prompts;
}

/** A page of vLLM's metrics with as many lines as the engine tells under load. */
export function vllmMetricsPage(): Buffer {
  const lines = [
    'vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 17.0',
    'vllm:num_requests_waiting{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 3.0',
    'vllm:kv_cache_usage_perc{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 0.4375',
    'vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",num_gpu_blocks="27311"} 1.0',
  ];
  for (const name of [
    'time_to_first_token',
    'inter_token_latency',
    'e2e_request_latency',
    'request_queue_time',
  ]) {
    lines.push(`# HELP vllm:${name}_seconds Histogram.`, `# TYPE vllm:${name}_seconds histogram`);
    for (let le = 1; le <= 150; le++) {
      lines.push(
        `vllm:${name}_seconds_bucket{engine="0",le="${le / 100}",model_name="meta-llama/Llama"} ${le * 7}.0`,
      );
    }
  }
  return Buffer.from(`${lines.join('\n')}\n`);
}
