import type { ModelConfig } from './model/config.ts';
import { paddedGpuHead } from './model/model-plan.ts';

/** As in vLLM: the part of the GPU's memory that the engine may use in all. */
const defaultUtilization = 0.9;
/** The driver's own state, recorded graphs, code, and what allocations are rounded up by. */
const reservedBytes = 768 * 2 ** 20;
/** Rows of logits that are computed at once. */
const logitRows = 256;

/**
 * Bytes that the KV cache may take on a GPU: the part of all memory that the engine may use, less what others use of
 * it, the weights as bfloat16, and scratch for the largest step. Throws if nothing is left.
 */
export function gpuKvCacheBytes(
  config: ModelConfig,
  options: { readonly gpuMemoryUtilization: number | undefined; readonly maxNumBatchedTokens: number },
  device: { readonly memoryBytes: number; readonly freeBytes: number },
): number {
  const utilization = options.gpuMemoryUtilization ?? defaultUtilization;
  const used = device.memoryBytes - device.freeBytes;
  const needed = weightBytes(config) + scratchBytes(config, options.maxNumBatchedTokens) + reservedBytes;
  const left = Math.floor(device.memoryBytes * utilization) - used - needed;
  if (left > 0) return left;
  const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  throw new Error(
    `the GPU has ${mebibytes(device.memoryBytes)}, of which ${mebibytes(used)} are in use; with ` +
      `--gpu-memory-utilization ${utilization} nothing is left for the KV cache beside weights and scratch of ` +
      `${mebibytes(needed)}: free memory, raise --gpu-memory-utilization or lower --max-num-batched-tokens`,
  );
}

function weightBytes(config: ModelConfig): number {
  const { hiddenSize: hidden, intermediateSize: inner, heads, kvHeads, headDim, layers, vocabSize } = config;
  const attention = hidden * headDim * (2 * heads + 2 * kvHeads);
  const embeddings = vocabSize * hidden * (config.tieWordEmbeddings ? 1 : 2);
  return 2 * (embeddings + layers * (attention + 3 * hidden * inner));
}

/** As the CUDA model allocates it, generously. */
function scratchBytes(config: ModelConfig, rows: number): number {
  const { hiddenSize: hidden, intermediateSize: inner, heads, kvHeads, headDim, vocabSize } = config;
  const padded = paddedGpuHead(headDim);
  const perRow =
    20 * hidden + 4 * (heads + 2 * kvHeads) * headDim + 6 * heads * padded + 10 * inner + 8 * headDim;
  const widest = Math.max(2 * inner, vocabSize, hidden);
  return Math.max(rows, 256) * perRow + 12 * logitRows * vocabSize + 4 * 8 * 64 * Math.min(widest, 65_536);
}
