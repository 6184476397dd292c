import type { InferencePool } from '../pool/inference-pool.ts';
import type { Reservation } from '../pool/reservation.ts';
import type { PrefixIndex } from '../prefix-index/prefix-index.ts';
import { prefillWork } from '../scheduling/delay-estimate.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import type { InferenceRequest } from '../scheduling/inference-request.ts';
import { cachedOnChoice, choiceOf } from '../scheduling/led-result.ts';
import type { SchedulingResult } from '../scheduling/scheduling-result.ts';
import type { Assignment, Outcome } from './assignment.ts';
import { candidateScores, type Explanation, explanation } from './explain.ts';
import type { PickerObserver } from './finished-request.ts';
import { type PredictedDelays, predictedDelays } from './predicted-delays.ts';

export interface ServedRequestOptions {
  readonly request: InferenceRequest;
  /** With at least one endpoint in its ranking. */
  readonly record: SchedulingResult;
  /** When the whole request was there, before any waiting; of `clock`. */
  readonly arrivedAtMs: number;
  readonly pool: InferencePool;
  /** Must not throw: a request is more than what is known of caches. */
  readonly prefixIndex: Pick<PrefixIndex, 'blockTokens' | 'match' | 'record' | 'release' | 'forget'>;
  readonly clock: () => number;
  readonly observer: PickerObserver;
  readonly onEnd: (request: ServedRequest) => void;
}

/** A pick being served: owns the reservation on the endpoint it is on now, from construction to `finish`. */
export class ServedRequest implements Assignment {
  readonly request: InferenceRequest;
  readonly record: SchedulingResult;
  /** Its place in the list of open requests; written by the owner of the list only. */
  place = 0;
  readonly #options: ServedRequestOptions;
  #endpoint: Endpoint;
  #reservation: Reservation;
  /** Leading tokens that were believed cached before this request came there. */
  #cachedTokens = 0;
  readonly #predicted: PredictedDelays | undefined;
  /** Index in the ranking of the next fallback. */
  #nextRank = 1;
  #retries = 0;
  #ttftMs: number | undefined;
  #responseBytes = 0;
  #hasPassedFirstToken = false;
  readonly #pieceGap: ((gapMs: number) => void) | undefined;
  /** When the last piece went by, in requests whose pieces are timed. */
  #pieceMs = 0;
  /** The pool knows that the current endpoint has failed: it is told once. */
  #isFailureReported = false;
  #isFinished = false;

