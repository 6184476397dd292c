import { z } from 'zod';
import { count, milliseconds } from './fields.ts';

const endpoint = z.strictObject({
  name: z.string().min(1).optional().describe('Unique in the pool; the address by default.'),
  address: z
    .string()
    .regex(/^(\[[0-9a-fA-F:]+\]|[^\s:/]+):[0-9]{1,5}$/, {
      error: 'expected `host:port` or `[ipv6]:port`',
    })
    .describe('`host:port` or `[ipv6]:port` of an engine.'),
  labels: z.record(z.string(), z.string()).default({}).describe('Free labels, for filters and scorers.'),
});

const metric = (what: string) =>
  z
    .string()
    .regex(/^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})?$/, { error: 'expected `name` or `name{label=value}`' })
    .optional()
    .describe(what);

const engineMetrics = z.strictObject({
  name: z.string().min(1).describe('A built-in engine of this name is replaced.'),
  queuedRequests: metric('Requests in the queue.'),
  runningRequests: metric('Requests in the batch.'),
  kvCacheUsage: metric('Used share of the KV blocks, 0 to 1.'),
  adapters: metric('LoRA adapters, in labels as vllm:lora_requests_info has them.'),
  cacheConfig: metric('Carries block size and number of blocks as labels.'),
  blockSizeLabel: z.string().default('block_size').describe('Label of cacheConfig.'),
  totalBlocksLabel: z.string().default('num_gpu_blocks').describe('Label of cacheConfig.'),
  blockSize: metric('Tokens per KV block, as a value.'),
  totalBlocks: metric('KV blocks, as a value.'),
});

export const pool = z
  .strictObject({
    endpoints: z.array(endpoint).default([]).describe('The engines, when they are known beforehand.'),
    file: z
      .string()
      .min(1)
      .optional()
      .describe('A YAML or JSON file with `endpoints:` as above; watched, so it can change while running.'),
    scrape: z
      .strictObject({
        intervalMs: milliseconds(200, "How often each engine's /metrics is read."),
        timeoutMs: milliseconds(1000, 'After it one reading counts as failed.'),
        scheme: z.enum(['http', 'https']).default('http').describe('Of /metrics and /v1/models.'),
        path: z
          .string()
          .regex(/^\//, { error: 'expected a path such as /metrics' })
          .default('/metrics')
          .describe('Where engines tell their figures; /prometheus/metrics of trtllm-serve.'),
        verifyTls: z
          .boolean()
          .default(true)
          .describe('With https: take only certificates of known authorities, NODE_EXTRA_CA_CERTS included.'),
        apiKeyEnv: z
          .string()
          .min(1)
          .optional()
          .describe(
            'Environment variable with the key that engines ask for at /v1/models; requests carry their own.',
          ),
      })
      .prefault({})
      .describe('Reading of the engines, milliseconds.'),
    engineMetrics: z
      .array(engineMetrics)
      .default([])
      .describe('Metric names of engines beside vllm, sglang, trtllm-serve, triton-tensorrt-llm and triton.'),
  })
  .prefault({})
  .describe('The engines to choose from.');

export const prefixIndex = z
  .strictObject({
    blockTokens: count(64, 'Prompt tokens per remembered block.'),
    maxPromptTokens: count(131_072, 'Longer prompts are remembered up to here.'),
    blocksPerEndpoint: count(31_250, 'Remembered blocks per engine; the oldest are forgotten.'),
    followsEngines: z
      .boolean()
      .default(true)
      .describe(
        'As many blocks as the engine says that its memory holds, where it does; false where more are kept, in an offload tier.',
      ),
  })
  .prefault({})
  .describe('What is believed to lie in the KV caches of the engines.');
