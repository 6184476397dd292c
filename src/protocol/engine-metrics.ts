/**
 * The few figures of an engine's `/metrics` that routing needs, scanned from the bytes of the Prometheus text
 * format: lines of other metrics cost one hash over their name and are never made into strings.
 *
 * | figure        | vLLM                        | SGLang                     | trtllm-serve                     | Triton with TensorRT-LLM                    |
 * | ------------- | --------------------------- | -------------------------- | -------------------------------- | ------------------------------------------- |
 * | queued        | vllm:num_requests_waiting   | sglang:num_queue_reqs      | trtllm_num_requests_waiting      | nv_trt_llm_request_metrics waiting          |
 * | running       | vllm:num_requests_running   | sglang:num_running_reqs    | trtllm_num_requests_running      | nv_trt_llm_request_metrics scheduled        |
 * | KV usage      | vllm:kv_cache_usage_perc    | sglang:token_usage         | trtllm_kv_cache_utilization      | nv_trt_llm_kv_cache_block_metrics fraction  |
 * | block, blocks | vllm:cache_config_info      | sglang:cache_config_info   | trtllm_kv_cache_tokens_per_block | ... tokens_per, max                         |
 * | LoRA          | vllm:lora_requests_info     |                            |                                  |                                             |
 * | asleep        | vllm:engine_sleep_state     |                            |                                  |                                             |
 *
 * Triton without TensorRT-LLM tells its queue alone, nv_inference_pending_request_count: nv_inference_exec_count,
 * which llm-d reads as the running requests, counts all executions since the start.
 *
 * Several series of one name are several data-parallel ranks: requests and blocks are summed, KV usage is the
 * mean. Values that are no finite number are passed over.
 */

export interface EngineMetrics {
  readonly queuedRequests: number;
  readonly runningRequests: number;
  /** 0 to 1. */
  readonly kvCacheUsage: number;
  readonly blockSizeTokens: number | undefined;
  readonly totalBlocks: number | undefined;
  readonly runningAdapters: readonly string[];
  readonly waitingAdapters: readonly string[];
  readonly maxAdapters: number | undefined;
  /** It answers, but serves nothing until it is woken. Absent: it is awake. */
  readonly isAsleep?: true;
  /** Unix time at which the engine's process started, seconds; another value means another process. */
  readonly processStartSeconds: number | undefined;
}

/** Sums while scanning. Mutable, one per scan. */
interface Tally {
  queued: Series;
  running: Series;
  kvUsage: Series;
  /** vLLM before 0.10 has only this name; later versions may have both. */
  oldKvUsage: Series;
  blockSizeTokens: number | undefined;
  blocks: Series;
  loraSeconds: number;
  runningAdapters: readonly string[];
  waitingAdapters: readonly string[];
  maxAdapters: number | undefined;
  isAsleep: boolean;
  processStartSeconds: number | undefined;
}

interface Series {
  count: number;
  sum: number;
}

type Labels = ReadonlyMap<string, string>;
type Reader = (tally: Tally, value: number, labels: Labels) => void;

const add =
  (key: 'queued' | 'running' | 'kvUsage' | 'oldKvUsage' | 'blocks'): Reader =>
  (tally, value) => {
    tally[key].count++;
    tally[key].sum += value;
  };

const setBlockSize: Reader = (tally, value) => {
  tally.blockSizeTokens = value;
};

/** A metric that carries its figures in labels. */
const cacheConfig =
  (sizeLabel: string, blocksLabel: string): Reader =>
  (tally, _value, labels) => {
    const size = Number(labels.get(sizeLabel) ?? Number.NaN);
    const blocks = Number(labels.get(blocksLabel) ?? Number.NaN);
    if (size > 0) setBlockSize(tally, size, labels);
    if (blocks > 0) add('blocks')(tally, blocks, labels);
  };

/** The value is the time of the update: of several series the newest holds. */
const loraInfo: Reader = (tally, seconds, labels) => {
  if (seconds < tally.loraSeconds) return;
  tally.loraSeconds = seconds;
  tally.runningAdapters = listOf(labels.get('running_lora_adapters'));
  tally.waitingAdapters = listOf(labels.get('waiting_lora_adapters'));
  const most = Number(labels.get('max_lora') ?? Number.NaN);
  tally.maxAdapters = most >= 0 ? most : undefined;
};

/** One metric for several figures, told apart by a label. */
const byLabel =
  (label: string, readers: Readonly<Record<string, Reader>>): Reader =>
  (tally, value, labels) =>
    readers[labels.get(label) ?? '']?.(tally, value, labels);

const asleep: Reader = (tally, value) => {
  tally.isAsleep ||= value > 0;
};

/** Metric names of one kind of engine. A metric of several readers is told apart by a label. */
type Family = Readonly<Record<string, Reader>>;

