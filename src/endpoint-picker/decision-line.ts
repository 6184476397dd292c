/**
 * A decision record as one line of JSON. It holds what a pick is made from and nothing else of the request: of its
 * headers those that steer routing, of its prompt the length and the hashes of its blocks.
 */
import { requestHeaders, requestIdHeader, secretHeaders } from '../protocol/headers.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import type { PrefixHashes } from '../scheduling/inference-request.ts';
import type {
  CandidateState,
  FilterStep,
  PluginFailure,
  ScoreStep,
} from '../scheduling/scheduling-result.ts';
import type { DecisionRecord } from './decision-record.ts';

/** Counted up when an older reader could not read what is written. */
export const decisionLineVersion = 1;

/** Headers that plugins of ours read. A configuration may add to them what its own plugins read. */
export const recordedHeaders: readonly string[] = [
  ...Object.values(requestHeaders).flat(),
  requestIdHeader,
  'x-session-token',
];

/** Longer lists of fallbacks are cut: the ones behind are hardly ever tried. */
const longestRanking = 8;

export interface DecisionLine {
  readonly version: number;
  /** ISO 8601. */
  readonly time: string;
  readonly nowMs: number;
  readonly seed: number;
  readonly waitingMs: number;
  readonly request: {
    readonly id: string;
    readonly model: string | null;
    readonly requestedModel: string | null;
    readonly priority: number;
    readonly tenant: string;
    readonly promptTokens: number;
    readonly bodyBytes: number;
    readonly isStreaming: boolean;
    readonly slo: {
      readonly ttftMs: number | null;
      readonly tpotMs: number | null;
      readonly isStrict: boolean;
    };
    readonly headers: Readonly<Record<string, string>>;
    readonly prefix: { readonly blockTokens: number; readonly hashes: string };
  };
  /** Before filters. What is not known is null: an age that is infinite, an unknown size. */
  readonly endpoints: readonly EndpointLine[];
  readonly result: {
    readonly profile: string;
    readonly filters: readonly FilterStep[];
    /** Names, in the order of scores and totals. */
    readonly candidates: readonly string[];
    readonly scores: readonly ScoreStep[];
    readonly totals: readonly number[];
    readonly tied: number;
    readonly picker: string;
    readonly failures: readonly PluginFailure[];
    /** Names, best first; the first is the choice. */
    readonly ranking: readonly string[];
    readonly queuedMs: number;
    readonly durationMs: number;
  };
}

type Nullable<T> = {
  readonly [Key in keyof T]: undefined extends T[Key] ? Exclude<T[Key], undefined> | null : T[Key];
};

export type EndpointLine = Omit<Endpoint, 'metrics' | 'learned' | 'notReadyReason'> & {
  readonly notReadyReason: string | null;
  readonly metrics: Omit<Nullable<Endpoint['metrics']>, 'ageMs'> & { readonly ageMs: number | null };
  readonly learned: Nullable<Endpoint['learned']>;
  readonly cachedTokens: number;
};

/** Without a line break. `ownHeaders` are written beside `recordedHeaders`. */
export function decisionLine(record: DecisionRecord, ownHeaders: readonly string[] = []): string {
  const { request, result } = record;
  const line: DecisionLine = {
    version: decisionLineVersion,
    time: new Date(record.timeMs).toISOString(),
    nowMs: record.nowMs,
    seed: record.seed,
    waitingMs: record.waitingMs,
    request: {
      id: request.id,
      model: request.model ?? null,
      requestedModel: request.requestedModel ?? null,
      priority: request.priority,
      tenant: request.tenant,
      promptTokens: request.promptTokens,
      bodyBytes: request.bodyBytes,
      isStreaming: request.isStreaming,
      slo: {
        ttftMs: request.slo.ttftMs ?? null,
        tpotMs: request.slo.tpotMs ?? null,
        isStrict: request.slo.isStrict ?? false,
      },
      headers: pickHeaders(request.headers, ownHeaders),
      prefix: { blockTokens: request.prefix.blockTokens, hashes: encodeHashes(request.prefix) },
    },
    endpoints: record.endpoints.map((endpoint, at) => endpointLine(endpoint, record.cachedTokens[at] ?? 0)),
    result: {
      profile: result.profile,
      filters: result.filters,
      candidates: result.candidates.map(nameOf),
      scores: result.scores,
      totals: result.totals,
      tied: result.tied,
      picker: result.picker,
      failures: result.failures,
      ranking: result.ranking.slice(0, longestRanking).map(nameOf),
      queuedMs: result.queuedMs ?? 0,
      durationMs: result.durationMs,
    },
  };
  return JSON.stringify(line);
}

function pickHeaders(
  headers: ReadonlyMap<string, string>,
  ownHeaders: readonly string[],
): Readonly<Record<string, string>> {
  const picked: Record<string, string> = {};
  for (const name of [...recordedHeaders, ...ownHeaders]) {
    const value = headers.get(name);
    if (value !== undefined && !secretHeaders.includes(name)) picked[name] = value;
  }
  return picked;
}

function endpointLine({ metrics, learned, ...endpoint }: Endpoint, cachedTokens: number): EndpointLine {
  const { blockSizeTokens = null, totalBlocks = null, maxAdapters = null, ageMs } = metrics;
  return {
    ...endpoint,
    notReadyReason: endpoint.notReadyReason ?? null,
    metrics: {
      ...metrics,
      blockSizeTokens,
      totalBlocks,
      maxAdapters,
      ageMs: Number.isFinite(ageMs) ? ageMs : null,
    },
    learned: { ...learned, kvCapacityTokens: learned.kvCapacityTokens ?? null },
    cachedTokens,
  };
}

/** Base64 of the low lanes and then the high ones, little-endian. */
function encodeHashes({ count, low, high }: PrefixHashes): string {
  const bytes = Buffer.alloc(8 * count);
  for (let i = 0; i < count; i++) {
    bytes.writeUInt32LE(low[i]!, 4 * i);
    bytes.writeUInt32LE(high[i]!, 4 * (count + i));
  }
  return bytes.toString('base64');
}

/** Throws if the text is not what `encodeHashes` makes. */
export function decodeHashes(text: string, blockTokens: number): PrefixHashes {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length % 8 !== 0) throw new Error('the hashes of its prompt are cut off');
  const count = bytes.length / 8;
  const lane = (from: number) =>
    Uint32Array.from({ length: count }, (_, i) => bytes.readUInt32LE(4 * (from + i)));
  return { count, low: lane(0), high: lane(count), blockTokens };
}

function nameOf({ name }: Endpoint | CandidateState): string {
  return name;
}
