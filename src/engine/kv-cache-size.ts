/** What decides how many KV blocks there are. */
export interface KvCacheRequest {
  /** Bytes of one block over all layers. */
  readonly blockBytes: number;
  /** Tokens per block. */
  readonly blockSize: number;
  /** Longest sequence the model was made for. */
  readonly modelMaxLen: number;
  readonly maxModelLen: number | undefined;
  readonly numGpuBlocksOverride: number | undefined;
  readonly kvCacheMemoryBytes: number | undefined;
  /** 0–1: on a CPU, the part of the memory that is free at start. */
  readonly gpuMemoryUtilization: number | undefined;
  readonly freeBytes: number;
}

export interface KvCachePlan {
  readonly blocks: number;
  readonly maxModelLen: number;
}

const defaultBytes = 4 * 2 ** 30;
const defaultPartOfFree = 0.25;
/** 262,144 tokens: enough for tiny models, whose blocks cost next to nothing, unless more is asked for. */
const defaultMaxBlocks = 16_384;

/**
 * Sizes the KV cache: by number of blocks if that is given, else by bytes, else by part of the free memory,
 * else 4 GiB, but no more than a quarter of the free memory and 262,144 tokens. A context length that was
 * asked for must fit; one that the model merely allows is shortened to what fits.
 */
export function planKvCache(request: KvCacheRequest): KvCachePlan {
  const { blockBytes, blockSize, modelMaxLen, maxModelLen } = request;
  if (maxModelLen !== undefined && maxModelLen > modelMaxLen)
    throw new Error(
      `max_model_len ${maxModelLen} is more than the ${modelMaxLen} tokens that the model was made for ` +
        '(max_position_embeddings in config.json); ask for less',
    );
  const blocks = requestedBlocks(request);
  const bytes = blocks * blockBytes;
  if (bytes > request.freeBytes)
    throw new Error(
      `the KV cache would take ${mebibytes(bytes)}, and ${mebibytes(request.freeBytes)} are free: ` +
        'lower --kv-cache-memory-bytes or --num-gpu-blocks-override',
    );
  const tokens = blocks * blockSize;
  if (maxModelLen !== undefined && tokens < maxModelLen)
    throw new Error(
      `the KV cache has room for ${tokens} tokens, one sequence of max_model_len ${maxModelLen} needs ` +
        `${mebibytes(Math.ceil(maxModelLen / blockSize) * blockBytes)}: lower --max-model-len or raise ` +
        '--kv-cache-memory-bytes',
    );
  if (tokens < 2 * blockSize)
    throw new Error(
      `the KV cache has room for ${tokens} tokens only; one block takes ${mebibytes(blockBytes)}: ` +
        'raise --kv-cache-memory-bytes',
    );
  return { blocks, maxModelLen: maxModelLen ?? Math.min(modelMaxLen, tokens) };
}

function requestedBlocks(request: KvCacheRequest): number {
  const { blockBytes, numGpuBlocksOverride, kvCacheMemoryBytes, gpuMemoryUtilization, freeBytes } = request;
  if (numGpuBlocksOverride !== undefined) return numGpuBlocksOverride;
  if (kvCacheMemoryBytes !== undefined) return Math.floor(kvCacheMemoryBytes / blockBytes);
  if (gpuMemoryUtilization !== undefined) return Math.floor((freeBytes * gpuMemoryUtilization) / blockBytes);
  return Math.min(
    defaultMaxBlocks,
    Math.floor(Math.min(defaultBytes, freeBytes * defaultPartOfFree) / blockBytes),
  );
}

function mebibytes(bytes: number): string {
  return bytes < 2 ** 20 ? `${Math.ceil(bytes / 2 ** 10)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
