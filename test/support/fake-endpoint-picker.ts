import type {
  Assignment,
  EndpointPicker,
  Outcome,
  PickOptions,
} from '../../src/endpoint-picker/assignment.ts';
import { explanation } from '../../src/endpoint-picker/explain.ts';
import type { Endpoint } from '../../src/scheduling/endpoint.ts';
import type { InferenceRequest } from '../../src/scheduling/inference-request.ts';
import type { SchedulingResult } from '../../src/scheduling/scheduling-result.ts';
import { submitByPicking } from './submit-by-picking.ts';

/** A fake: ranks its endpoints always in the same order, and remembers what it was told. */
export interface FakeEndpointPicker extends EndpointPicker {
  /** Requests that were picked for. */
  readonly requests: readonly InferenceRequest[];
  readonly outcomes: readonly Outcome[];
  readonly retries: readonly string[];
  readonly firstTokens: number;
  /** Assignments that are not finished. */
  readonly open: number;
  /** Instead of picking: throws, or waits. */
  pickWith(behaviour: ((signal: AbortSignal) => Promise<void>) | undefined): void;
}

export interface FakeEndpoint {
  readonly name: string;
  readonly address: string;
}

export function fakeEndpointPicker(
  endpoints: readonly FakeEndpoint[],
  models: readonly string[] = ['fake-model'],
): FakeEndpointPicker {
  const ranking = endpoints.map(fakeEndpoint);
  const requests: InferenceRequest[] = [];
  const outcomes: Outcome[] = [];
  const retries: string[] = [];
  let firstTokens = 0;
  let open = 0;
  let behaviour: ((signal: AbortSignal) => Promise<void>) | undefined;

  function assign(request: InferenceRequest): Assignment {
    let rank = 0;
    let isFinished = false;
    let hasFirstToken = false;
    open += 1;
    const record = fakeRecord(request, ranking);
    return {
      request,
      record,
      get endpoint() {
        return ranking[rank]!;
      },
      alternatives: (count) => ranking.slice(rank + 1, rank + 1 + count).map(({ address }) => address),
      scores: () => [],
      explanation() {
        return explanation(this);
      },
      timesPieces: false,
      retryNext: (reason) => {
        retries.push(reason);
        if (rank + 1 >= ranking.length) return undefined;
        rank += 1;
        return ranking[rank];
      },
      servedBy: () => {},
      firstToken: () => {
        if (!hasFirstToken) firstTokens += 1;
        hasFirstToken = true;
      },
      passed: () => {},
      finish: (outcome) => {
        if (isFinished) return;
        isFinished = true;
        open -= 1;
        outcomes.push(outcome);
      },
    };
  }

  async function pick(request: InferenceRequest, { signal }: PickOptions): Promise<Assignment> {
    requests.push(request);
    await behaviour?.(signal);
    return assign(request);
  }

  return {
    requests,
    outcomes,
    retries,
    get firstTokens() {
      return firstTokens;
    },
    get open() {
      return open;
    },
    pickWith: (next) => {
      behaviour = next;
    },
    pick,
    submit: submitByPicking(pick),
    models: () => models.map((id) => ({ id, endpoints: endpoints.map(({ name }) => name) })),
    isReady: () => endpoints.length > 0,
  };
}

function fakeEndpoint({ name, address }: FakeEndpoint, slot: number): Endpoint {
  return {
    name,
    address,
    labels: {},
    models: ['fake-model'],
    adapters: [],
    isReady: true,
    notReadyReason: undefined,
    metrics: {
      queuedRequests: 0,
      runningRequests: 0,
      kvCacheUsage: 0,
      blockSizeTokens: 16,
      totalBlocks: 4096,
      runningAdapters: [],
      waitingAdapters: [],
      maxAdapters: undefined,
      ageMs: 40,
    },
    inFlight: {
      requests: 0,
      sentSinceScrape: 0,
      waitingForFirstToken: 0,
      awaitedFirstTokens: 0,
      promptTokens: 0,
      uncachedTokens: 0,
    },
    learned: {
      prefillMsPerToken: 0.03,
      stepMs: 10,
      kvCapacityTokens: 65_536,
      meanOutputTokens: 300,
      pendingPrefillMs: 0,
      othersPrefillMs: 0,
      prefillShare: 0,
      freshAnswers: 0,
      isPrefillKnown: true,
      heldTokens: 0,
      releasableTokens: 0,
    },
    slot,
  };
}

function fakeRecord(request: InferenceRequest, ranking: readonly Endpoint[]): SchedulingResult {
  return {
    profile: 'default',
    requestId: request.id,
    model: request.model,
    promptTokens: request.promptTokens,
    considered: ranking.length + 1,
    filters: [{ filter: 'healthy', removed: ['pod-\u00e9'] }],
    candidates: ranking.map(({ name, address }) => ({
      name,
      address,
      metricsAgeMs: 40,
      queuedRequests: 0,
      runningRequests: 0,
      kvCacheUsage: 0,
      inFlightRequests: 0,
      cachedTokens: 0,
    })),
    scores: [{ scorer: 'queue', weight: 2, scores: ranking.map((_, index) => 1 / (index + 1)) }],
    totals: ranking.map((_, index) => 2 / (index + 1)),
    tied: 1,
    picker: 'max-score',
    failures: [],
    ranking,
    durationMs: 0.1,
  };
}
