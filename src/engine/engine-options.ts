import type { Log } from '../telemetry/index.ts';
import type { KvAllocator } from './kv-allocator.ts';

/** How to serve one model; names as vLLM's, in camel case. Defaults are in `engineFlags`. */
export interface EngineOptions {
  /** Folder with config.json, safetensors and tokenizer.json, or a .gguf file. */
  readonly model: string;
  readonly host?: string;
  /** 0 = any free port. */
  readonly port?: number;
  /** Path of a Unix socket to listen on instead. */
  readonly uds?: string;
  /** YAML file with flags; those given otherwise go before it. Read by `engineOptionsFromFlags`. */
  readonly config?: string;
  /** Folder of another tokenizer than the model's. */
  readonly tokenizer?: string;
  /** Names that requests may use; the first one names the metrics. The folder's path if absent. */
  readonly servedModelName?: readonly string[];
  /** Any of them will do. */
  readonly apiKey?: string | readonly string[];
  /** Origins whose pages may call, `*` for any; any if absent. */
  readonly allowedOrigins?: readonly string[];
  /** PEM files, as vLLM's flags: see `TlsFileOptions`. */
  readonly sslCertfile?: string;
  readonly sslKeyfile?: string;
  readonly sslCaCerts?: string;
  readonly sslCertReqs?: number;
  readonly sslCiphers?: string;
  readonly returnTokensAsTokenIds?: boolean;
  readonly maxModelLen?: number;
  readonly maxNumSeqs?: number;
  readonly maxNumBatchedTokens?: number;
  readonly longPrefillTokenThreshold?: number;
  readonly maxNumPartialPrefills?: number;
  readonly maxLongPartialPrefills?: number;
  readonly blockSize?: number;
  readonly numGpuBlocksOverride?: number;
  readonly kvCacheMemoryBytes?: number;
  readonly gpuMemoryUtilization?: number;
  readonly enablePrefixCaching?: boolean;
  readonly enableChunkedPrefill?: boolean;
  /** Two steps in flight. Absent: on a GPU, without speculation. */
  readonly asyncScheduling?: boolean;
  readonly prefixHashSeed?: string;
  /** vLLM's keys; see `readKvEventsConfig`. */
  readonly kvEventsConfig?: Readonly<Record<string, unknown>>;
  /** vLLM's keys; see `readSpeculativeConfig`. */
  readonly speculativeConfig?: Readonly<Record<string, unknown>>;
  readonly kvAllocator?: KvAllocator;
  readonly schedulingPolicy?: 'fcfs' | 'priority';
  readonly loadFormat?: 'auto' | 'safetensors' | 'dummy';
  readonly dtype?: 'auto' | 'bfloat16' | 'float16' | 'float32';
  /** `int8`: projections and embeddings are quantized on load. */
  readonly quantization?: 'int8' | 'fp8';
  /** `int8` is short for `int8_per_token_head`: 8 bits, a scale per token and head. */
  readonly kvCacheDtype?: 'auto' | 'bfloat16' | 'float32' | 'int8' | 'int8_per_token_head' | 'fp8';
  /** `auto`: a GPU where there is one that can run the model, else the CPU. */
  readonly device?: 'auto' | 'cpu' | 'cuda';
  readonly threads?: number;
  readonly seed?: number;
  /** `auto`: defaults of sampling come from generation_config.json; `vllm`: from the API alone. */
  readonly generationConfig?: 'auto' | 'vllm';
  /** Fields as in generation_config.json, which go before it. */
  readonly overrideGenerationConfig?: Readonly<Record<string, unknown>>;
  readonly maxLogprobs?: number;
  /** vLLM's keys; see `readPoolingConfig`. */
  readonly poolerConfig?: Readonly<Record<string, unknown>>;
  /** Path of a Jinja file that replaces the model's chat template. */
  readonly chatTemplate?: string;
  readonly chatTemplateContentFormat?: 'auto' | 'string' | 'openai';
  /** Requests may bring a chat template of their own. */
  readonly trustRequestChatTemplate?: boolean;
  /** Variables of the template, below those of requests. */
  readonly defaultChatTemplateKwargs?: Readonly<Record<string, unknown>>;
  readonly enableLora?: boolean;
  /** `name=path` each, or JSON: see `readLoraConfig`. */
  readonly loraModules?: readonly string[];
  readonly maxLoras?: number;
  readonly maxCpuLoras?: number;
  readonly maxLoraRank?: number;
  /** Keep the latest responses of `/v1/responses` in memory. */
  readonly enableResponsesStore?: boolean;
  readonly enableSleepMode?: boolean;
  /** Tokens per event of a stream, the first and the last aside. */
  readonly streamInterval?: number;
  /** Usage in streams even if a request does not ask for it. */
  readonly enableForceIncludeUsage?: boolean;
  /** Answers bear `X-Request-Id`. */
  readonly enableRequestIdHeaders?: boolean;
  /** Watch how long cached KV blocks stay, and which part of them. */
  readonly kvCacheMetrics?: boolean;
  readonly kvCacheMetricsSample?: number;
  readonly prefixCachingHashAlgo?: 'sha256_cbor';
  /** There is one engine on one device: 1. */
  readonly tensorParallelSize?: number;
  readonly pipelineParallelSize?: number;
  readonly dataParallelSize?: number;
  readonly enableAutoToolChoice?: boolean;
  readonly toolCallParser?: string;
  readonly reasoningParser?: string;
  readonly log?: Log;
  /** The engine died. By default the process logs it and exits with 1. */
  readonly onCrash?: (error: Error) => void;
}