  constructor(options: ServedRequestOptions) {
    this.#options = options;
    this.request = options.request;
    this.record = options.record;
    this.#endpoint = choiceOf(options.record)!;
    this.#cachedTokens = cachedOnChoice(options.record);
    this.#predicted = predictedDelays(this.#endpoint, {
      tokens: this.request.promptTokens,
      cachedTokens: this.#cachedTokens,
      queuedMs: this.record.queuedMs ?? 0,
    });
    this.#pieceGap = options.observer.pieceGaps?.(options.request);
    this.#reservation = this.#reserve();
  }

  get timesPieces(): boolean {
    return this.#pieceGap !== undefined;
  }

  get endpoint(): Endpoint {
    return this.#endpoint;
  }

  alternatives(count: number): readonly string[] {
    if (count === 0) return [];
    const others = this.record.ranking.filter((each) => each !== this.#endpoint && each.isReady);
    return others.slice(0, count).map(({ address }) => address);
  }

  explanation(): Explanation {
    return explanation(this);
  }

  scores(): ReturnType<typeof candidateScores> {
    return candidateScores(this.record);
  }

  retryNext(reason: string): Endpoint | undefined {
    if (this.#isFinished) return undefined;
    const { pool } = this.#options;
    this.#reportFailure(reason);
    this.#leave();
    while (this.#nextRank < this.record.ranking.length) {
      const next = pool.find(this.record.ranking[this.#nextRank++]!);
      if (next?.isReady !== true) continue;
      this.#retries++;
      this.#moveTo(next);
      return next;
    }
    return undefined;
  }

  servedBy(address: string, passedOver: readonly string[]): void {
    if (this.#isFinished || this.#endpoint.address === address) return;
    const { pool, clock } = this.#options;
    const endpoints = pool.snapshot(clock());
    const served = endpoints.find((endpoint) => endpoint.address === address);
    for (const endpoint of endpoints) {
      if (!passedOver.includes(endpoint.address)) continue;
      if (endpoint.name === this.#endpoint.name) this.#reportFailure(passedOverReason);
      else pool.reportFailure(endpoint, passedOverReason);
    }
    this.#retries += passedOver.length;
    if (served === undefined) return;
    this.#leave();
    this.#moveTo(served);
  }

  firstToken(): void {
    if (this.#isFinished || this.#ttftMs !== undefined) return;
    const { clock, arrivedAtMs } = this.#options;
    const nowMs = clock();
    this.#ttftMs = nowMs - arrivedAtMs;
    this.#pieceMs = nowMs;
    this.#reservation.firstToken();
  }

  passed(bytes: number): void {
    // The piece with the first token is where the gaps begin.
    if (this.#pieceGap !== undefined && this.#hasPassedFirstToken) {
      const nowMs = this.#options.clock();
      this.#pieceGap(nowMs - this.#pieceMs);
      this.#pieceMs = nowMs;
    }
    this.#hasPassedFirstToken ||= this.#ttftMs !== undefined;
    this.#responseBytes += bytes;
  }

  finish(outcome: Outcome): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    const { clock, arrivedAtMs, observer, onEnd } = this.#options;
    this.#report(outcome);
    this.#reservation.release(outcome.kind === 'completed' ? outcome.usage?.completionTokens : undefined);
    if (hasNotComputed(outcome) && this.#ttftMs === undefined) this.#forgetPrefix();
    else this.#releasePrefix();
    onEnd(this);
    observer.onFinished({
      request: this.request,
      record: this.record,
      endpoint: this.#endpoint.name,
      outcome,
      predictedCachedTokens: this.#cachedTokens,
      predicted: this.#predicted,
      retries: this.#retries,
      responseBytes: this.#responseBytes,
      queuedMs: this.record.queuedMs ?? 0,
      ttftMs: this.#ttftMs,
      durationMs: clock() - arrivedAtMs,
    });
  }

  #moveTo(endpoint: Endpoint): void {
    const { prefixIndex } = this.#options;
    const { prefix, promptTokens } = this.request;
    const blocks = prefix.count === 0 ? 0 : prefixIndex.match(prefix).cachedBlocks(endpoint.slot);
    this.#cachedTokens = Math.min(promptTokens, blocks * prefixIndex.blockTokens);
    this.#endpoint = endpoint;
    this.#isFailureReported = false;
    this.#reservation = this.#reserve();
    if (this.#ttftMs !== undefined) this.#reservation.firstToken();
  }

  #reserve(): Reservation {
    const { pool, prefixIndex } = this.#options;
    const { promptTokens, prefix, isStreaming } = this.request;
    const uncachedTokens = Math.max(0, promptTokens - this.#cachedTokens);
    const reservation = pool.reserve(this.#endpoint, {
      promptTokens,
      uncachedTokens,
      prefillWork: prefillWork(promptTokens, uncachedTokens),
      prefix,
      isStreaming,
    });
    prefixIndex.record(this.#endpoint.slot, prefix);
    return reservation;
  }

  /** The current endpoint does not serve this request after all. */
  #leave(): void {
    this.#reservation.release();
    this.#forgetPrefix();
  }

  #releasePrefix(): void {
    const { pool, prefixIndex } = this.#options;
    const { prefix } = this.request;
    if (prefix.count === 0 || !pool.has(this.#endpoint)) return;
    prefixIndex.release(this.#endpoint.slot, prefix, this.#blocksHeldByOthers());
  }

  /** Takes back what was recorded for the current endpoint, which may be gone, its slot with another. */
  #forgetPrefix(): void {
    const { pool, prefixIndex } = this.#options;
    const { prefix } = this.request;
    if (prefix.count === 0 || !pool.has(this.#endpoint)) return;
    const cachedBlocks = Math.ceil(this.#cachedTokens / prefixIndex.blockTokens);
    prefixIndex.forget(this.#endpoint.slot, prefix, cachedBlocks, this.#blocksHeldByOthers());
  }

  /** Once this request's own reservation is released. */
  #blocksHeldByOthers(): number {
    const { pool, prefixIndex } = this.#options;
    return Math.floor(pool.heldTokens(this.#endpoint, this.request.prefix) / prefixIndex.blockTokens);
  }

  #report(outcome: Outcome): void {
    const { pool } = this.#options;
    const { sentAtMs } = this.#reservation;
    switch (outcome.kind) {
      case 'completed':
        pool.reportSuccess(this.#endpoint, sentAtMs);
        return;
      case 'rejected_by_engine':
        // 501 tells what the engine cannot do, not that it is unwell.
        if (outcome.status < 500 || outcome.status === 501) pool.reportSuccess(this.#endpoint, sentAtMs);
        else pool.reportErrorAnswer(this.#endpoint, `status ${outcome.status}`, sentAtMs);
        return;
      case 'connect_failed':
      case 'upstream_failed':
        this.#reportFailure(outcome.reason);
        return;
      case 'client_aborted':
      case 'cut_at_shutdown':
      case 'worker_lost':
        // Says nothing about the endpoint.
        return;
    }
  }

  #reportFailure(reason: string): void {
    if (this.#isFailureReported) return;
    this.#isFailureReported = true;
    this.#options.pool.reportFailure(this.#endpoint, reason);
  }
}

const passedOverReason = 'the data plane went on to a fallback';

/** The engine has refused the prompt or never got it, so its blocks are in no cache. */
function hasNotComputed({ kind }: Outcome): boolean {
  return kind === 'connect_failed' || kind === 'upstream_failed' || kind === 'rejected_by_engine';
}
