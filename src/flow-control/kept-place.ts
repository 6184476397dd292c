import type { Waiting } from './waiting.ts';

/** An endpoint that takes nobody who came after the request that it is kept for, but higher priorities, until it is free. */
export interface Place {
  /** How long the request is expected to wait there, milliseconds. */
  readonly waitMs: number;
  /** The endpoint is gone or down. */
  isLost(): boolean;
  free(): void;
}

/** Why a request finds no room where a smaller one would. */
export interface Shortage {
  readonly neededTokens: number;
  /** Of the endpoint's memory. */
  readonly capacityTokens: number;
  /** Keeps the endpoint where the request would begin soonest, if there is one that can hold it. */
  readonly keepPlace: () => Place | undefined;
}

/** Of its time to live, how long a request that needs a whole endpoint is passed; for one that needs half, twice that. */
const patientShare = 0.25;
const mostPatientShare = 0.5;
/** The wait foreseen is a mean; the last answer there ends later. */
const lastOverMean = 4;
const leastKeptMs = 10_000;

/**
 * The one place that is kept for a request that smaller ones would pass for ever: the reservation of EASY backfilling
 * (Lifka 1995). It goes to the first in the order of the line that has been passed for too long. Who came before it
 * may still go there, as they pass nobody; so a request waits for those before it only, and all begin in the end.
 *
 *     waits ── passed for too long ─▶ has the place ── begins, or leaves ─▶ free
 *        ◀── endpoint lost, kept for too long, or a higher priority's ──┘
 */
export class KeptPlace<T> {
  #holder: Waiting<T> | undefined;
  #place: Place | undefined;
  #untilMs = Number.POSITIVE_INFINITY;
  /** Who came before the holder and still wait. */
  #older = 0;
  /** Memory given to requests so far, tokens. */
  #givenTokens = 0;

  /** Whom it is kept for: nobody any more if it is lost, or was kept for too long. */
  holderAt(nowMs: number): Waiting<T> | undefined {
    if (nowMs >= this.#untilMs || this.#place?.isLost() === true) this.#free();
    return this.#holder;
  }

  /** Somebody who waits may go there, `highestPriority` being that of all who wait. */
  isOpenToSome(highestPriority: number): boolean {
    return this.#holder === undefined || this.#older > 0 || highestPriority > this.#holder.priority;
  }

  /** A request has got this much memory somewhere. */
  gave(tokens: number): void {
    this.#givenTokens += tokens;
  }

  /** The request waits no longer. True if a place is free now that was kept for it. */
  left(waiting: Waiting<T>): boolean {
    if (this.#holder === undefined) return false;
    if (waiting.arrivedAtMs < this.#holder.arrivedAtMs) this.#older--;
    if (waiting !== this.#holder) return false;
    this.#free();
    return true;
  }

  /**
   * The request is short of room. True if others have passed it for too long: the less it needs, the likelier it is that
   * chance makes room for it. One that needs a whole endpoint is passed by no more than fills all `endpoints` once, or for
   * a quarter of its time to live. We know what we have given alone: beside other replicas, `endpoints` are as many as
   * are ours.
   */
  isDue(waiting: Waiting<T>, { neededTokens, capacityTokens }: Shortage, endpoints: number, nowMs: number) {
    waiting.passedFrom ??= this.#givenTokens;
    if (this.#holder !== undefined && this.#holder.priority >= waiting.priority) return false;
    const chances = capacityTokens / neededTokens;
    const passedTokens = this.#givenTokens - waiting.passedFrom;
    if (passedTokens >= chances ** 2 * capacityTokens * endpoints) return true;
    const { arrivedAtMs, deadline } = waiting;
    const share = patientShare * chances;
    return share <= mostPatientShare && nowMs - arrivedAtMs >= share * (deadline.key - arrivedAtMs);
  }

  /** Instead of whom it was kept for before. O(n) in `all` who wait. */
  keep(holder: Waiting<T>, place: Place, all: Iterable<Waiting<T>>, nowMs: number): void {
    this.#free();
    this.#holder = holder;
    this.#place = place;
    this.#untilMs = nowMs + leastKeptMs + lastOverMean * place.waitMs;
    this.#older = 0;
    for (const { arrivedAtMs } of all) if (arrivedAtMs < holder.arrivedAtMs) this.#older++;
  }

  /** One that still waits is to be passed anew before a place is kept for it again. */
  #free(): void {
    if (this.#holder === undefined) return;
    this.#place?.free();
    this.#holder.passedFrom = undefined;
    this.#holder = undefined;
    this.#place = undefined;
    this.#untilMs = Number.POSITIVE_INFINITY;
  }
}
