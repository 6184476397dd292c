import type { InferencePool } from '../pool/inference-pool.ts';
import type { PrefixIndex, PrefixMatch } from '../prefix-index/prefix-index.ts';
import { ServiceError } from '../protocol/errors.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';
import type { Profile } from '../scheduling/profile.ts';
import type { SchedulingContext } from '../scheduling/scheduling-context.ts';
import type { PluginFailure, SchedulingResult } from '../scheduling/scheduling-result.ts';
import type { Assignment, EndpointPicker, PickOptions } from './assignment.ts';
import { degradedDecision } from './degraded-decision.ts';
import type { PickerObserver } from './finished-request.ts';
import { GuardedIndex } from './guarded-index.ts';
import { OpenRequests } from './open-requests.ts';
import { RecentRecords } from './recent-records.ts';
import { checkModel, listModels, noCandidates, noEndpoints } from './refusals.ts';
import { ServedRequest } from './served-request.ts';
import { selectSubset } from './subset.ts';

export interface EndpointPickerOptions {
  readonly pool: InferencePool;
  /** Asked once per decision, so that a reload swaps it between two requests. */
  readonly profile: () => Profile;
  readonly prefixIndex: PrefixIndex;
  /** Milliseconds of a monotonic clock; the same as the pool's. */
  readonly clock: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly observer: PickerObserver;
  /** How many decision records are kept for people to look at. */
  readonly keptRecords?: number | undefined;
}

export interface InspectableEndpointPicker extends EndpointPicker {
  /** The last decision records, newest first. */
  recent(): readonly SchedulingResult[];
  /** Assignments that are not finished. */
  readonly openAssignments: number;
  /** From now on every pick rejects with `shutting_down`; open assignments go on. */
  shutDown(): void;
  /** Throws if assignments and the pool's counters disagree. */
  checkIntegrity(): void;
}

/**
 * Builds the decision service. A decision is one synchronous step: snapshot, choose, reserve, record. So two
 * concurrent requests never see the same free endpoint.
 */
export function createEndpointPicker(options: EndpointPickerOptions): InspectableEndpointPicker {
  const { pool, profile, prefixIndex, clock, random, observer, keptRecords = 256 } = options;
  const records = new RecentRecords({ capacity: keptRecords });
  const open = new OpenRequests();
  let isShuttingDown = false;
  let degradedTurn = 0;

  function decide(request: InferenceRequest, { subset, parserFault }: PickOptions): Assignment {
    const startedMs = clock();
    const endpoints = pool.snapshot(startedMs);
    if (!endpoints.some((endpoint) => endpoint.isReady)) throw noEndpoints(endpoints);
    checkModel(request.model, endpoints);
    const allowed = subset === undefined ? endpoints : selectSubset(endpoints, subset);
    if (allowed.length === 0) throw noCandidates(subset ?? [], endpoints);

    const faults: PluginFailure[] = [];
    if (parserFault !== undefined) faults.push({ kind: 'parser', name: 'parser', message: parserFault });
    const index = new GuardedIndex(prefixIndex, faults);
    const result = choose(request, allowed, createContext(request, startedMs, index), faults);
    for (const failure of result.failures) faults.push(failure);
    const record: SchedulingResult = { ...result, failures: faults, durationMs: clock() - startedMs };
    records.push(record);
    if (record.ranking.length === 0) throw new RefusedDecision(noEndpoints(allowed, record), record);

    const served = new ServedRequest({
      request,
      record,
      pool,
      prefixIndex: index,
      clock,
      observer,
      onEnd,
    });
    open.add(served);
    return served;
  }

  const onEnd = (ended: ServedRequest): void => open.remove(ended);

  /** A fault of the profile, as against one of its plugins, must not cost the client its answer. */
  function choose(
    request: InferenceRequest,
    allowed: readonly Endpoint[],
    context: SchedulingContext,
    faults: PluginFailure[],
  ): SchedulingResult {
    try {
      return profile().run(context, allowed);
    } catch (error) {
      faults.push({ kind: 'profile', name: 'profile', message: String(error) });
      return degradedDecision(request, allowed, degradedTurn++, []);
    }
  }

  function createContext(request: InferenceRequest, nowMs: number, index: GuardedIndex): SchedulingContext {
    let match: PrefixMatch | undefined;
    return {
      request,
      nowMs,
      random,
      cachedTokens({ slot }: Endpoint): number {
        match ??= index.match(request.prefix);
        return Math.min(request.promptTokens, match.cachedBlocks(slot) * request.prefix.blockTokens);
      },
    };
  }

  return {
    async pick(request: InferenceRequest, options: PickOptions): Promise<Assignment> {
      try {
        if (isShuttingDown) throw new ServiceError('shutting_down', 'The gateway is shutting down.');
        if (options.signal.aborted)
          throw new ServiceError('client_closed', 'The client has closed the request.');
        return decide(request, options);
      } catch (error) {
        const isRefused = error instanceof RefusedDecision;
        const cause = isRefused ? error.error : error;
        const code = cause instanceof ServiceError ? cause.code : 'internal';
        observer.onRejected(request, code, isRefused ? error.record : undefined);
        throw cause;
      }
    },
    models: () => listModels(pool.snapshot(clock())),
    isReady: () => pool.snapshot(clock()).some((endpoint) => endpoint.isReady),
    recent: () => records.recent(),
    get openAssignments() {
      return open.size;
    },
    shutDown() {
      isShuttingDown = true;
    },
    checkIntegrity() {
      pool.checkIntegrity();
      const reserved = pool.snapshot(clock()).reduce((sum, { inFlight }) => sum + inFlight.requests, 0);
      // Requests on removed endpoints are open here and no longer in the snapshot.
      if (reserved > open.size) {
        throw new Error(`the pool counts ${reserved} requests in flight, only ${open.size} are open`);
      }
    },
  };
}

/** Carries the record of a decision that found no endpoint to the observer. */
class RefusedDecision {
  readonly error: ServiceError;
  readonly record: SchedulingResult;

  constructor(error: ServiceError, record: SchedulingResult) {
    this.error = error;
    this.record = record;
  }
}
