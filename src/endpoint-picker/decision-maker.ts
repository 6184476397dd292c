import type { Offer, Place } from '../flow-control/index.ts';
import type { InferencePool } from '../pool/inference-pool.ts';
import type { PrefixIndex, PrefixMatch } from '../prefix-index/prefix-index.ts';
import { ownPrefillMs, uncachedTokens } from '../scheduling/delay-estimate.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import { EndpointList } from '../scheduling/endpoint-list.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';
import { choiceOf, withOutcome } from '../scheduling/led-result.ts';
import type { Profile } from '../scheduling/profile.ts';
import type { PluginTimes, SchedulingContext } from '../scheduling/scheduling-context.ts';
import type { PluginFailure, SchedulingResult } from '../scheduling/scheduling-result.ts';
import { seededRandom } from '../scheduling/seeded-random.ts';
import type { PickOptions } from './assignment.ts';
import type { MadeDecision } from './decision-record.ts';
import { degradedDecision } from './degraded-decision.ts';
import type { PickerObserver } from './finished-request.ts';
import { GuardedIndex } from './guarded-index.ts';
import type { OpenRequests } from './open-requests.ts';
import { readyFirst } from './ready-first.ts';
import { checkModel, noCandidates, noEndpoints } from './refusals.ts';
import { RefusedDecision } from './refused-decision.ts';
import type { Burden, RoomRound } from './room-round.ts';
import { ServedRequest } from './served-request.ts';
import { selectSubset } from './subset.ts';

export type DecideOptions = Omit<PickOptions, 'signal'>;

/** What decisions are made from, and who is told. */
export interface DecisionParts {
  readonly pool: InferencePool;
  /** Asked once per decision, so that a reload swaps it between two requests. */
  readonly profile: () => Profile;
  readonly prefixIndex: PrefixIndex;
  /** Milliseconds of a monotonic clock; the same as the pool's. */
  readonly clock: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly observer: PickerObserver;
}

export interface DecisionMakerOptions extends DecisionParts {
  /** Where the requests are put that have got an endpoint, until they end. */
  readonly open: OpenRequests;
  /** Own prefill of requests that wait and compete with this one, milliseconds. */
  readonly waitingMs: (request: InferenceRequest) => number;
  /** Undefined: nobody keeps records. */
  readonly keep: ((decision: MadeDecision) => void) | undefined;
}

/** A request at its decision. */
export interface Pending extends DecideOptions {
  readonly request: InferenceRequest;
  readonly arrivedAtMs: number;
}

/** A look at the pool in which several requests get their place one after the other. */
export interface DecisionRound {
  readonly round: RoomRound;
  /** The request's tenant takes more than its share, and leaves some room to the others. */
  readonly isOverShare: boolean;
}

/** Plugins are timed in one decision of this many: reading the clock around each would cost too much. */
const timedOneIn = 64;

/** In a round nobody passes a request on its endpoint that has waited for so many times its own prefill, and this long. */
const overdueOwn = 5;
const overdueMs = 2000;

const noBurden: Burden = Object.freeze({ ownMs: 0, uncachedTokens: 0, neededTokens: 0, isStreaming: true });

/** Makes decisions: snapshot, choose, reserve, record, in one synchronous step. */
export class DecisionMaker {
  readonly #options: DecisionMakerOptions;
  readonly #pluginTimes: PluginTimes | undefined;
  /** Of the decision under way. */
  readonly #random = seededRandom(0);
  #degradedTurn = 0;
  #timedTurn = 0;

