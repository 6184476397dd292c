import {
  type AdmissionRequest,
  FlowControl,
  type FlowControlLimits,
  type Offer,
  type WaitingBand,
} from '../flow-control/index.ts';
import type { InferencePool } from '../pool/inference-pool.ts';
import type { PrefixIndex, PrefixMatch } from '../prefix-index/prefix-index.ts';
import { ServiceError } from '../protocol/errors.ts';
import { ownPrefillMs, uncachedTokens } from '../scheduling/delay-estimate.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import { EndpointList } from '../scheduling/endpoint-list.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';
import { choiceOf, withOutcome } from '../scheduling/led-result.ts';
import type { Profile } from '../scheduling/profile.ts';
import type { PluginTimes, SchedulingContext } from '../scheduling/scheduling-context.ts';
import type { PluginFailure, SchedulingResult } from '../scheduling/scheduling-result.ts';
import { seededRandom } from '../scheduling/seeded-random.ts';
import type { Assignment, EndpointPicker, PickListener, PickOptions, SubmitOptions } from './assignment.ts';
import { type DecisionRecord, KeptDecision } from './decision-record.ts';
import { degradedDecision } from './degraded-decision.ts';
import type { PickerObserver } from './finished-request.ts';
import { GuardedIndex } from './guarded-index.ts';
import { OpenRequests } from './open-requests.ts';
import { readyFirst } from './ready-first.ts';
import { RecentRecords } from './recent-records.ts';
import { checkModel, listModels, noCandidates, noEndpoints } from './refusals.ts';
import { type Burden, isRoomAt, RoomRound, type RoomRule, roomEverywhere } from './room-round.ts';
import { RoomTable } from './room-table.ts';
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
  /** Told of each decision, in the decision: it must be quick and not throw. */
  readonly onDecision?: ((record: DecisionRecord) => void) | undefined;
  /** Milliseconds since 1970, for the records. */
  readonly wallClock?: () => number;
  /** Without it no request waits: each goes to the endpoint that is best when it comes. */
  readonly flowControl?: FlowControlSettings | undefined;
}

export interface FlowControlSettings {
  readonly limits: () => FlowControlLimits;
  /** Undefined: no request waits from now on, and those that do are sent. */
  readonly room: () => RoomRule | undefined;
  /** Calls back once after that time, unless the function returned is called before. */
  readonly schedule: (delayMs: number, callback: () => void) => () => void;
}

export interface InspectableEndpointPicker extends EndpointPicker {
  /** The last decision records, newest first. */
  recent(): readonly SchedulingResult[];
  /** The same with what they were made from, oldest first. */
  decisions(): readonly DecisionRecord[];
  /**
   * Decides and reserves in one synchronous step, past the waiting line. Throws what `pick` rejects with, and
   * tells the observer nothing.
   */
  decide(request: InferenceRequest, options: DecideOptions): Assignment;
  /** Requests that wait for an endpoint with room. */
  readonly waitingRequests: number;
  /** The same by priority, highest first, with the bytes of their bodies. */
  waitingByPriority(): readonly WaitingBand[];
  /** Assignments that are not finished. */
  readonly openAssignments: number;
  /** Their requests. */
  openRequests(): Iterable<InferenceRequest>;
  /** From now on every pick rejects with `shutting_down`; open assignments go on. */
  shutDown(): void;
  /** Throws if assignments and the pool's counters disagree. */
  checkIntegrity(): void;
}

export type DecideOptions = Omit<PickOptions, 'signal'>;

/**
 * Builds the decision service. A decision is one synchronous step: snapshot, choose, reserve, record. So two
 * concurrent requests never see the same free endpoint.
 */
