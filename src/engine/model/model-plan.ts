import type { KvCacheDtype, ModelPlan } from '../native/native.ts';
import type { ModelConfig } from './config.ts';
import { readModelConfig, readModelWeights } from './model-files.ts';

/** Tokens per KV block; the kernels are written for it. */
export const BLOCK_SIZE = 16;

export interface ModelPlanOptions {
  /** KV blocks to allocate. */
  readonly blocks: number;
  readonly threads: number;
  /** Upper bounds of one step. */
  readonly maxTokens: number;
  readonly maxSamples: number;
  /** Sequences that have KV blocks at the same time; `maxTokens` unless given. */
  readonly maxSequences?: number;
  /** Longest sequence that will be computed; the model's own limit unless given. */
  readonly maxModelLen?: number;
  /** Room for LoRA adapters, and the largest rank of one projection; none unless given. */
  readonly adapterSlots?: number;
  readonly maxAdapterRank?: number;
  /** 'dummy': random weights, only config.json is read. */
  readonly loadFormat?: 'safetensors' | 'dummy';
  /** Seed of random weights; 0 unless given. */
  readonly dummySeed?: number;
  readonly weightDtype?: ModelPlan['weightDtype'];
  /** BF16 unless given. */
  readonly kvCacheDtype?: KvCacheDtype;
}

/** Reads a model folder or GGUF file into the plan that `NativeModule.open` takes. Throws CheckpointError. */
export function createModelPlan(
  model: string,
  options: ModelPlanOptions,
  config: ModelConfig = readModelConfig(model),
): ModelPlan {
  const isDummy = options.loadFormat === 'dummy';
  const { files, tensors } = isDummy ? { files: [], tensors: [] } : readModelWeights(model, config);
  const weightDtype = options.weightDtype ?? 'auto';
  return {
    hiddenSize: config.hiddenSize,
    layers: config.layers,
    heads: config.heads,
    kvHeads: config.kvHeads,
    headDim: config.headDim,
    intermediateSize: config.intermediateSize,
    vocabSize: config.vocabSize,
    rmsNormEps: config.rmsNormEps,
    rotaryDim: config.rotaryDim,
    ropeInverseFrequencies: ropeTables(config, options.maxModelLen ?? config.maxPositionEmbeddings),
    ropeAttentionFactors: Float32Array.from(config.ropes, ({ attentionFactor }) => attentionFactor),
    ropeOfLayer: Int32Array.from(config.ropeOfLayer),
    slidingWindows: Int32Array.from(config.slidingWindows),
    qkNorm: config.qkNorm,
    hasOutputNorms: config.hasOutputNorms,
    normOffset: config.normOffset,
    embeddingScale: config.embeddingScale,
    attentionScale: config.attentionScale,
    attentionSoftcap: config.attentionSoftcap,
    logitSoftcap: config.logitSoftcap,
    activation: config.activation,
    ...(config.experts === undefined
      ? {}
      : { experts: { ...config.experts, layers: Int32Array.from(config.experts.layers, Number) } }),
    tieWordEmbeddings: config.tieWordEmbeddings,
    files,
    tensors,
    ...(isDummy ? { dummySeed: options.dummySeed ?? 0 } : {}),
    // Random weights have no stored dtype to follow; config.json says which one they stand for.
    weightDtype: isDummy && weightDtype === 'auto' ? (config.dtype ?? 'BF16') : weightDtype,
    kvCacheDtype: options.kvCacheDtype ?? 'BF16',
    blockSize: BLOCK_SIZE,
    blocks: options.blocks,
    threads: options.threads,
    maxTokens: options.maxTokens,
    maxSamples: options.maxSamples,
    maxSequences: options.maxSequences ?? options.maxTokens,
    maxSequenceBlocks: Math.min(
      options.blocks,
      Math.ceil((options.maxModelLen ?? config.maxPositionEmbeddings) / BLOCK_SIZE),
    ),
    adapterSlots: options.adapterSlots ?? 0,
    maxAdapterRank: options.maxAdapterRank ?? 0,
  };
}

/** Tables of all kinds of layers back to back, for sequences of up to `maxModelLen` tokens. */
function ropeTables(config: ModelConfig, maxModelLen: number): Float32Array {
  const tables = config.ropes.map(({ inverseFrequencies, beyond }) =>
    beyond !== undefined && maxModelLen > beyond.positions ? beyond.inverseFrequencies : inverseFrequencies,
  );
  return Float32Array.from(tables.flatMap((table) => [...table]));
}

/**
 * Bytes of one KV block over all layers, as the native core lays it out: value channels padded to 16, and with I8
 * two scales of two bytes per token and head.
 */
export function kvBlockBytes(config: ModelConfig, kvCacheDtype: KvCacheDtype): number {
  const paddedHeadDim = Math.ceil(config.headDim / 16) * 16;
  const tokenBytes =
    (config.headDim + paddedHeadDim) * kvElementBytes[kvCacheDtype] + (kvCacheDtype === 'I8' ? 4 : 0);
  return config.layers * config.kvHeads * BLOCK_SIZE * tokenBytes;
}

const kvElementBytes: Readonly<Record<KvCacheDtype, number>> = { F32: 4, BF16: 2, I8: 1, F8_E4M3: 1 };

/** Channels of a head in a GPU's pages; 0 where there are too many. */
export function paddedGpuHead(headDim: number): number {
  return [64, 128, 256].find((padded) => headDim <= padded) ?? 0;
}

/** Bytes of one KV block over all layers in a GPU's pages. */
export function gpuKvBlockBytes(config: ModelConfig, kvCacheDtype: KvCacheDtype): number {
  const rowBytes = paddedGpuHead(config.headDim) * kvElementBytes[kvCacheDtype];
  return config.layers * config.kvHeads * BLOCK_SIZE * 2 * rowBytes;
}