const families: Readonly<Record<string, Family>> = {
  vllm: {
    'vllm:num_requests_waiting': add('queued'),
    'vllm:num_requests_running': add('running'),
    'vllm:kv_cache_usage_perc': add('kvUsage'),
    'vllm:gpu_cache_usage_perc': add('oldKvUsage'),
    'vllm:cache_config_info': cacheConfig('block_size', 'num_gpu_blocks'),
    'vllm:lora_requests_info': loraInfo,
    'vllm:engine_sleep_state': byLabel('sleep_state', { weights_offloaded: asleep, discard_all: asleep }),
  },
  sglang: {
    'sglang:num_queue_reqs': add('queued'),
    'sglang:num_running_reqs': add('running'),
    'sglang:token_usage': add('kvUsage'),
    'sglang:cache_config_info': cacheConfig('page_size', 'num_pages'),
  },
  'trtllm-serve': {
    trtllm_num_requests_waiting: add('queued'),
    trtllm_num_requests_running: add('running'),
    trtllm_kv_cache_utilization: add('kvUsage'),
    trtllm_kv_cache_tokens_per_block: setBlockSize,
    trtllm_kv_cache_max_blocks: add('blocks'),
  },
  'triton-tensorrt-llm': {
    nv_trt_llm_request_metrics: byLabel('request_type', {
      waiting: add('queued'),
      scheduled: add('running'),
    }),
    nv_trt_llm_kv_cache_block_metrics: byLabel('kv_cache_block_type', {
      fraction: add('kvUsage'),
      tokens_per: setBlockSize,
      max: add('blocks'),
    }),
  },
  triton: { nv_inference_pending_request_count: add('queued') },
};

const ofAnyProcess: Family = {
  process_start_time_seconds: (tally, value) => {
    tally.processStartSeconds = value;
  },
};

/** Which metrics of another kind of engine tell what: `name`, or `name{label=value,...}`. */
export interface EngineMetricNames {
  /** A built-in family of this name is replaced. */
  readonly name: string;
  readonly queuedRequests?: string | undefined;
  readonly runningRequests?: string | undefined;
  readonly kvCacheUsage?: string | undefined;
  readonly adapters?: string | undefined;
  readonly cacheConfig?: string | undefined;
  readonly blockSizeLabel: string;
  readonly totalBlocksLabel: string;
  readonly blockSize?: string | undefined;
  readonly totalBlocks?: string | undefined;
}

/** Reads the figures; undefined if the text has none of an engine that is known. Linear in its size. */
export type EngineMetricsScanner = (text: Buffer) => EngineMetrics | undefined;

type ReadersByHash = ReadonlyMap<number, { readonly name: string; readonly reader: Reader }>;

/** A scanner that knows these engines beside the built-in ones. */
export function engineMetricsScanner(others: readonly EngineMetricNames[]): EngineMetricsScanner {
  if (others.length === 0) return scanEngineMetrics;
  const replaced = new Set(others.map(({ name }) => name));
  const builtIn = Object.entries(families).filter(([name]) => !replaced.has(name));
  const known = [...builtIn.map(([, family]) => family), ...others.map(familyOf), ofAnyProcess];
  const readersByHash = hashed(known);
  return (text) => scan(text, readersByHash);
}

function familyOf(names: EngineMetricNames): Family {
  const family: Record<string, Reader> = {};
  const define = (spec: string | undefined, reader: Reader) => {
    if (spec === undefined) return;
    const { name, labels } = parseSpec(spec);
    const others = family[name];
    family[name] = (tally, value, found) => {
      others?.(tally, value, found);
      if (labels.every(([label, wanted]) => found.get(label) === wanted)) reader(tally, value, found);
    };
  };
  define(names.queuedRequests, add('queued'));
  define(names.runningRequests, add('running'));
  define(names.kvCacheUsage, add('kvUsage'));
  define(names.adapters, loraInfo);
  define(names.cacheConfig, cacheConfig(names.blockSizeLabel, names.totalBlocksLabel));
  define(names.blockSize, setBlockSize);
  define(names.totalBlocks, add('blocks'));
  return family;
}

function parseSpec(spec: string): {
  readonly name: string;
  readonly labels: readonly (readonly [string, string])[];
} {
  const [name = '', list = ''] = spec.replace(/\}\s*$/, '').split('{');
  const labels = list.split(',').flatMap((pair) => {
    const equals = pair.indexOf('=');
    if (equals < 0) return [];
    return [
      [
        pair.slice(0, equals).trim(),
        pair
          .slice(equals + 1)
          .trim()
          .replace(/^"|"$/g, ''),
      ] as const,
    ];
  });
  return { name: name.trim(), labels };
}

