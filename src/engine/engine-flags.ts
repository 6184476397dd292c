import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { EngineOptions } from './engine-options.ts';
import { kvAllocators } from './kv-allocator.ts';
import { reasoningFormats, toolCallFormats } from './output-parsers/index.ts';

export interface EngineFlag {
  /** As on the command line, without dashes; vLLM's name where vLLM has it. */
  readonly name: string;
  readonly option: Exclude<keyof EngineOptions, 'log' | 'onCrash' | 'model'>;
  /**
   * `size`: an integer that may end in k, K, m, M, g or G (lower case: thousands, upper case: 1024s).
   * `json`: a JSON object.
   */
  readonly type: 'string' | 'integer' | 'size' | 'number' | 'boolean' | 'list' | 'json';
  readonly choices?: readonly string[];
  readonly default: string | number | boolean | undefined;
  readonly help: string;
}

/** The flags of `pointsman engine MODEL`. A boolean flag also has its `--no-` form. */
export const engineFlags: readonly EngineFlag[] = [
  { name: 'host', option: 'host', type: 'string', default: '127.0.0.1', help: 'Address to listen on.' },
  { name: 'port', option: 'port', type: 'integer', default: 8000, help: 'Port to listen on; 0 picks one.' },
  {
    name: 'uds',
    option: 'uds',
    type: 'string',
    default: undefined,
    help: 'Unix socket to listen on instead of a port.',
  },
  {
    name: 'config',
    option: 'config',
    type: 'string',
    default: undefined,
    help: 'YAML file with flags by name; the command line goes before it.',
  },
  {
    name: 'tokenizer',
    option: 'tokenizer',
    type: 'string',
    default: undefined,
    help: 'Folder of another tokenizer than the model’s own.',
  },
  {
    name: 'served-model-name',
    option: 'servedModelName',
    type: 'list',
    default: undefined,
    help: 'Names for the "model" field of requests; the first one labels metrics. Default: MODEL.',
  },
  {
    name: 'api-key',
    option: 'apiKey',
    type: 'string',
    default: undefined,
    help: 'Key that requests must bear; protects everything but /health, /ping and /metrics.',
  },
  {
    name: 'device',
    option: 'device',
    type: 'string',
    choices: ['auto', 'cpu', 'cuda'],
    default: 'auto',
    help: 'Where the model runs; auto is a GPU where there is one that can run it, else the CPU.',
  },
  {
    name: 'max-model-len',
    option: 'maxModelLen',
    type: 'size',
    default: undefined,
    help: 'Longest sequence, prompt and output. Default: the model’s own, or what the KV cache holds.',
  },
  {
    name: 'max-num-seqs',
    option: 'maxNumSeqs',
    type: 'integer',
    default: 256,
    help: 'Sequences that run at the same time.',
  },
  {
    name: 'max-num-batched-tokens',
    option: 'maxNumBatchedTokens',
    type: 'size',
    default: 2048,
    help: 'Tokens that one step computes. Less gives smoother streams, more gives faster prompts.',
  },
  {
    name: 'long-prefill-token-threshold',
    option: 'longPrefillTokenThreshold',
    type: 'integer',
    default: 0,
    help: 'Tokens of one prompt that one step computes; 0 leaves it to the step’s own limit.',
  },
  {
    name: 'enable-chunked-prefill',
    option: 'enableChunkedPrefill',
    type: 'boolean',
    default: true,
    help: 'Compute long prompts over several steps, mixed with decoding.',
  },
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
    name: 'scheduling-policy',
    option: 'schedulingPolicy',
    type: 'string',
    choices: ['fcfs', 'priority'],
    default: 'fcfs',
    help: 'Who runs first: by arrival, or by the request’s "priority", lower first.',
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
    name: 'speculative-config',
    option: 'speculativeConfig',
    type: 'json',
    default: undefined,
    help: 'Drafts tokens from the text itself, such as {"method":"ngram","num_speculative_tokens":4}.',
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
    name: 'dtype',
    option: 'dtype',
    type: 'string',
    choices: ['auto', 'bfloat16', 'float16', 'float32'],
    default: 'auto',
    help: 'How weights are held in memory; auto is as in the checkpoint.',
  },
  {
    name: 'quantization',
    option: 'quantization',
    type: 'string',
    choices: ['int8'],
    default: undefined,
    help: 'int8: projections and embeddings are quantized on load, in groups of 32; replaces --dtype for them.',
  },
  {
    name: 'load-format',
    option: 'loadFormat',
    type: 'string',
    choices: ['auto', 'safetensors', 'dummy'],
    default: 'auto',
    help: 'dummy: random weights from config.json alone; without tokenizer.json, text is bytes.',
  },
  {
    name: 'threads',
    option: 'threads',
    type: 'integer',
    default: undefined,
    help: 'Threads that compute. Default: the physical cores that this process may use.',
  },
  {
    name: 'seed',
    option: 'seed',
    type: 'integer',
    default: 0,
    help: 'Seeds random weights and the sampling of requests without a seed.',
  },
  {
    name: 'generation-config',
    option: 'generationConfig',
    type: 'string',
    choices: ['auto', 'vllm'],
    default: 'auto',
    help: 'Where sampling defaults come from: generation_config.json, or the API’s own.',
  },
  {
    name: 'override-generation-config',
    option: 'overrideGenerationConfig',
    type: 'json',
    default: undefined,
    help: 'Sampling defaults that go before the model’s, such as {"temperature":0.6}.',
  },
  {
    name: 'max-logprobs',
    option: 'maxLogprobs',
    type: 'integer',
    default: 20,
    help: 'Log-probabilities per token that a request may ask for.',
  },
  {
    name: 'chat-template',
    option: 'chatTemplate',
    type: 'string',
    default: undefined,
    help: 'Jinja file that replaces the model’s chat template.',
  },
  {
    name: 'enable-lora',
    option: 'enableLora',
    type: 'boolean',
    default: false,
    help: 'Serve LoRA adapters beside the model, and /v1/load_lora_adapter, /v1/unload_lora_adapter.',
  },
  {
    name: 'lora-modules',
    option: 'loraModules',
    type: 'list',
    default: undefined,
    help: 'Adapters to load at start, name=path or {"name":…,"path":…,"base_model_name":…} each: PEFT folders.',
  },
  {
    name: 'max-loras',
    option: 'maxLoras',
    type: 'integer',
    default: 1,
    help: 'Adapters that run in one step.',
  },
  {
    name: 'max-cpu-loras',
    option: 'maxCpuLoras',
    type: 'integer',
    default: undefined,
    help: 'Adapters in memory. Default: --max-loras, or as many as --lora-modules names.',
  },
  {
    name: 'max-lora-rank',
    option: 'maxLoraRank',
    type: 'integer',
    default: 16,
    help: 'Largest rank of an adapter.',
  },
  {
    name: 'enable-sleep-mode',
    option: 'enableSleepMode',
    type: 'boolean',
    default: false,
    help: 'Serves /sleep and /wake_up, which give the memory of weights and KV cache back and load again.',
  },
  {
    name: 'stream-interval',
    option: 'streamInterval',
    type: 'integer',
    default: 1,
    help: 'Tokens per event of a stream; the first and the last never wait.',
  },
  {
    name: 'enable-force-include-usage',
    option: 'enableForceIncludeUsage',
    type: 'boolean',
    default: false,
    help: 'Send usage at the end of every stream, asked for or not.',
  },
  {
    name: 'enable-request-id-headers',
    option: 'enableRequestIdHeaders',
    type: 'boolean',
    default: false,
    help: 'Answer with X-Request-Id: that of the request, or a new one.',
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
  {
    name: 'prefix-caching-hash-algo',
    option: 'prefixCachingHashAlgo',
    type: 'string',
    choices: ['sha256_cbor'],
    default: 'sha256_cbor',
    help: 'How blocks are hashed; vLLM’s other algorithms are its own or Python’s.',
  },
  ...(['tensor', 'pipeline', 'data'] as const).map(
    (kind): EngineFlag => ({
      name: `${kind}-parallel-size`,
      option: `${kind}ParallelSize`,
      type: 'integer',
      choices: ['1'],
      default: 1,
      help: 'Always 1: a model runs on one device here, more engines behind one gateway.',
    }),
  ),
  {
    name: 'enable-auto-tool-choice',
    option: 'enableAutoToolChoice',
    type: 'boolean',
    default: false,
    help: 'Recognizes tool calls in chat answers; needs --tool-call-parser.',
  },
  {
    name: 'tool-call-parser',
    option: 'toolCallParser',
    type: 'string',
    choices: Object.keys(toolCallFormats),
    default: undefined,
    help: 'How the model writes tool calls.',
  },
  {
    name: 'reasoning-parser',
    option: 'reasoningParser',
    type: 'string',
    choices: Object.keys(reasoningFormats),
    default: undefined,
    help: 'How the model marks its reasoning, which answers then carry apart from the content.',
  },
];

