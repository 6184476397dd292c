import {
  type Endpoint,
  type EndpointInFlight,
  type EndpointLearned,
  type EndpointMetrics,
  emptyPrefix,
  type InferenceRequest,
  type SchedulingContext,
} from '../../src/scheduling/index.ts';

export type EndpointParts = Partial<Omit<Endpoint, 'metrics' | 'inFlight' | 'learned'>> & {
  /** What is pending and held follows from `inFlight` and `metrics` unless given. */
  readonly learned?: Partial<EndpointLearned>;
  readonly metrics?: Partial<EndpointMetrics>;
  readonly inFlight?: Partial<EndpointInFlight>;
};

/** A ready, idle endpoint scraped just now, except for the parts given. */
export function makeEndpoint({ metrics, inFlight, learned, ...parts }: EndpointParts = {}): Endpoint {
  const slot = parts.slot ?? 0;
  const usual = { prefillMsPerToken: 0.03, stepMs: 10, kvCapacityTokens: 160_000, meanOutputTokens: 300 };
  const { prefillMsPerToken, kvCapacityTokens } = { ...usual, ...learned };
  const uncachedTokens = inFlight?.uncachedTokens ?? 0;
  return Object.freeze({
    name: `engine-${slot}`,
    address: `10.0.0.${slot + 1}:8000`,
    labels: {},
    models: [],
    adapters: [],
    isReady: true,
    notReadyReason: undefined,
    learned: {
      ...usual,
      pendingPrefillMs: prefillMsPerToken * uncachedTokens,
      othersPrefillMs: 0,
      prefillShare: 0,
      freshAnswers: 0,
      isPrefillKnown: true,
      heldTokens: (metrics?.kvCacheUsage ?? 0) * (kvCapacityTokens ?? 0) + uncachedTokens,
      releasableTokens: (metrics?.kvCacheUsage ?? 0) * (kvCapacityTokens ?? 0) + uncachedTokens,
      ...learned,
    },
    slot,
    ...parts,
    metrics: Object.freeze({
      queuedRequests: 0,
      runningRequests: 0,
      kvCacheUsage: 0,
      blockSizeTokens: 16,
      totalBlocks: 10_000,
      runningAdapters: [],
      waitingAdapters: [],
      maxAdapters: undefined,
      ageMs: 0,
      ...metrics,
    }),
    inFlight: Object.freeze({
      requests: 0,
      sentSinceScrape: 0,
      waitingForFirstToken: 0,
      awaitedFirstTokens: 0,
      promptTokens: 0,
      uncachedTokens: 0,
      ...inFlight,
    }),
  });
}

export function makeEndpoints(
  count: number,
  parts: (slot: number) => EndpointParts = () => ({}),
): Endpoint[] {
  return Array.from({ length: count }, (_, slot) => makeEndpoint({ ...parts(slot), slot }));
}

export function makeRequest(parts: Partial<InferenceRequest> = {}): InferenceRequest {
  return Object.freeze({
    id: 'r-1',
    model: undefined,
    requestedModel: parts.model,
    priority: 0,
    tenant: '',
    headers: new Map(),
    promptTokens: 1000,
    bodyBytes: 4 * (parts.promptTokens ?? 1000),
    prefix: emptyPrefix,
    isStreaming: true,
    slo: { ttftMs: undefined, tpotMs: undefined },
    ...parts,
  });
}

export interface ContextParts {
  readonly request?: Partial<InferenceRequest>;
  /** Cached tokens by slot. */
  readonly cached?: readonly number[];
  readonly random?: () => number;
}

export function makeContext({
  request,
  cached = [],
  random = seededRandom(1),
}: ContextParts = {}): SchedulingContext {
  return {
    request: makeRequest(request),
    nowMs: 1000,
    random,
    cachedTokens: ({ slot }) => cached[slot] ?? 0,
  };
}

/** Uniform in [0, 1), the same sequence for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 4_294_967_296;
  };
}