function hashed(known: readonly Family[]): ReadersByHash {
  const entries = known.flatMap((family) => Object.entries(family));
  return new Map(
    entries.map(([name, reader]) => [hashName(Buffer.from(name), 0, name.length), { name, reader }]),
  );
}

const builtInReaders = hashed([...Object.values(families), ofAnyProcess]);

const newline = 0x0a;
const openingBrace = 0x7b;
const closingBrace = 0x7d;
const quote = 0x22;
const backslash = 0x5c;
const space = 0x20;

/** The figures of the built-in engines. */
export function scanEngineMetrics(text: Buffer): EngineMetrics | undefined {
  return scan(text, builtInReaders);
}

function scan(text: Buffer, readers: ReadersByHash): EngineMetrics | undefined {
  const tally = emptyTally();
  for (let start = 0; start < text.length; ) {
    let end = text.indexOf(newline, start);
    if (end < 0) end = text.length;
    scanLine(text, start, end, tally, readers);
    start = end + 1;
  }
  const { queued, running } = tally;
  const kvUsage = tally.kvUsage.count > 0 ? tally.kvUsage : tally.oldKvUsage;
  if (queued.count + running.count + kvUsage.count === 0) return undefined;
  return {
    queuedRequests: queued.sum,
    runningRequests: running.sum,
    kvCacheUsage: kvUsage.count === 0 ? 0 : Math.min(1, kvUsage.sum / kvUsage.count),
    blockSizeTokens: tally.blockSizeTokens,
    totalBlocks: tally.blocks.count === 0 ? undefined : tally.blocks.sum,
    runningAdapters: tally.runningAdapters,
    waitingAdapters: tally.waitingAdapters,
    maxAdapters: tally.maxAdapters,
    ...(tally.isAsleep && { isAsleep: true }),
    processStartSeconds: tally.processStartSeconds,
  };
}

function emptyTally(): Tally {
  const none = (): Series => ({ count: 0, sum: 0 });
  return {
    queued: none(),
    running: none(),
    kvUsage: none(),
    oldKvUsage: none(),
    blockSizeTokens: undefined,
    blocks: none(),
    loraSeconds: Number.NEGATIVE_INFINITY,
    runningAdapters: [],
    waitingAdapters: [],
    maxAdapters: undefined,
    isAsleep: false,
    processStartSeconds: undefined,
  };
}

/** `name value`, `name{label="value",...} value`, either with a timestamp or an exemplar behind it. */
function scanLine(text: Buffer, start: number, end: number, tally: Tally, readers: ReadersByHash): void {
  let at = start;
  while (at < end && text[at] !== openingBrace && text[at] !== space) at++;
  const known = readers.get(hashName(text, start, at));
  if (known === undefined || known.name.length !== at - start) return;
  if (text.toString('latin1', start, at) !== known.name) return;
  const labels = new Map<string, string>();
  if (text[at] === openingBrace) {
    at = readLabels(text, at + 1, end, labels);
    if (at < 0) return;
  }
  while (at < end && text[at]! <= space) at++;
  let valueEnd = at;
  while (valueEnd < end && text[valueEnd]! > space) valueEnd++;
  const value = Number(text.toString('latin1', at, valueEnd));
  if (at < valueEnd && Number.isFinite(value)) known.reader(tally, Math.max(0, value), labels);
}

/** Reads up to and including the closing brace; gives the position behind it, or -1 if the line ends before. */
function readLabels(text: Buffer, start: number, end: number, labels: Map<string, string>): number {
  let at = start;
  while (at < end) {
    if (text[at] === closingBrace) return at + 1;
    const nameEnd = text.indexOf('="', at);
    if (nameEnd < 0 || nameEnd >= end) return -1;
    const name = text
      .toString('latin1', at, nameEnd)
      .replace(/^[\s,]+/, '')
      .trim();
    const valueStart = nameEnd + 2;
    let valueEnd = valueStart;
    let isEscaped = false;
    for (; valueEnd < end && text[valueEnd] !== quote; valueEnd++) {
      if (text[valueEnd] !== backslash) continue;
      isEscaped = true;
      valueEnd++;
    }
    if (valueEnd >= end) return -1;
    const value = text.toString('utf8', valueStart, valueEnd);
    labels.set(name, isEscaped ? value.replace(/\\(.)/g, unescaped) : value);
    at = valueEnd + 1;
    while (at < end && (text[at] === 0x2c || text[at] === space)) at++;
  }
  return -1;
}

function unescaped(_escape: string, character: string): string {
  return character === 'n' ? '\n' : character;
}

function listOf(text: string | undefined): readonly string[] {
  return (text ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** FNV-1a. */
function hashName(text: Buffer, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ text[i]!, 0x01000193);
  return hash;
}
