import type { AdmissionRequest } from '../flow-control/index.ts';
import { ServiceError, toServiceError } from '../protocol/errors.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';
import type { SchedulingResult } from '../scheduling/scheduling-result.ts';
import type { Assignment, EndpointPicker, PickListener, PickOptions, SubmitOptions } from './assignment.ts';
import { type DecideOptions, DecisionMaker, type DecisionParts } from './decision-maker.ts';
import { type DecisionRecord, KeptDecision, type MadeDecision } from './decision-record.ts';
import { type FlowControlSettings, startLateBinding } from './late-binding.ts';
import { OpenRequests } from './open-requests.ts';
import { RecentRecords } from './recent-records.ts';
import { listModels } from './refusals.ts';
import { RefusedDecision } from './refused-decision.ts';
import type { RoomRound } from './room-round.ts';

export interface EndpointPickerOptions extends DecisionParts {
  /** How many decision records are kept for people to look at. */
  readonly keptRecords?: number | undefined;
  /** Told of each decision, in the decision: it must be quick and not throw. */
  readonly onDecision?: ((record: DecisionRecord) => void) | undefined;
  /** Milliseconds since 1970, for the records. */
  readonly wallClock?: () => number;
  /** Without it no request waits: each goes to the endpoint that is best when it comes. */
  readonly flowControl?: FlowControlSettings | undefined;
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
  /** They themselves, in no particular order. */
  waiting(): Iterable<InferenceRequest>;
  /** Assignments that are not finished. */
  readonly openAssignments: number;
  /** Their requests. */
  openRequests(): Iterable<InferenceRequest>;
  /** From now on every pick rejects with `shutting_down`; open assignments go on. */
  shutDown(): void;
  /** Throws if assignments and the pool's counters disagree. */
  checkIntegrity(): void;
}

interface PickAdmission extends AdmissionRequest<Assignment, RoomRound> {
  readonly request: InferenceRequest;
}

/**
 * Builds the decision service. A decision is one synchronous step: snapshot, choose, reserve, record. So two
 * concurrent requests never see the same free endpoint.
 */
export function createEndpointPicker(options: EndpointPickerOptions): InspectableEndpointPicker {
  const { pool, profile, prefixIndex, clock, random, observer } = options;
  const { keptRecords = 256, onDecision, wallClock = Date.now } = options;
  const records = new RecentRecords({ capacity: keptRecords });
  const open = new OpenRequests();
  let isShuttingDown = false;
  const canWait = () => options.flowControl?.room() !== undefined;
  const flowControl = options.flowControl && startLateBinding(options.flowControl, { pool, clock });
  const keep = (made: MadeDecision): void => {
    const decision = new KeptDecision(wallClock(), made);
    records.push(decision);
    onDecision?.(decision);
  };
  const maker = new DecisionMaker({
    pool,
    profile,
    prefixIndex,
    clock,
    random,
    observer,
    open,
    waitingMs: (request) => flowControl?.competingMs(request) ?? 0,
    keep: keptRecords > 0 || onDecision !== undefined ? keep : undefined,
  });

  /** Outside of a round every decision is a placement. */
  function decideNow(
    request: InferenceRequest,
    { subset, parserFault }: DecideOptions,
    arrivedAtMs: number,
  ): Assignment {
    const offer = maker.decide({ request, subset, parserFault, arrivedAtMs });
    if (offer.kind === 'placed') return offer.value;
    throw new Error('a decision outside of flow control found no room');
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
      const { code, isFaultOfClient } = toServiceError(cause);
      const record = isRefused ? error.record : undefined;
      observer.onRejected({ request, code, isFaultOfClient, record, waitedMs: clock() - arrivedAtMs });
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
        assignment = decideNow(request, options, arrivedAtMs);
      } catch (error) {
        refused(error);
        return;
      }
      listener.placed(assignment);
    }
  }

  function admission(
    request: InferenceRequest,
    { subset, parserFault, signal }: SubmitOptions,
    arrivedAtMs: number,
  ): PickAdmission {
    const pending = { request, subset, parserFault, arrivedAtMs };
    return {
      request,
      priority: request.priority,
      tenant: request.tenant,
      bytes: request.bodyBytes,
      ttftSloMs: request.slo.ttftMs,
      signal,
      decide: (round, isOverShare) => maker.decide(pending, { round, isOverShare }),
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
        return decideNow(request, options, clock());
      } catch (error) {
        throw error instanceof RefusedDecision ? error.error : error;
      }
    },
    get waitingRequests() {
      return flowControl?.waitingRequests ?? 0;
    },
    *waiting() {
      // Nobody else enters any.
      for (const admission of flowControl?.waiting() ?? []) yield (admission as PickAdmission).request;
    },
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
