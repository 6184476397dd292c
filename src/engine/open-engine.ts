import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { rootDigest } from './block-hash.ts';
import { EngineCore } from './engine-core.ts';
import type { EngineInfo } from './engine-messages.ts';
import type { KvAllocator } from './kv-allocator.ts';
import { AdapterSlots, type LoraConfig, readAdapter } from './lora/index.ts';
import { readModelConfig } from './model/model-files.ts';
import { loadNative } from './native/load.ts';
import type { KvCacheDtype, ModelPlan, NativeModule } from './native/native.ts';
import { openModel } from './open-model.ts';
import { defaultLongPrefillTokens } from './partial-prefills.ts';
import type { SpeculativeConfig } from './speculation/index.ts';
import type { SchedulingPolicy } from './waiting-queue.ts';

/** Everything needed to open an engine, as data that can be sent to its thread. */
export interface OpenEngineOptions {
  readonly model: string;
  /** `auto`: a GPU where there is one that can run the model, else the CPU. */
  readonly device: 'auto' | 'cpu' | 'cuda';
  /** The CUDA library, if not the package's own. */
  readonly cudaLibrary?: string;
  /** Of its kernels, if not the best ones; see `ModelPlan.isa`. */
  readonly cudaKernels?: string | undefined;
  readonly loadFormat: 'safetensors' | 'dummy';
  readonly weightDtype: ModelPlan['weightDtype'];
  readonly kvCacheDtype: KvCacheDtype;
  readonly threads: number;
  /** Absent: the model's own, or what the KV cache holds if that is less. */
  readonly maxModelLen: number | undefined;
  readonly maxNumSeqs: number;
  readonly maxNumBatchedTokens: number;
  readonly longPrefillTokenThreshold: number;
  /** Prompts computed in parts at the same time, and long ones among them; absent: no limit. */
  readonly maxPartialPrefills?: { readonly most: number; readonly mostLong: number } | undefined;
  readonly blockSize: number;
  readonly numGpuBlocksOverride: number | undefined;
  readonly kvCacheMemoryBytes: number | undefined;
  readonly gpuMemoryUtilization: number | undefined;
  readonly hasPrefixCaching: boolean;
  readonly hasChunkedPrefill: boolean;
  /** Engines with the same seed hash equal prefixes equally; random if absent. */
  readonly prefixHashSeed: string | undefined;
  readonly collectsKvEvents: boolean;
  /** Part of the KV blocks whose stay is watched; absent: none. */
  readonly kvMetricsSample?: number | undefined;
  /** Absent: no adapters. */
  readonly lora: LoraConfig | undefined;
  readonly policy: SchedulingPolicy;
  readonly kvAllocator: KvAllocator;
  readonly speculation: SpeculativeConfig | undefined;
  /** Two steps in flight; not with speculation. Absent: on a GPU, without speculation. */
  readonly asyncScheduling?: boolean | undefined;
  readonly maxLogprobs: number;
  /** Besides those in the model's configuration. */
  readonly eosTokenIds: readonly number[];
  readonly seed: number;
}

/** As `--kv-cache-dtype` calls them. */
const kvCacheNames: Readonly<Record<KvCacheDtype, string>> = {
  F32: 'float32',
  BF16: 'bfloat16',
  I8: 'int8_per_token_head',
  F8_E4M3: 'fp8_e4m3',
};

/**
 * Reads the checkpoint, loads the weights, allocates the KV cache. Blocks, and tells the part of the weights that
 * is loaded; throws with what to change.
 */
export function openEngine(
  options: OpenEngineOptions,
  native: NativeModule = loadNative(),
  onProgress?: (part: number) => void,
): { readonly core: EngineCore; readonly info: EngineInfo } {
  const config = readModelConfig(options.model);
  const opened = openModel(options, config, native, onProgress);
  const { model, plan, maxModelLen } = opened;
  const { blocks } = plan;
  const { lora, maxPartialPrefills, speculation } = options;
  const longPrefillTokenThreshold =
    options.longPrefillTokenThreshold === 0 && (maxPartialPrefills?.most ?? 1) > 1
      ? defaultLongPrefillTokens(maxModelLen)
      : options.longPrefillTokenThreshold;
  const isAsync = options.asyncScheduling ?? (opened.device === 'cuda' && speculation === undefined);
  const core = new EngineCore({
    model,
    reopenModel: opened.reopen,
    vocabSize: plan.vocabSize,
    hiddenSize: plan.hiddenSize,
    maxModelLen,
    blocks,
    blockSize: options.blockSize,
    maxNumSeqs: options.maxNumSeqs,
    maxNumBatchedTokens: options.maxNumBatchedTokens,
    longPrefillTokenThreshold,
    partialPrefills: maxPartialPrefills && {
      ...maxPartialPrefills,
      longTokens: longPrefillTokenThreshold || defaultLongPrefillTokens(maxModelLen),
    },
    hasChunkedPrefill: options.hasChunkedPrefill,
    hasPrefixCaching: options.hasPrefixCaching,
    prefixRoot: options.prefixHashSeed === undefined ? randomBytes(32) : rootDigest(options.prefixHashSeed),
    collectsKvEvents: options.collectsKvEvents,
    kvMetricsSample: options.kvMetricsSample,
    lora: lora && {
      maxLoras: lora.maxLoras,
      slots: new AdapterSlots(lora.maxLoaded, (path) => readAdapter(path, config, lora.maxRank)),
    },
    policy: options.policy,
    kvAllocator: options.kvAllocator,
    speculation,
    isAsync,
    maxLogprobs: options.maxLogprobs,
    eosTokenIds: [...new Set([...config.eosTokenIds, ...options.eosTokenIds])],
    seed: options.seed,
    // Absolute, so that the server's thread can compare.
    now: () => performance.timeOrigin + performance.now(),
  });
  for (const { name, path } of lora?.modules ?? []) core.loadAdapter(name, path);
  const info: EngineInfo = {
    device: opened.device,
    deviceName: opened.deviceName,
    deviceFallbackReason: opened.fallbackReason,
    isa: native.cpuInfo().isa,
    vocabSize: plan.vocabSize,
    hiddenSize: plan.hiddenSize,
    maxModelLen,
    maxNumSeqs: options.maxNumSeqs,
    maxNumBatchedTokens: options.maxNumBatchedTokens,
    maxLogprobs: options.maxLogprobs,
    maxLoras: lora?.maxLoras,
    blockSize: options.blockSize,
    blocks,
    hasPrefixCaching: options.hasPrefixCaching,
    hasKvMetrics: options.kvMetricsSample !== undefined,
    kvCacheDtype: kvCacheNames[options.kvCacheDtype],
    threads: options.threads,
    policy: options.policy,
    hasAsyncScheduling: isAsync,
    memory: model.memory(),
  };
  return { core, info };
}
