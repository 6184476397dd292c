import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

/** One recorded request. */
export interface TraceEntry {
  readonly timestampMs: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Chained ids of blocks of 512 tokens; undefined when the trace has none. */
  readonly blockIds: readonly number[] | undefined;
}

/** The traces in `config/traces`. */
export const shippedTraces = {
  conversation: 'mooncake_conversation.jsonl.gz',
  synthetic: 'mooncake_synthetic.jsonl.gz',
  azureCode: 'azure2023_code.csv.gz',
  azureConversation: 'azure2023_conv.csv.gz',
} as const;

/** Sources and built files lie at different depths below the package, so the folder is searched upwards. */
export function shippedTracePath(name: keyof typeof shippedTraces): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const candidate = join(folder, 'config', 'traces', shippedTraces[name]);
    if (existsSync(candidate)) return candidate;
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`config/traces/${shippedTraces[name]} is not in the package`);
    folder = parent;
  }
}

/** Reads Mooncake's JSON Lines or Azure's CSV, plain or gzip; gives the entries by their time. */
export function readTrace(path: string): readonly TraceEntry[] {
  const bytes = readFileSync(path);
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const text = (isGzip ? gunzipSync(bytes) : bytes).toString('utf8');
  const lines = text.split(/\r?\n/).filter((line) => line !== '');
  const entries = lines[0]?.startsWith('{') ? lines.map(mooncakeEntry) : lines.slice(1).map(azureEntry);
  if (entries.length === 0) throw new Error('expected at least one request, found none');
  return entries.toSorted((a, b) => a.timestampMs - b.timestampMs);
}

function mooncakeEntry(line: string, index: number): TraceEntry {
  const value = parsed(line);
  const field = (name: string): unknown =>
    typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  const ids = field('hash_ids');
  return checked(
    {
      timestampMs: Number(field('timestamp')),
      promptTokens: Number(field('input_length')),
      outputTokens: Math.max(1, Number(field('output_length'))),
      blockIds: Array.isArray(ids) ? ids.map(Number) : undefined,
    },
    index + 1,
    'a line {"timestamp", "input_length", "output_length", "hash_ids"}',
  );
}

/** Undefined when it is not JSON, which has none of the fields. */
function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function azureEntry(line: string, index: number): TraceEntry {
  const [stamp = '', promptTokens, outputTokens] = line.split(',');
  return checked(
    {
      timestampMs: azureStampMs(stamp),
      promptTokens: Math.max(1, Number(promptTokens)),
      outputTokens: Math.max(1, Number(outputTokens)),
      blockIds: undefined,
    },
    index + 2,
    'a line TIMESTAMP,ContextTokens,GeneratedTokens',
  );
}

/** `2023-11-16 18:17:03.9799600`, UTC; `Date` keeps milliseconds, the rest is added. */
function azureStampMs(stamp: string): number {
  const [seconds = '', fraction = '0'] = stamp.split('.');
  return Date.parse(`${seconds.replace(' ', 'T')}Z`) + Number(`0.${fraction}`) * 1000;
}

function checked(entry: TraceEntry, line: number, expected: string): TraceEntry {
  const numbers = [entry.timestampMs, entry.promptTokens, entry.outputTokens, ...(entry.blockIds ?? [])];
  if (!numbers.every((value) => Number.isFinite(value) && value >= 0) || entry.promptTokens < 1) {
    throw new Error(`line ${line}: expected ${expected} with numbers, found something else`);
  }
  return entry;
}
