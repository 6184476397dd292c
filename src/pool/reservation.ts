import type { EndpointState } from './endpoint-state.ts';
import type { FirstTokenJudge } from './first-token-judge.ts';
import type { LoadEntry, RequestLoad } from './in-flight-load.ts';

/** Load that a request holds on an endpoint. Both verbs take effect once; later calls do nothing. */
export interface Reservation {
  /** When the request was counted against the endpoint; of the pool's clock. */
  readonly sentAtMs: number;
  firstToken(): void;
  /** `outputTokens` of a complete answer, if it has told; the pool learns from it. */
  release(outputTokens?: number | undefined): void;
}

/** The pool, as its reservations see it. */
export interface ReservationOwner {
  readonly clock: () => number;
  readonly firstTokenJudge: FirstTokenJudge;
  /** The endpoint's figures have changed. */
  readonly touch: (state: EndpointState) => void;
  /** Its health may change with this. */
  readonly change: (state: EndpointState, change: (state: EndpointState) => void) => void;
  /** What it can take may have changed. */
  readonly roomChanged: (state: EndpointState) => void;
  /** Its last request has ended. */
  readonly idle: (state: EndpointState) => void;
}

/** Of an endpoint that has gone between the snapshot and now: nothing is left to count against. */
export function emptyReservation(sentAtMs: number): Reservation {
  return { sentAtMs, firstToken() {}, release() {} };
}

/** Counts a request against the endpoint, from now until `release`; what its course teaches is learned. */
export class HeldReservation implements Reservation {
  readonly sentAtMs: number;
  readonly #owner: ReservationOwner;
  readonly #state: EndpointState;
  readonly #entry: LoadEntry;
  readonly #isProbe: boolean;

  constructor(owner: ReservationOwner, state: EndpointState, load: RequestLoad) {
    const sentAtMs = owner.clock();
    const { calibration } = state;
    this.sentAtMs = sentAtMs;
    this.#owner = owner;
    this.#state = state;
    state.load.settle(sentAtMs);
    calibration.settle(sentAtMs);
    const msPerToken = calibration.prefillMsPerToken();
    const pendingMs = state.load.pendingPrefillMs(sentAtMs, msPerToken);
    const prefillMs = pendingMs + msPerToken * (load.prefillWork ?? load.uncachedTokens);
    this.#entry = state.load.add(load, sentAtMs, prefillMs);
    calibration.sent(load);
    this.#isProbe = state.health.takeProbe();
    owner.touch(state);
  }

  firstToken(): void {
    const owner = this.#owner;
    const state = this.#state;
    const entry = this.#entry;
    const nowMs = owner.clock();
    state.servedAtMs = nowMs;
    if (entry.firstTokenAtMs !== undefined || !state.load.has(entry)) return;
    // The first bytes of an answer that comes as a whole are its end.
    if (entry.isStreaming !== false) {
      entry.firstTokenAtMs = nowMs;
      state.calibration.firstToken(entry.prefillWork, entry.sentAtMs, nowMs, state.stepLoad(nowMs));
      owner.change(state, () => owner.firstTokenJudge.came(state, entry, nowMs));
    }
    state.load.firstToken(entry, nowMs);
    owner.touch(state);
    owner.roomChanged(state);
  }

  release(outputTokens?: number | undefined): void {
    const owner = this.#owner;
    const state = this.#state;
    const nowMs = owner.clock();
    this.#learn(outputTokens, nowMs);
    state.load.remove(this.#entry, nowMs);
    if (this.#isProbe) state.health.returnProbe();
    if (state.load.requests === 0) owner.idle(state);
    owner.touch(state);
    owner.roomChanged(state);
  }

  #learn(outputTokens: number | undefined, endedAtMs: number): void {
    const { load, calibration } = this.#state;
    const { firstTokenAtMs } = this.#entry;
    if (outputTokens === undefined || firstTokenAtMs === undefined || !load.has(this.#entry)) return;
    calibration.ended({ firstTokenAtMs, endedAtMs, outputTokens }, this.#state.stepLoad(endedAtMs));
  }
}