export function createEndpointPicker(options: EndpointPickerOptions): InspectableEndpointPicker {
  const {
    pool,
    profile,
    prefixIndex,
    clock,
    random,
    observer,
    keptRecords = 256,
    onDecision,
    wallClock = Date.now,
  } = options;
  const records = new RecentRecords({ capacity: keptRecords });
  const open = new OpenRequests();
  let isShuttingDown = false;
  let degradedTurn = 0;
  let timedTurn = 0;
  const pluginTimes: PluginTimes | undefined = observer.onPluginTime && {
    clock,
    told: (kind, name, durationMs) => observer.onPluginTime?.(kind, name, durationMs),
  };
  const canWait = () => options.flowControl?.room() !== undefined;
  const flowControl = options.flowControl === undefined ? undefined : startFlowControl(options.flowControl);

  function startFlowControl({ limits, room, schedule }: FlowControlSettings): FlowControl<RoomRound> {
    const rule = () => room() ?? roomEverywhere;
    let rooms = new RoomTable(rule());
    const beginRound = () => {
      if (rooms.rule !== rule()) rooms = new RoomTable(rule());
      return new RoomRound(pool.list(clock()), rooms);
    };
    const started = new FlowControl<RoomRound>({ limits, clock, schedule, beginRound });
    pool.subscribe({
      roomChanged: (endpoint) => {
        if (started.waitingRequests === 0) return;
        const now = pool.find(endpoint);
        if (now?.isReady !== true) started.endpointLost();
        else if (isRoomAt(now, rule())) started.roomChanged();
      },
      removed: () => started.endpointLost(),
    });
    return started;
  }

  /** In a round of flow control the request stays undecided if the best endpoint has no room. */
  function decide(
    request: InferenceRequest,
    { subset, parserFault }: DecideOptions,
    arrivedAtMs: number,
    round?: RoomRound,
    isOverShare = false,
  ): Offer<Assignment> {
    const startedMs = round === undefined ? arrivedAtMs : clock();
    const endpoints = round?.endpoints ?? pool.list(startedMs);
    if (!hasReady(endpoints)) throw noEndpoints(endpoints.flat);
    checkModel(request.model, endpoints);
    const allowed = subset === undefined ? endpoints : EndpointList.of(selectSubset(endpoints.flat, subset));
    if (allowed.length === 0) throw noCandidates(subset ?? [], endpoints.flat);

    const faults: PluginFailure[] = [];
    if (parserFault !== undefined) faults.push({ kind: 'parser', name: 'parser', message: parserFault });
    const index = new GuardedIndex(prefixIndex, faults);
    const seed = Math.floor(random() * 2 ** 32);
    const context = createContext(request, startedMs, index, seededRandom(seed));
    const { result: proposed, confirm } = choose(request, allowed, context, faults);
    const result = round === undefined ? proposed : readyFirst(proposed);
    const best = choiceOf(result);
    const burden = best === undefined || round === undefined ? noBurden : burdenOn(best, context);
    const { ownMs, uncachedTokens: tokens } = burden;
    if (best !== undefined && round?.hasRoomAt(best, burden, isOverShare) === false) {
      if (!isOverShare) round.keepForOthers(best);
      if (startedMs - arrivedAtMs > overdueOwn * ownMs + overdueMs) round.keep(best);
      return { kind: 'no-room', ownMs, tokens };
    }
    if (best !== undefined) for (const failure of confirm(best)) faults.push(failure);
    for (const failure of result.failures) faults.push(failure);
    const queuedMs = startedMs - arrivedAtMs;
    const record = withOutcome(result, { failures: faults, queuedMs, durationMs: clock() - startedMs });
    if (keptRecords > 0 || onDecision !== undefined) {
      const decision = new KeptDecision({
        timeMs: wallClock(),
        seed,
        context,
        endpoints: allowed,
        result: record,
      });
      records.push(decision);
      onDecision?.(decision);
    }
    if (best === undefined) throw new RefusedDecision(noEndpoints(allowed.flat, record), record);

    const served = new ServedRequest({
      request,
      record,
      arrivedAtMs,
      pool,
      prefixIndex: index,
      clock,
      observer,
      onEnd,
    });
    open.add(served);
    round?.reserved(best, burden);
    return { kind: 'placed', value: served, ownMs, tokens };
  }

  function burdenOn(endpoint: Endpoint, context: SchedulingContext): Burden {
    const { promptTokens, prefix } = context.request;
    const uncached = uncachedTokens(context, endpoint);
    return {
      ownMs: ownPrefillMs(endpoint, promptTokens, uncached),
      uncachedTokens: uncached,
      neededTokens: Math.max(0, promptTokens - pool.heldTokens(endpoint, prefix)),
      isStreaming: context.request.isStreaming,
    };
  }

  const onEnd = (ended: ServedRequest): void => open.remove(ended);

  /** A fault of the profile, as against one of its plugins, must not cost the client its answer. */
  function choose(
    request: InferenceRequest,
    allowed: EndpointList,
    context: SchedulingContext,
    faults: PluginFailure[],
  ): {
    readonly result: SchedulingResult;
    readonly confirm: (choice: Endpoint) => readonly PluginFailure[];
  } {
    try {
      const current = profile();
      const result = current.propose(context, allowed);
      return { result, confirm: (choice) => current.confirm(context, choice) };
    } catch (error) {
      faults.push({ kind: 'profile', name: 'profile', message: String(error) });
      return { result: degradedDecision(request, allowed.flat, degradedTurn++, []), confirm: () => [] };
    }
  }

  function submit(
    request: InferenceRequest,
    options: SubmitOptions,
    listener: PickListener,
    isGivenUp = false,
  ): void {
    const arrivedAtMs = clock();
    const refused = (error: unknown): void => {
      const isRefused = error instanceof RefusedDecision;
      const cause = isRefused ? error.error : error;
      const code = cause instanceof ServiceError ? cause.code : 'internal';
      const record = isRefused ? error.record : undefined;
      observer.onRejected({ request, code, record, waitedMs: clock() - arrivedAtMs });
      listener.refused(cause);
    };
    if (isShuttingDown) refused(new ServiceError('shutting_down', 'The gateway is shutting down.'));
    else if (isGivenUp) refused(new ServiceError('client_closed', 'The client has closed the request.'));
    else if (flowControl !== undefined && canWait())
      flowControl.enter(admission(request, options, arrivedAtMs), {
        placed: (assignment) => listener.placed(assignment),
        refused,
      });
    else {
      let assignment: Assignment;
      try {
        assignment = placed(decide(request, options, arrivedAtMs));
      } catch (error) {
        refused(error);
        return;
      }
      listener.placed(assignment);
    }
  }

  function admission(
    request: InferenceRequest,
    options: SubmitOptions,
    arrivedAtMs: number,
  ): AdmissionRequest<Assignment, RoomRound> {
    return {
      priority: request.priority,
      tenant: request.tenant,
      bytes: request.bodyBytes,
      ttftSloMs: request.slo.ttftMs,
      signal: options.signal,
      decide: (round, isOverShare) => decide(request, options, arrivedAtMs, round, isOverShare),
    };
  }

  function createContext(
    request: InferenceRequest,
    nowMs: number,
    index: GuardedIndex,
    ownRandom: () => number,
  ): SchedulingContext {
    let match: PrefixMatch | undefined;
    timedTurn = (timedTurn + 1) % timedOneIn;
    return {
      request,
      nowMs,
      random: ownRandom,
      waitingMs: flowControl?.competingMs(request) ?? 0,
      cachedTokens({ slot }: Endpoint): number {
        match ??= index.match(request.prefix);
        return Math.min(request.promptTokens, match.cachedBlocks(slot) * request.prefix.blockTokens);
      },
      holders() {
        match ??= index.match(request.prefix);
        return match.holders;
      },
      pluginTimes: timedTurn === 1 ? pluginTimes : undefined,
    };
  }

  return {
    pick(request: InferenceRequest, options: PickOptions): Promise<Assignment> {
      return new Promise((assigned, refused) =>
        submit(request, options, { placed: assigned, refused }, options.signal.aborted),
      );
    },
    submit: (request, options, listener) => submit(request, options, listener),
    decide(request: InferenceRequest, options: DecideOptions): Assignment {
      try {
        return placed(decide(request, options, clock()));
      } catch (error) {
        throw error instanceof RefusedDecision ? error.error : error;
      }
    },
    get waitingRequests() {
      return flowControl?.waitingRequests ?? 0;
    },
    waitingByPriority: () => flowControl?.bands() ?? [],
    models: () => listModels(pool.snapshot(clock())),
    isReady: () => pool.snapshot(clock()).some((endpoint) => endpoint.isReady),
    recent: () =>
      records
        .recent()
        .map(({ result }) => result)
        .reverse(),
    decisions: () => records.recent(),
    get openAssignments() {
      return open.size;
    },
    *openRequests() {
      for (const { request } of open) yield request;
    },
    shutDown() {
      isShuttingDown = true;
      flowControl?.shutDown();
    },
    checkIntegrity() {
      pool.checkIntegrity();
      flowControl?.checkIntegrity();
      const reserved = pool.snapshot(clock()).reduce((sum, { inFlight }) => sum + inFlight.requests, 0);
      // Requests on removed endpoints are open here and no longer in the snapshot.
      if (reserved > open.size) {
        throw new Error(`the pool counts ${reserved} requests in flight, only ${open.size} are open`);
      }
    },
  };
}

/** Plugins are timed in one decision of this many: reading the clock around each would cost too much. */
const timedOneIn = 64;

function hasReady(endpoints: EndpointList): boolean {
  for (const { isReady } of endpoints) if (isReady) return true;
  return false;
}

const noBurden: Burden = Object.freeze({ ownMs: 0, uncachedTokens: 0, neededTokens: 0, isStreaming: true });

/** A request that has waited for so many times its own prefill, and this long, is not passed on its endpoint. */
const overdueOwn = 5;
const overdueMs = 2000;

/** Outside of a round every decision is a placement. */
function placed(offer: Offer<Assignment>): Assignment {
  if (offer.kind === 'placed') return offer.value;
  throw new Error('a decision outside of flow control found no room');
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