/** vLLM's switches that change nothing here: its command lines work as they are. */
export const flagsWithoutMeaning: readonly string[] = [
  'async-scheduling',
  'disable-log-requests',
  'disable-log-stats',
  'enable-prompt-tokens-details',
  'enforce-eager',
  'trust-remote-code',
];

export type FlagValue = string | number | boolean | readonly string[] | object | undefined;

/**
 * Options from what was given on the command line, keyed by flag name (`max-model-len`) or option name
 * (`maxModelLen`); values may still be text. Throws one message with everything that is wrong.
 */
export function engineOptionsFromFlags(
  model: string,
  values: Readonly<Record<string, FlagValue>>,
): EngineOptions {
  const problems: string[] = [];
  const options: Record<string, unknown> = { model };
  const given = (flag: EngineFlag, from: Readonly<Record<string, FlagValue>>) =>
    from[flag.name] ?? from[flag.option];
  const fromFile = readConfigFile(values['config'], problems);
  for (const flag of engineFlags) {
    const value = given(flag, values) ?? given(flag, fromFile);
    if (value === undefined) continue;
    try {
      options[flag.option] = parseFlag(flag, value);
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return options as unknown as EngineOptions;
}

/** Flags of `--config`, by name with dashes; underscores are dashes, as in vLLM. */
function readConfigFile(path: FlagValue, problems: string[]): Readonly<Record<string, FlagValue>> {
  if (path === undefined) return {};
  try {
    const content: unknown = parse(readFileSync(String(path), 'utf8'));
    if (typeof content !== 'object' || content === null || Array.isArray(content))
      throw new Error('it must hold flags by name');
    const flags = Object.entries(content).map(
      ([name, value]) => [name.replaceAll('_', '-'), value as FlagValue] as const,
    );
    const known = new Set([...engineFlags.map(({ name }) => name), ...flagsWithoutMeaning]);
    const unknown = flags.filter(([name]) => !known.has(name));
    if (unknown.length > 0)
      throw new Error(`it has unknown flags: ${unknown.map(([name]) => name).join(', ')}`);
    return Object.fromEntries(flags);
  } catch (error) {
    problems.push(`--config ${String(path)} cannot be used: ${(error as Error).message}`);
    return {};
  }
}

function parseFlag(flag: EngineFlag, value: FlagValue): unknown {
  const refuse = (expected: string) =>
    new Error(`--${flag.name} must be ${expected}, got ${JSON.stringify(value)}`);
  if (flag.choices !== undefined && !flag.choices.includes(String(value)))
    throw refuse(`one of ${flag.choices.join(', ')}`);
  switch (flag.type) {
    case 'string':
      return String(value);
    case 'list':
      return typeof value === 'string' ? splitList(value) : value;
    case 'json': {
      const object = typeof value === 'string' ? parseJson(value) : value;
      if (typeof object !== 'object' || object === null || Array.isArray(object))
        throw refuse('a JSON object');
      return object;
    }
    case 'boolean':
      if (value === true || value === 'true') return true;
      if (value === false || value === 'false') return false;
      throw refuse('true or false');
    case 'number': {
      const number = Number(value);
      if (value === '' || !Number.isFinite(number) || number <= 0) throw refuse('a positive number');
      return number;
    }
    case 'integer':
    case 'size': {
      const number = flag.type === 'size' ? parseSize(String(value)) : Number(value);
      if (value === '' || !Number.isSafeInteger(number) || number < 0) throw refuse('a whole number');
      return number;
    }
  }
}

/** By commas, unless it is JSON. */
function splitList(text: string): readonly string[] {
  return /^\s*[[{]/.test(text) ? [text] : text.split(',');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON: the caller says what was expected.
    return undefined;
  }
}

const multipliers: Readonly<Record<string, number>> = {
  k: 1e3,
  K: 2 ** 10,
  m: 1e6,
  M: 2 ** 20,
  g: 1e9,
  G: 2 ** 30,
};

function parseSize(text: string): number {
  const [, digits, unit] = /^([\d.]+)([kKmMgG]?)$/.exec(text.trim()) ?? [];
  return digits === undefined ? Number.NaN : Math.round(Number(digits) * (multipliers[unit ?? ''] ?? 1));
}