  constructor(options: DecisionMakerOptions) {
    this.#options = options;
    const { observer, clock } = options;
    this.#pluginTimes = observer.onPluginTime && {
      clock,
      told: (kind, name, durationMs) => observer.onPluginTime?.(kind, name, durationMs),
    };
  }

  /**
   * In a round of flow control the request stays undecided if the best endpoint has no room. Throws a `ServiceError` or
   * a `RefusedDecision`.
   */
  decide(pending: Pending, given: Partial<DecisionRound> = noRound): Offer<ServedRequest> {
    const { request, subset, arrivedAtMs } = pending;
    const startedMs = given.round === undefined ? arrivedAtMs : this.#options.clock();
    const endpoints = given.round?.endpoints ?? this.#options.pool.list(startedMs);
    return this.#decideAmong(allowedOf(endpoints, request, subset), pending, given, startedMs);
  }

  /** `isRest`: the request may go to others, too, but not now. */
  #decideAmong(
    allowed: EndpointList,
    pending: Pending,
    given: Partial<DecisionRound>,
    startedMs: number,
    isRest = false,
  ): Offer<ServedRequest> {
    const { prefixIndex, clock, random, keep } = this.#options;
    const { request, parserFault, arrivedAtMs } = pending;
    const { round, isOverShare = false } = given;
    const faults: PluginFailure[] = [];
    if (parserFault !== undefined) faults.push({ kind: 'parser', name: 'parser', message: parserFault });
    const index = new GuardedIndex(prefixIndex, faults);
    const seed = Math.floor(random() * 2 ** 32);
    this.#random.restart(seed);
    const context = this.#contextOf(request, startedMs, index);
    const { result: proposed, profile } = this.#propose(request, allowed, context, faults);
    const result = round === undefined ? proposed : readyFirst(proposed);
    const best = choiceOf(result);
    const burden = best === undefined || round === undefined ? noBurden : this.#burdenOn(best, context);
    const { ownMs, uncachedTokens: tokens, neededTokens } = burden;
    if (best === undefined && isRest) return { kind: 'no-room', ownMs, tokens, neededTokens };
    if (best !== undefined && round !== undefined) {
      const isKept = round.keeper.isKeptFrom(best, pending);
      if (isKept || !round.hasRoomAt(best, burden, isOverShare)) {
        const rest = isRest ? undefined : this.#restOf(allowed, isKept ? best : undefined, context, given);
        const other = rest && this.#decideAmong(rest, pending, given, startedMs, true);
        if (other?.kind === 'placed') return other;
        if (!isOverShare) round.keepForOthers(best);
        const isShort = !isKept && round.isRoomForLess(best, burden);
        if (startedMs - arrivedAtMs > overdueOwn * ownMs + overdueMs) round.close(best);
        if (!isShort) return { kind: 'no-room', ownMs, tokens, neededTokens };
        const capacityTokens = best.learned.kvCapacityTokens ?? Number.POSITIVE_INFINITY;
        const keepPlace = () => this.#keepPlace(result.ranking, context, pending, round);
        const shortage = { neededTokens, capacityTokens, keepPlace };
        return { kind: 'no-room', ownMs, tokens, neededTokens, shortage };
      }
    }
    if (best !== undefined && profile !== undefined) faults.push(...profile.confirm(context, best));
    faults.push(...result.failures);
    const queuedMs = startedMs - arrivedAtMs;
    const record = withOutcome(result, { failures: faults, queuedMs, durationMs: clock() - startedMs });
    keep?.({ seed, context, endpoints: allowed, result: record });
    if (best === undefined) throw new RefusedDecision(noEndpoints(allowed.flat, record), record);
    const served = this.#serve(pending, record, index);
    round?.reserved(best, burden);
    return { kind: 'placed', value: served, ownMs, tokens, neededTokens };
  }

  /**
   * Where a request may go that finds no room at the best endpoint: to the one that is kept for it, if it fits there by
   * now, or past the one that is kept from it.
   */
  #restOf(
    allowed: EndpointList,
    keptFromIt: Endpoint | undefined,
    context: SchedulingContext,
    { round, isOverShare = false }: Partial<DecisionRound>,
  ): EndpointList | undefined {
    if (keptFromIt !== undefined) return allowed.without(keptFromIt);
    const kept = allowed.find((endpoint) => round?.keeper.isKeptFor(endpoint, context.request) === true);
    if (kept === undefined || round?.hasRoomAt(kept, this.#burdenOn(kept, context), isOverShare) !== true)
      return undefined;
    return EndpointList.of([kept]);
  }

  /** Keeps the engine where the request would have its first token soonest. */
  #keepPlace(
    engines: readonly Endpoint[],
    context: SchedulingContext,
    pending: Pending,
    round: RoomRound,
  ): Place | undefined {
    let soonest: { readonly engine: Endpoint; readonly waitMs: number } | undefined;
    let leastMs = Number.POSITIVE_INFINITY;
    for (const engine of engines) {
      const burden = this.#burdenOn(engine, context);
      const waitMs = round.waitMsAt(engine, burden);
      if (waitMs === undefined || waitMs + burden.ownMs >= leastMs) continue;
      leastMs = waitMs + burden.ownMs;
      soonest = { engine, waitMs };
    }
    return soonest && round.keeper.keep(soonest.engine, pending, soonest.waitMs);
  }

  #serve({ request, arrivedAtMs }: Pending, record: SchedulingResult, index: GuardedIndex): ServedRequest {
    const { pool, clock, observer, open } = this.#options;
    const served = new ServedRequest({
      request,
      record,
      arrivedAtMs,
      pool,
      prefixIndex: index,
      clock,
      observer,
      onEnd: this.#onEnd,
    });
    open.add(served);
    return served;
  }

  readonly #onEnd = (ended: ServedRequest): void => this.#options.open.remove(ended);

  #burdenOn(endpoint: Endpoint, context: SchedulingContext): Burden {
    const { promptTokens, prefix, isStreaming } = context.request;
    const uncached = uncachedTokens(context, endpoint);
    return {
      ownMs: ownPrefillMs(endpoint, promptTokens, uncached),
      uncachedTokens: uncached,
      neededTokens: Math.max(0, promptTokens - this.#options.pool.heldOrAwaitedTokens(endpoint, prefix)),
      isStreaming,
    };
  }

  /** A fault of the profile, as against one of its plugins, must not cost the client its answer. */
  #propose(
    request: InferenceRequest,
    allowed: EndpointList,
    context: SchedulingContext,
    faults: PluginFailure[],
  ): { readonly result: SchedulingResult; readonly profile: Profile | undefined } {
    try {
      const profile = this.#options.profile();
      return { result: profile.propose(context, allowed), profile };
    } catch (error) {
      faults.push({ kind: 'profile', name: 'profile', message: String(error) });
      return {
        result: degradedDecision(request, allowed.flat, this.#degradedTurn++, []),
        profile: undefined,
      };
    }
  }

  #contextOf(request: InferenceRequest, nowMs: number, index: GuardedIndex): SchedulingContext {
    let match: PrefixMatch | undefined;
    this.#timedTurn = (this.#timedTurn + 1) % timedOneIn;
    return {
      request,
      nowMs,
      random: this.#random,
      waitingMs: this.#options.waitingMs(request),
      cachedTokens({ slot }: Endpoint): number {
        match ??= index.match(request.prefix);
        return Math.min(request.promptTokens, match.cachedBlocks(slot) * request.prefix.blockTokens);
      },
      holders() {
        match ??= index.match(request.prefix);
        return match.holders;
      },
      pluginTimes: this.#timedTurn === 1 ? this.#pluginTimes : undefined,
    };
  }
}

const noRound: Partial<DecisionRound> = Object.freeze({});

/** Those that the request may go to. Throws a `ServiceError` if there is none, ready or not. */
function allowedOf(
  endpoints: EndpointList,
  { model }: InferenceRequest,
  subset: readonly string[] | undefined,
): EndpointList {
  if (!endpoints.some(isReady)) throw noEndpoints(endpoints.flat);
  checkModel(model, endpoints);
  if (subset === undefined) return endpoints;
  const allowed = EndpointList.of(selectSubset(endpoints.flat, subset));
  if (allowed.length === 0) throw noCandidates(subset, endpoints.flat);
  return allowed;
}

function isReady(endpoint: Endpoint): boolean {
  return endpoint.isReady;
}
