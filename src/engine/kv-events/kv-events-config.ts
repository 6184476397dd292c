/** How KV events leave the process. */
export interface KvEventsConfig {
  /** Of the PUB socket: bound if it has a wildcard or is local, otherwise a collector to connect to. */
  readonly endpoint: string;
  /** Of the ROUTER socket that repeats batches; always bound. */
  readonly replayEndpoint: string | undefined;
  /** Batches kept for replay. */
  readonly bufferSteps: number;
  /** Messages that wait for a slow subscriber before ZeroMQ drops them. */
  readonly highWaterMark: number;
  /** Batches on their way to the socket before new ones are only kept for replay. */
  readonly maxQueueSize: number;
  readonly topic: string;
  /** `map` is what vLLM sends since 0.24, `array` what every consumer reads. */
  readonly encoding: 'array' | 'map';
  /** Block hashes as the low 64 bits of the digest, or as the whole digest. */
  readonly hashes: 'int' | 'bytes';
}

/** `--kv-events-config`: vLLM's keys (`vllm/config/kv_events.py`) and two of ours at the end. */
const keys = {
  enable_kv_cache_events: 'a boolean',
  publisher: 'one of "zmq", "null"',
  endpoint: 'a ZeroMQ endpoint such as "tcp://*:5557"',
  replay_endpoint: 'a ZeroMQ endpoint such as "tcp://*:5558"',
  buffer_steps: 'a whole number',
  hwm: 'a whole number',
  max_queue_size: 'a whole number',
  topic: 'a string',
  event_encoding: 'one of "array", "map"',
  block_hash_format: 'one of "int", "bytes"',
} as const;

type Key = keyof typeof keys;

const isEndpoint = (value: unknown) => typeof value === 'string' && /^(tcp|ipc|inproc):\/\/\S+$/.test(value);
const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isAmong = (choices: readonly unknown[]) => (value: unknown) => choices.includes(value);

const checks: Readonly<Record<Key, (value: unknown) => boolean>> = {
  enable_kv_cache_events: (value) => typeof value === 'boolean',
  publisher: isAmong(['zmq', 'null']),
  endpoint: isEndpoint,
  replay_endpoint: isEndpoint,
  buffer_steps: isCount,
  hwm: isCount,
  max_queue_size: isCount,
  topic: (value) => typeof value === 'string',
  event_encoding: isAmong(['array', 'map']),
  block_hash_format: isAmong(['int', 'bytes']),
};

/** Undefined if events are off. Throws one message with everything that is wrong. */
export function readKvEventsConfig(
  given: Readonly<Record<string, unknown>> | undefined,
): KvEventsConfig | undefined {
  if (given === undefined) return undefined;
  const problems = Object.entries(given).flatMap(([key, value]) => {
    if (!Object.hasOwn(keys, key))
      return [`--kv-events-config has no key "${key}"; it knows ${Object.keys(keys).join(', ')}`];
    if (value === null || checks[key as Key](value)) return [];
    return [`--kv-events-config: ${key} must be ${keys[key as Key]}, got ${JSON.stringify(value)}`];
  });
  if (problems.length > 0) throw new Error(problems.join('\n'));
  const read = <T>(key: Key, fallback: T): T => (given[key] as T | null | undefined) ?? fallback;
  if (!read<boolean>('enable_kv_cache_events', false) || read<string>('publisher', 'zmq') === 'null')
    return undefined;
  return {
    endpoint: read('endpoint', 'tcp://*:5557'),
    replayEndpoint: read('replay_endpoint', undefined),
    bufferSteps: read('buffer_steps', 10_000),
    highWaterMark: read('hwm', 100_000),
    maxQueueSize: read('max_queue_size', 100_000),
    topic: read('topic', ''),
    encoding: read('event_encoding', 'array'),
    hashes: read('block_hash_format', 'int'),
  };
}
