import { z } from 'zod';
import { type DecisionLine, decisionLineVersion, decodeHashes } from '../endpoint-picker/decision-line.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';

/** A decision as it was recorded, ready to be made again. */
export interface RecordedDecision {
  /** ISO 8601. */
  readonly time: string;
  readonly nowMs: number;
  readonly seed: number;
  readonly waitingMs: number;
  readonly request: InferenceRequest;
  readonly endpoints: readonly Endpoint[];
  /** By slot. */
  readonly cachedTokens: ReadonlyMap<number, number>;
  readonly result: DecisionLine['result'];
}

const number = z.number();
const count = z.number().nonnegative();
const unknowable = z.number().nullable();
const names = z.array(z.string());

const endpoint = z.object({
  name: z.string(),
  address: z.string(),
  labels: z.record(z.string(), z.string()),
  models: names,
  adapters: names,
  isReady: z.boolean(),
  notReadyReason: z.string().nullable(),
  metrics: z.object({
    queuedRequests: count,
    runningRequests: count,
    kvCacheUsage: count,
    blockSizeTokens: unknowable,
    totalBlocks: unknowable,
    runningAdapters: names,
    waitingAdapters: names,
    maxAdapters: unknowable,
    ageMs: unknowable,
  }),
  inFlight: z.object({
    requests: count,
    sentSinceScrape: count,
    waitingForFirstToken: count,
    awaitedFirstTokens: count.default(0),
    promptTokens: count,
    uncachedTokens: count,
  }),
  learned: z.object({
    prefillMsPerToken: number,
    isPrefillKnown: z.boolean().default(true),
    stepMs: number,
    pendingPrefillMs: count,
    othersPrefillMs: count.default(0),
    prefillShare: count.default(0),
    freshAnswers: count.default(0),
    kvCapacityTokens: unknowable,
    heldTokens: count,
    releasableTokens: count,
    meanOutputTokens: number,
  }),
  slot: z.int().nonnegative(),
  cachedTokens: count,
}) satisfies z.ZodType<DecisionLine['endpoints'][number]>;

const score = z.object({
  scorer: z.string(),
  weight: number,
  scores: z.array(number),
  terms: z
    .array(
      z.object({ name: z.string(), unit: z.enum(['ms', 'tokens', 'requests']), values: z.array(number) }),
    )
    .exactOptional(),
});

const decision = z.object({
  version: z.literal(decisionLineVersion),
  time: z.string(),
  nowMs: number,
  seed: number,
  waitingMs: count,
  request: z.object({
    id: z.string(),
    model: z.string().nullable(),
    requestedModel: z.string().nullable(),
    priority: number,
    tenant: z.string(),
    promptTokens: count,
    bodyBytes: count,
    isStreaming: z.boolean(),
    slo: z.object({ ttftMs: unknowable, tpotMs: unknowable, isStrict: z.boolean() }),
    headers: z.record(z.string(), z.string()),
    prefix: z.object({ blockTokens: z.number().positive(), hashes: z.string() }),
  }),
  endpoints: z.array(endpoint).min(1),
  result: z.object({
    profile: z.string(),
    filters: z.array(z.object({ filter: z.string(), removed: names })),
    candidates: names,
    scores: z.array(score),
    totals: z.array(number),
    tied: number,
    picker: z.string(),
    failures: z.array(
      z.object({
        kind: z.enum(['filter', 'scorer', 'picker', 'profile', 'index', 'parser']),
        name: z.string(),
        message: z.string(),
      }),
    ),
    ranking: names,
    queuedMs: count,
    durationMs: count,
  }),
}) satisfies z.ZodType<DecisionLine>;

/** Throws an Error that says what is wrong with it. */
export function parseDecision(value: unknown): RecordedDecision {
  const found = (value as { readonly version?: unknown } | null)?.version;
  if (found === undefined) throw new Error('this is no decision record: it has no version');
  if (found !== decisionLineVersion)
    throw new Error(`expected version ${decisionLineVersion} of the records, found ${JSON.stringify(found)}`);
  const parsed = decision.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(`${issue!.path.join('.')}: ${issue!.message}`);
  }
  const { request, endpoints, ...rest } = parsed.data;
  return {
    ...rest,
    request: requestOf(request),
    endpoints: endpoints.map(endpointOf),
    cachedTokens: new Map(endpoints.map(({ slot, cachedTokens }) => [slot, cachedTokens])),
  };
}

function requestOf({
  model,
  requestedModel,
  slo,
  headers,
  prefix,
  ...rest
}: DecisionLine['request']): InferenceRequest {
  return {
    ...rest,
    model: model ?? undefined,
    requestedModel: requestedModel ?? undefined,
    slo: { ttftMs: slo.ttftMs ?? undefined, tpotMs: slo.tpotMs ?? undefined, isStrict: slo.isStrict },
    headers: new Map(Object.entries(headers)),
    prefix: decodeHashes(prefix.hashes, prefix.blockTokens),
  };
}

function endpointOf({
  cachedTokens: _,
  metrics,
  learned,
  notReadyReason,
  ...rest
}: DecisionLine['endpoints'][number]): Endpoint {
  const { blockSizeTokens, totalBlocks, maxAdapters, ageMs } = metrics;
  return {
    ...rest,
    notReadyReason: notReadyReason ?? undefined,
    metrics: {
      ...metrics,
      blockSizeTokens: blockSizeTokens ?? undefined,
      totalBlocks: totalBlocks ?? undefined,
      maxAdapters: maxAdapters ?? undefined,
      ageMs: ageMs ?? Number.POSITIVE_INFINITY,
    },
    learned: { ...learned, kvCapacityTokens: learned.kvCapacityTokens ?? undefined },
  };
}
