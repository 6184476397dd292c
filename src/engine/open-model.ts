import { existsSync } from 'node:fs';
import { freemem } from 'node:os';
import { gpuKvCacheBytes } from './gpu-memory.ts';
import { planKvCache } from './kv-cache-size.ts';
import type { ModelConfig } from './model/config.ts';
import { createModelPlan, gpuKvBlockBytes, kvBlockBytes } from './model/model-plan.ts';
import { cudaLibrary } from './native/load.ts';
import type { ModelPlan, NativeBackend, NativeModel, NativeModule } from './native/native.ts';
import type { OpenEngineOptions } from './open-engine.ts';

/** A model in memory, and what it runs on. */
export interface OpenedModel {
  readonly model: NativeModel;
  readonly plan: ModelPlan;
  readonly maxModelLen: number;
  /** Opens the same model again. */
  reopen(): NativeModel;
  readonly device: 'cpu' | 'cuda';
  /** The GPU's name. */
  readonly deviceName: string | undefined;
  /** With `--device auto`: why it is not a GPU. */
  readonly fallbackReason: string | undefined;
}

/**
 * Opens the model on the device that the options ask for; with `auto`, on a GPU if the CUDA library, its driver and
 * the model allow it, else on the CPU. Throws with what to change.
 */
export function openModel(
  options: OpenEngineOptions,
  config: ModelConfig,
  native: NativeModule,
  onProgress: ((part: number) => void) | undefined,
): OpenedModel {
  if (options.device === 'cpu') return openOnCpu(options, config, native, onProgress);
  try {
    return openOnGpu(options, config, native, onProgress);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    if (options.device === 'cuda') throw new Error(`--device cuda: ${reason}`, { cause });
    return { ...openOnCpu(options, config, native, onProgress), fallbackReason: reason };
  }
}

function openOnCpu(
  options: OpenEngineOptions,
  config: ModelConfig,
  native: NativeModule,
  onProgress: ((part: number) => void) | undefined,
): OpenedModel {
  if (options.weightDtype === 'F8_E4M3')
    throw new Error('--quantization fp8 is for GPUs; on a CPU use int8, which takes the same memory');
  if (options.kvCacheDtype === 'F8_E4M3')
    throw new Error('--kv-cache-dtype fp8 is for GPUs; on a CPU use int8, which takes the same memory');
  const { blocks, maxModelLen } = planKvCache({
    ...sizesOf(options, config),
    blockBytes: kvBlockBytes(config, options.kvCacheDtype),
    gpuMemoryUtilization: options.gpuMemoryUtilization,
    freeBytes: freemem(),
  });
  const plan = planOf(options, config, blocks, maxModelLen);
  return {
    model: native.open(plan, onProgress),
    plan,
    maxModelLen,
    reopen: () => native.open(plan),
    device: 'cpu',
    deviceName: undefined,
    fallbackReason: undefined,
  };
}

function openOnGpu(
  options: OpenEngineOptions,
  config: ModelConfig,
  native: NativeModule,
  onProgress: ((part: number) => void) | undefined,
): OpenedModel {
  const backend = openBackend(native, options.cudaLibrary ?? cudaLibrary());
  const gpuOptions: OpenEngineOptions =
    options.weightDtype === 'auto' ? { ...options, weightDtype: 'BF16' } : options;
  const { blocks, maxModelLen } = planKvCache({
    ...sizesOf(options, config),
    blockBytes: gpuKvBlockBytes(config, options.kvCacheDtype),
    gpuMemoryUtilization: 1,
    freeBytes: gpuKvCacheBytes(config, options, backend),
  });
  const plan = {
    ...planOf(gpuOptions, config, blocks, maxModelLen),
    ...(options.cudaKernels === undefined ? {} : { isa: options.cudaKernels }),
  };
  return {
    model: backend.open(plan, onProgress),
    plan,
    maxModelLen,
    reopen: () => backend.open(plan),
    device: 'cuda',
    deviceName: backend.name,
    fallbackReason: undefined,
  };
}

function openBackend(native: NativeModule, library: string): NativeBackend {
  if (!existsSync(library))
    throw new Error(
      `the CUDA library is not built: ${library} does not exist; run \`npm run build -- --cuda\` where nvcc is`,
    );
  return native.openBackend(library);
}

function sizesOf(options: OpenEngineOptions, config: ModelConfig) {
  return {
    blockSize: options.blockSize,
    modelMaxLen: config.maxPositionEmbeddings,
    maxModelLen: options.maxModelLen,
    numGpuBlocksOverride: options.numGpuBlocksOverride,
    kvCacheMemoryBytes: options.kvCacheMemoryBytes,
  };
}

function planOf(
  options: OpenEngineOptions,
  config: ModelConfig,
  blocks: number,
  maxModelLen: number,
): ModelPlan {
  return createModelPlan(
    options.model,
    {
      blocks,
      threads: options.threads,
      maxTokens: options.maxNumBatchedTokens,
      maxSamples: options.maxNumBatchedTokens,
      maxSequences: options.maxNumSeqs,
      maxModelLen,
      loadFormat: options.loadFormat,
      dummySeed: options.seed,
      weightDtype: options.weightDtype,
      kvCacheDtype: options.kvCacheDtype,
      ...(options.lora === undefined
        ? {}
        : { adapterSlots: options.lora.maxLoaded, maxAdapterRank: options.lora.maxRank }),
    },
    config,
  );
}
