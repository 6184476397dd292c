import type { FinishedRequest, RejectedRequest } from '../../src/endpoint-picker/finished-request.ts';
import type { Endpoint, InferenceRequest, SchedulingResult } from '../../src/scheduling/index.ts';
import { emptyPrefix } from '../../src/scheduling/index.ts';

export function request(given: Partial<InferenceRequest> = {}): InferenceRequest {
  return {
    id: 'request-1',
    model: 'mini',
    requestedModel: given.model ?? 'mini',
    priority: 0,
    tenant: '',
    headers: new Map([
      ['authorization', 'Bearer secret-key'],
      ['x-request-id', 'client-7'],
    ]),
    promptTokens: 100,
    bodyBytes: 400,
    prefix: emptyPrefix,
    isStreaming: true,
    slo: { ttftMs: undefined, tpotMs: undefined },
    ...given,
  };
}

export function endpoint(name: string): Endpoint {
  return {
    name,
    address: `${name}:8000`,
    labels: {},
    models: ['mini'],
    isReady: true,
    notReadyReason: undefined,
    metrics: { queuedRequests: 2, runningRequests: 1, kvCacheUsage: 0.5, ageMs: 100 },
    inFlight: { requests: 3, waitingForFirstToken: 1, promptTokens: 300, uncachedTokens: 50 },
    slot: 0,
  } as unknown as Endpoint;
}

/** Two candidates, `a` chosen with 64 tokens believed cached. */
export function record(given: Partial<SchedulingResult> = {}): SchedulingResult {
  const state = {
    address: 'a:8000',
    metricsAgeMs: 100,
    queuedRequests: 2,
    runningRequests: 1,
    kvCacheUsage: 0.5,
    inFlightRequests: 3,
  };
  return {
    profile: 'default',
    requestId: 'request-1',
    model: 'mini',
    promptTokens: 100,
    considered: 3,
    filters: [{ filter: 'ready', removed: ['c'] }],
    candidates: [
      { ...state, name: 'a', cachedTokens: 64 },
      { ...state, name: 'b', cachedTokens: 0 },
    ],
    scores: [
      { scorer: 'prefix-cache', weight: 3, scores: [0.64, 0] },
      { scorer: 'queue-depth', weight: 2, scores: [0.5, 1] },
    ],
    totals: [2.92, 2],
    tied: 1,
    picker: 'max-score',
    failures: [],
    ranking: [endpoint('a'), endpoint('b')],
    durationMs: 0.2,
    ...given,
  };
}

export function finished(given: Partial<FinishedRequest> = {}): FinishedRequest {
  return {
    request: request(),
    record: record(),
    endpoint: 'a',
    outcome: {
      kind: 'completed',
      status: 200,
      usage: { promptTokens: 98, completionTokens: 11, cachedTokens: 48 },
    },
    predictedCachedTokens: 64,
    predicted: { ttftMs: 30, tpotMs: 12 },
    retries: 0,
    responseBytes: 2000,
    queuedMs: 0,
    ttftMs: 40,
    durationMs: 140,
    ...given,
  };
}

export function rejected(given: Partial<RejectedRequest> = {}): RejectedRequest {
  return {
    request: request(),
    code: 'no_endpoints',
    isFaultOfClient: false,
    record: undefined,
    waitedMs: 0,
    ...given,
  };
}
