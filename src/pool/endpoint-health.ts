/**
 * Whether one endpoint may get requests, from scrapes (active) and from requests that failed (passive).
 *
 *                    scrape ok              connection failed, error answers, late first tokens
 *     unseen ───────────────────────▶ ready ───────────────────────────▶ ejected
 *       ▲                             ▲  ▲                                │    │
 *       │ scrape failed               │  └── first broken connection: ─────┘    │ otherwise:
 *       └──── (from any state) ────▶ down    scrape ok                          │ back-off over, scrape ok
 *                                     │            request ok                   ▼
 *                                     └◀──────────────────────────────── half-open: one request at a time
 *
 * The back-off is for an endpoint whose scrapes succeed while its requests fail: without it the endpoint
 * would be taken back by each scrape. Times are milliseconds of the pool's clock.
 */

/** What counted against an ejected endpoint. */
export type EjectionCause = 'connection' | 'errors' | 'slow';

export interface Ejection {
  readonly cause: EjectionCause;
  readonly reason: string;
  readonly atMs: number;
  /** For how long at least; 0: until the next scrape succeeds. */
  readonly backOffMs: number;
}

/** The first back-off; each further failure in a row doubles it. */
const firstBackOffMs = 500;
const longestBackOffMs = 10_000;
/** Error answers in a row that count as one failure (the same as Envoy's `consecutive_5xx`). */
const errorAnswersPerFailure = 5;
/** First tokens in a row that came far too late and count as one failure. */
const lateTokensPerFailure = 5;
/** How long an endpoint without an answer may still be taken for busy. */
const longestSilenceMs = 30_000;

/** The problem of an endpoint that was just added. */
export const notYetScraped = 'not yet scraped';

type Probe = 'none' | 'open' | 'taken';

export class EndpointHealth {
  /** How often the endpoint was ejected. */
  ejections = 0;
  #scrapeProblem: string | undefined = notYetScraped;
  #silentSinceMs: number | undefined;
  #ejection: Ejection | undefined;
  #awaitsScrape = false;
  #failuresInARow = 0;
  #errorAnswersInARow = 0;
  #lateTokensInARow = 0;
  #probe: Probe = 'none';

  /** The last one, until a request has succeeded after it. */
  get ejection(): Ejection | undefined {
    return this.#ejection;
  }

  /** Why the engine cannot be read; undefined if it can. */
  get scrapeProblem(): string | undefined {
    return this.#scrapeProblem;
  }

  isReady(nowMs: number): boolean {
    return this.notReadyReason(nowMs) === undefined;
  }

  notReadyReason(nowMs: number): string | undefined {
    if (this.#scrapeProblem !== undefined) return this.#scrapeProblem;
    if (this.#isEjected(nowMs)) return `ejected: ${this.#ejection?.reason}`;
    return this.#probe === 'taken' ? 'half-open: one request is trying it' : undefined;
  }

  /** It was well, refuses nothing, and for a while answers scrapes too late: busy rather than gone. */
  isSilent(nowMs: number): boolean {
    const sinceMs = this.#silentSinceMs;
    return sinceMs !== undefined && nowMs - sinceMs < longestSilenceMs && !this.#isEjected(nowMs);
  }

  scrapeSucceeded(): void {
    this.#scrapeProblem = undefined;
    this.#silentSinceMs = undefined;
    this.#awaitsScrape = false;
  }

  scrapeFailed(reason: string): void {
    this.#scrapeProblem = reason;
    this.#silentSinceMs = undefined;
  }

  /** The scrape got no answer in time. */
  scrapeTimedOut(reason: string, nowMs: number): void {
    if (this.#scrapeProblem === undefined) this.#silentSinceMs = nowMs;
    this.#scrapeProblem = reason;
  }

  /** A request could not be sent, or its connection broke. */
  requestFailed(reason: string, nowMs: number): void {
    this.#eject('connection', reason, nowMs);
  }

  /** The engine answered a request with a server error. */
  requestGotError(reason: string, sentAtMs: number, nowMs: number): void {
    if (!this.#isOfNow(sentAtMs)) return;
    this.#errorAnswersInARow++;
    if (this.#probe === 'none' && this.#errorAnswersInARow < errorAnswersPerFailure) return;
    const count = this.#errorAnswersInARow;
    const inARow = count === 1 ? 'an error answer' : `${count} error answers in a row, the last`;
    this.#eject('errors', `${inARow}: ${reason}`, nowMs);
  }

  /** The first token of a request came in the time that it usually takes. */
  firstTokenCame(sentAtMs: number): void {
    if (this.#isOfNow(sentAtMs)) this.#lateTokensInARow = 0;
  }

  /** It came far too late, or still has not come. */
  firstTokenIsLate(reason: string, sentAtMs: number, nowMs: number): void {
    if (!this.#isOfNow(sentAtMs)) return;
    this.#lateTokensInARow++;
    if (this.#probe === 'none' && this.#lateTokensInARow < lateTokensPerFailure) return;
    this.#eject('slow', `first tokens come too late: ${reason}`, nowMs);
  }

  requestSucceeded(sentAtMs: number, nowMs: number): void {
    if (this.#isEjected(nowMs) || !this.#isOfNow(sentAtMs)) return;
    this.#failuresInARow = 0;
    this.#errorAnswersInARow = 0;
    this.#probe = 'none';
    this.#ejection = undefined;
  }

  /** A request is about to be sent. True if it is the one that tries a half-open endpoint. */
  takeProbe(): boolean {
    if (this.#probe !== 'open') return false;
    this.#probe = 'taken';
    return true;
  }

  /** The trying request ended without a verdict, e.g. because its client left. */
  returnProbe(): void {
    if (this.#probe === 'taken') this.#probe = 'open';
  }

  #eject(cause: EjectionCause, reason: string, nowMs: number): void {
    // One broken connection fails all requests on it; they are one failure.
    if (this.#isEjected(nowMs)) return;
    this.#failuresInARow++;
    this.#errorAnswersInARow = 0;
    this.#lateTokensInARow = 0;
    // Scrapes prove that connections can be made, but nothing about error answers and slowness.
    const doublings = this.#failuresInARow - (cause === 'connection' ? 2 : 1);
    const backOffMs = doublings < 0 ? 0 : Math.min(longestBackOffMs, firstBackOffMs * 2 ** doublings);
    this.#ejection = { cause, reason, atMs: nowMs, backOffMs };
    this.#awaitsScrape = true;
    this.#probe = doublings < 0 ? 'none' : 'open';
    this.ejections++;
  }

  /** A request from before the ejection says nothing about the endpoint as it is now. */
  #isOfNow(sentAtMs: number): boolean {
    return this.#ejection === undefined || sentAtMs >= this.#ejection.atMs;
  }

  #isEjected(nowMs: number): boolean {
    if (this.#ejection === undefined) return false;
    return this.#awaitsScrape || nowMs < this.#ejection.atMs + this.#ejection.backOffMs;
  }
}
