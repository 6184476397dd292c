import { computeCores } from './compute-cores.ts';
import type { EngineOptions } from './engine-options.ts';
import { readKvEventsConfig } from './kv-events/index.ts';
import { readLoraConfig } from './lora/index.ts';
import { BLOCK_SIZE } from './model/model-plan.ts';
import type { KvCacheDtype, WeightDtype } from './native/native.ts';
import type { OpenEngineOptions } from './open-engine.ts';
import { readSpeculativeConfig } from './speculation/index.ts';

const weightDtypes: Readonly<Record<NonNullable<EngineOptions['dtype']>, 'auto' | WeightDtype>> = {
  auto: 'auto',
  bfloat16: 'BF16',
  float16: 'F16',
  float32: 'F32',
};

const quantizedDtypes = { int8: 'I8', fp8: 'F8_E4M3' } as const;

const kvCacheDtypes: Readonly<Record<NonNullable<EngineOptions['kvCacheDtype']>, KvCacheDtype>> = {
  auto: 'BF16',
  bfloat16: 'BF16',
  float32: 'F32',
  int8: 'I8',
  int8_per_token_head: 'I8',
  fp8: 'F8_E4M3',
};

function kvMetricsSample({ kvCacheMetrics, kvCacheMetricsSample = 0.01 }: EngineOptions): number | undefined {
  if (kvCacheMetricsSample > 1)
    throw new Error(`kv_cache_metrics_sample must be above 0 and at most 1, got ${kvCacheMetricsSample}`);
  return kvCacheMetrics === true ? kvCacheMetricsSample : undefined;
}

function readPartialPrefills({ maxNumPartialPrefills, maxLongPartialPrefills }: EngineOptions) {
  if (maxNumPartialPrefills === undefined && maxLongPartialPrefills === undefined) return undefined;
  const most = maxNumPartialPrefills ?? Math.max(1, maxLongPartialPrefills ?? 1);
  const mostLong = maxLongPartialPrefills ?? 1;
  if (most < 1 || mostLong < 1 || mostLong > most)
    throw new Error(
      `max_num_partial_prefills (${most}) and max_long_partial_prefills (${mostLong}) must be at least 1, the second at most the first`,
    );
  return { most, mostLong };
}

/** The engine's part of the options, with defaults filled in. Throws if a value cannot be. */
export function toOpenOptions(options: EngineOptions, eosTokenIds: readonly number[]): OpenEngineOptions {
  const blockSize = options.blockSize ?? BLOCK_SIZE;
  if (blockSize !== BLOCK_SIZE)
    throw new Error(`block_size must be ${BLOCK_SIZE}: the kernels are written for it; got ${blockSize}`);
  const maxNumBatchedTokens = options.maxNumBatchedTokens ?? 2048;
  const kvAllocator = options.kvAllocator ?? 'paged';
  if (kvAllocator !== 'paged' && options.enablePrefixCaching === true)
    throw new Error(
      `kv_allocator ${kvAllocator} reserves memory that sequences cannot share: leave out --enable-prefix-caching`,
    );
  const speculation = readSpeculativeConfig(options.speculativeConfig);
  if (options.asyncScheduling === true && speculation !== undefined)
    throw new Error(
      'async_scheduling: drafts are made from tokens that are known; leave out --async-scheduling or --speculative-config',
    );
  return {
    model: options.model,
    device: options.device ?? 'auto',
    loadFormat: options.loadFormat === 'dummy' ? 'dummy' : 'safetensors',
    weightDtype:
      options.quantization === undefined
        ? weightDtypes[options.dtype ?? 'auto']
        : quantizedDtypes[options.quantization],
    kvCacheDtype: kvCacheDtypes[options.kvCacheDtype ?? 'auto'],
    threads: options.threads ?? computeCores(),
    maxModelLen: options.maxModelLen,
    maxNumSeqs: options.maxNumSeqs ?? Math.min(256, maxNumBatchedTokens),
    maxNumBatchedTokens,
    longPrefillTokenThreshold: options.longPrefillTokenThreshold ?? 0,
    maxPartialPrefills: readPartialPrefills(options),
    blockSize,
    numGpuBlocksOverride: options.numGpuBlocksOverride,
    kvCacheMemoryBytes: options.kvCacheMemoryBytes,
    gpuMemoryUtilization: options.gpuMemoryUtilization,
    hasPrefixCaching: options.enablePrefixCaching ?? kvAllocator === 'paged',
    hasChunkedPrefill: options.enableChunkedPrefill ?? true,
    prefixHashSeed: options.prefixHashSeed,
    collectsKvEvents: readKvEventsConfig(options.kvEventsConfig) !== undefined,
    kvMetricsSample: kvMetricsSample(options),
    lora: readLoraConfig(options),
    policy: options.schedulingPolicy ?? 'fcfs',
    kvAllocator,
    speculation,
    asyncScheduling: options.asyncScheduling,
    maxLogprobs: options.maxLogprobs ?? 20,
    eosTokenIds,
    seed: options.seed ?? 0,
  };
}
