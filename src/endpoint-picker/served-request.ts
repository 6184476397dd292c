import type { InferencePool, Reservation } from '../pool/inference-pool.ts';
import type { PrefixIndex } from '../prefix-index/prefix-index.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';
import type { SchedulingResult } from '../scheduling/scheduling-result.ts';
import type { Assignment, Outcome } from './assignment.ts';
import type { PickerObserver } from './finished-request.ts';

export interface ServedRequestOptions {
  readonly request: InferenceRequest;
  /** With at least one endpoint in its ranking. */
  readonly record: SchedulingResult;
  readonly pool: InferencePool;
  readonly prefixIndex: PrefixIndex;
  readonly clock: () => number;
  readonly observer: PickerObserver;
  readonly onEnd: (request: ServedRequest) => void;
}

/** A pick being served: owns the reservation on the endpoint it is on now, from construction to `finish`. */
export class ServedRequest implements Assignment {
  readonly request: InferenceRequest;
  readonly record: SchedulingResult;
  readonly #options: ServedRequestOptions;
  readonly #pickedAtMs: number;
  #endpoint: Endpoint;
  #reservation: Reservation;
  /** Index in the ranking of the next fallback. */
  #nextRank = 1;
  #retries = 0;
  #ttftMs: number | undefined;
  #isFinished = false;

  constructor(options: ServedRequestOptions) {
    this.#options = options;
    this.request = options.request;
    this.record = options.record;
    this.#pickedAtMs = options.clock();
    this.#endpoint = options.record.ranking[0]!;
    this.#reservation = this.#reserve();
  }

  get endpoint(): Endpoint {
    return this.#endpoint;
  }

  retryNext(reason: string): Endpoint | undefined {
    if (this.#isFinished) return undefined;
    const { pool } = this.#options;
    pool.reportFailure(this.#endpoint, reason);
    this.#reservation.release();
    while (this.#nextRank < this.record.ranking.length) {
      const next = pool.find(this.record.ranking[this.#nextRank++]!);
      if (next?.isReady !== true) continue;
      this.#retries++;
      this.#endpoint = next;
      this.#reservation = this.#reserve();
      return next;
    }
    return undefined;
  }

  firstToken(): void {
    if (this.#isFinished || this.#ttftMs !== undefined) return;
    this.#ttftMs = this.#options.clock() - this.#pickedAtMs;
    this.#reservation.firstToken();
  }

  finish(outcome: Outcome): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    const { clock, observer, onEnd } = this.#options;
    this.#report(outcome);
    this.#reservation.release();
    onEnd(this);
    observer.onFinished({
      request: this.request,
      record: this.record,
      endpoint: this.#endpoint.name,
      outcome,
      predictedCachedTokens: this.#predictedCachedTokens(),
      retries: this.#retries,
      ttftMs: this.#ttftMs,
      durationMs: clock() - this.#pickedAtMs,
    });
  }

  #reserve(): Reservation {
    const { pool, prefixIndex } = this.#options;
    const { promptTokens, prefix } = this.request;
    const uncachedTokens = Math.max(0, promptTokens - this.#predictedCachedTokens());
    const reservation = pool.reserve(this.#endpoint, { promptTokens, uncachedTokens });
    prefixIndex.record(this.#endpoint.slot, prefix);
    return reservation;
  }

  #report(outcome: Outcome): void {
    const { pool } = this.#options;
    switch (outcome.kind) {
      case 'completed':
        pool.reportSuccess(this.#endpoint);
        return;
      case 'rejected_by_engine':
        // 501 and 503 are honest answers of an engine that works; other server errors are not.
        if (outcome.status < 500 || outcome.status === 501 || outcome.status === 503) {
          pool.reportSuccess(this.#endpoint);
        } else pool.reportErrorAnswer(this.#endpoint, `status ${outcome.status}`);
        return;
      case 'connect_failed':
      case 'upstream_failed':
        pool.reportFailure(this.#endpoint, outcome.reason);
        return;
      case 'client_aborted':
        // Says nothing about the endpoint.
        return;
    }
  }

  /** As the decision saw it, for the endpoint that serves the request now. */
  #predictedCachedTokens(): number {
    const { name } = this.#endpoint;
    return this.record.candidates.find((candidate) => candidate.name === name)?.cachedTokens ?? 0;
  }
}
