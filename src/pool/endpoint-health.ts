/**
 * Whether one endpoint may get requests, from scrapes (active) and from requests that failed (passive).
 *
 *                    scrape ok                       connection failed
 *     unseen ───────────────────────▶ ready ───────────────────────────▶ ejected
 *       ▲                             ▲  ▲                                │    │
 *       │ scrape failed               │  └── first failure: scrape ok ────┘    │ more failures in a row:
 *       └──── (from any state) ────▶ down                                      │ back-off over, scrape ok
 *                                     │            request ok                  ▼
 *                                     └◀──────────────────────────────── half-open: one request at a time
 *
 * The back-off is for an endpoint whose scrapes succeed while its requests fail: without it the endpoint
 * would be taken back by each scrape. Times are milliseconds of the pool's clock.
 */

/** Ejection after the 2nd, 3rd, ... failure in a row; the first lasts until the next scrape succeeds. */
const firstBackOffMs = 500;
const longestBackOffMs = 10_000;
/** Error answers in a row that count as one failure (the same as Envoy's `consecutive_5xx`). */
const errorAnswersPerFailure = 5;
/** How long an endpoint without an answer may still be taken for busy. */
const longestSilenceMs = 30_000;

type Probe = 'none' | 'open' | 'taken';

export class EndpointHealth {
  #scrapeProblem: string | undefined = 'not yet scraped';
  #silentSinceMs: number | undefined;
  #ejection: { readonly reason: string; readonly untilMs: number; awaitsScrape: boolean } | undefined;
  #failuresInARow = 0;
  #errorAnswersInARow = 0;
  #probe: Probe = 'none';

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
    if (this.#ejection !== undefined) this.#ejection.awaitsScrape = false;
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
    // One broken connection fails all requests on it; they are one failure.
    if (this.#isEjected(nowMs)) return;
    this.#failuresInARow++;
    this.#errorAnswersInARow = 0;
    const doublings = this.#failuresInARow - 2;
    const backOffMs = doublings < 0 ? 0 : Math.min(longestBackOffMs, firstBackOffMs * 2 ** doublings);
    this.#ejection = { reason, untilMs: nowMs + backOffMs, awaitsScrape: true };
    this.#probe = doublings < 0 ? 'none' : 'open';
  }

  /** The engine answered a request with a server error. */
  requestGotError(reason: string, nowMs: number): void {
    this.#errorAnswersInARow++;
    if (this.#errorAnswersInARow >= errorAnswersPerFailure) {
      this.requestFailed(`${errorAnswersPerFailure} error answers in a row, the last: ${reason}`, nowMs);
    }
  }

  requestSucceeded(nowMs: number): void {
    // A request from before the ejection says nothing about new connections.
    if (this.#isEjected(nowMs)) return;
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

  #isEjected(nowMs: number): boolean {
    return this.#ejection !== undefined && (this.#ejection.awaitsScrape || nowMs < this.#ejection.untilMs);
  }
}
