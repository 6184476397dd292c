import { kvAllocators } from '../kv-allocator.ts';
import type { EngineFlag } from './engine-flag.ts';

/** The KV cache: its room, its sharing, what is told of it. */
export const kvCacheFlags: readonly EngineFlag[] = [
  {
    name: 'enable-prefix-caching',
    option: 'enablePrefixCaching',
    type: 'boolean',
    default: true,
    help: 'Reuse the KV blocks of prompts that begin alike.',
  },
  {
    name: 'prefix-hash-seed',
    option: 'prefixHashSeed',
    type: 'string',
    default: undefined,
    help: 'Makes block hashes equal between engines (vLLM: PYTHONHASHSEED). Default: random.',
  },
  {
    name: 'prefix-caching-hash-algo',
    option: 'prefixCachingHashAlgo',
    type: 'string',
    choices: ['sha256_cbor'],
    default: 'sha256_cbor',
    help: 'How blocks are hashed; vLLM’s other algorithms are its own or Python’s.',
  },
  {
    name: 'block-size',
    option: 'blockSize',
    type: 'integer',
    choices: ['16'],
    default: 16,
    help: 'Tokens per KV block.',
  },
  {
    name: 'num-gpu-blocks-override',
    option: 'numGpuBlocksOverride',
    type: 'integer',
    default: undefined,
    help: 'KV blocks to allocate, whatever memory there is.',
  },
  {
    name: 'kv-cache-memory-bytes',
    option: 'kvCacheMemoryBytes',
    type: 'size',
    default: undefined,
    help: 'Memory for the KV cache. Default: 4G, at most a quarter of what is free.',
  },
  {
    name: 'gpu-memory-utilization',
    option: 'gpuMemoryUtilization',
    type: 'number',
    default: undefined,
    help: 'On a CPU, the part of free main memory that the KV cache may take, 0 to 1; on a GPU, the part of its memory that the engine may use in all, 0.9 unless given.',
  },
  {
    name: 'kv-cache-dtype',
    option: 'kvCacheDtype',
    type: 'string',
    choices: ['auto', 'bfloat16', 'float32', 'int8', 'int8_per_token_head', 'fp8'],
    default: 'auto',
    help: 'How keys and values are stored; auto is bfloat16. int8 has a scale per token and head, and twice the blocks; fp8 (e4m3) is its like on GPUs.',
  },
  {
    name: 'kv-allocator',
    option: 'kvAllocator',
    type: 'string',
    choices: kvAllocators,
    default: 'paged',
    help: 'How sequences get KV memory; the reservations are for comparison and cache no prefixes.',
  },
  {
    name: 'kv-events-config',
    option: 'kvEventsConfig',
    type: 'json',
    default: undefined,
    help: 'Publishes KV events, such as {"enable_kv_cache_events":true,"endpoint":"tcp://*:5557"}.',
  },
  {
    name: 'kv-cache-metrics',
    option: 'kvCacheMetrics',
    type: 'boolean',
    default: false,
    help: 'Measure how long cached KV blocks stay: vllm:kv_block_….',
  },
  {
    name: 'kv-cache-metrics-sample',
    option: 'kvCacheMetricsSample',
    type: 'number',
    default: 0.01,
    help: 'Part of the blocks that --kv-cache-metrics watches, up to 1.',
  },
];
