import type { ModelConfig } from './model/config.ts';
import { paddedGpuHead } from './model/model-plan.ts';
import type { ModelPlan } from './native/native.ts';

/** As in vLLM: the part of the GPU's memory that the engine may use in all. */
const defaultUtilization = 0.9;
/** The driver's own state, recorded graphs, code, and what allocations are rounded up by. */
const reservedBytes = 768 * 2 ** 20;
/** Rows of logits that are computed at once. */
const logitRows = 256;

/**
 * Bytes that the KV cache may take on a GPU: the part of all memory that the engine may use, less what others use of
 * it, the weights, and scratch for the largest step. Throws if nothing is left.
 */
export function gpuKvCacheBytes(
  config: ModelConfig,
  options: {
    readonly gpuMemoryUtilization: number | undefined;
    readonly maxNumBatchedTokens: number;
    readonly weightDtype?: ModelPlan['weightDtype'];
  },
  device: { readonly memoryBytes: number; readonly freeBytes: number },
): number {
  const utilization = options.gpuMemoryUtilization ?? defaultUtilization;
  const used = device.memoryBytes - device.freeBytes;
  const isFp8 = options.weightDtype === 'F8_E4M3';
  const needed =
    weightBytes(config, isFp8) + scratchBytes(config, options.maxNumBatchedTokens, isFp8) + reservedBytes;
  const left = Math.floor(device.memoryBytes * utilization) - used - needed;
  if (left > 0) return left;
  const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  throw new Error(
    `the GPU has ${mebibytes(device.memoryBytes)}, of which ${mebibytes(used)} are in use; with ` +
      `--gpu-memory-utilization ${utilization} nothing is left for the KV cache beside weights and scratch of ` +
      `${mebibytes(needed)}: free memory, raise --gpu-memory-utilization or lower --max-num-batched-tokens`,
  );
}

function weightBytes(config: ModelConfig, isFp8: boolean): number {
  const { hiddenSize: hidden, intermediateSize: inner, heads, kvHeads, headDim, layers, vocabSize } = config;
  const { experts } = config;
  const attention = hidden * headDim * (2 * heads + 2 * kvHeads);
  const embeddings = vocabSize * hidden * (config.tieWordEmbeddings ? 1 : 2);
  const bytesOf = (weights: number, outputs: number) => (isFp8 ? weights + 4 * outputs : 2 * weights);
  const mlpOf = (size: number, count: number) =>
    bytesOf(count * 3 * hidden * size, count * (2 * size + hidden));
  const mixtures = experts?.layers.filter(Boolean).length ?? 0;
  const mixed =
    experts === undefined ? 0 : mlpOf(experts.intermediateSize, experts.count) + 2 * hidden * experts.count;
  return (
    2 * embeddings +
    layers * bytesOf(attention, hidden + (heads + 2 * kvHeads) * headDim) +
    (layers - mixtures) * mlpOf(inner, 1) +
    mixtures * mixed
  );
}

/** As the CUDA model allocates it, generously. */
function scratchBytes(config: ModelConfig, rows: number, isFp8: boolean): number {
  const { hiddenSize: hidden, intermediateSize: inner, heads, kvHeads, headDim, vocabSize } = config;
  const padded = paddedGpuHead(headDim);
  const { experts } = config;
  // Of a pair of row and expert: gate, up and their product, the output, and lists.
  const mixed =
    experts === undefined
      ? 0
      : experts.perToken * (10 * experts.intermediateSize + 4 * hidden + 16) + 4 * experts.count;
  const perRow =
    20 * hidden + 4 * (heads + 2 * kvHeads) * headDim + 6 * heads * padded + 10 * inner + 8 * headDim + mixed;
  const widest = Math.max(2 * inner, vocabSize, hidden);
  // Of 8-bit weights the largest matrix of a layer is also held as bfloat16 while many rows meet it.
  const expanded = isFp8 ? 2 * hidden * Math.max(2 * inner, (heads + 2 * kvHeads) * headDim) : 0;
  return (
    expanded +
    Math.max(rows, 256) * perRow +
    12 * logitRows * vocabSize +
    4 * 8 * 64 * Math.min(widest, 65_536)
  );
}
