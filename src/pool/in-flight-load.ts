import type { EndpointInFlight } from '../scheduling/endpoint.ts';

export interface RequestLoad {
  readonly promptTokens: number;
  /** Those not believed cached on the endpoint. */
  readonly uncachedTokens: number;
  /** False when the answer comes as a whole, so that its first token is not seen. */
  readonly isStreaming?: boolean | undefined;
}

/** One request that counts against an endpoint. Mutable, owned by `InFlightLoad`. */
export interface LoadEntry extends RequestLoad {
  /** The scrape that had last begun when the request was sent. */
  readonly epoch: number;
  readonly sentAtMs: number;
  /** When its first token was expected to come, milliseconds after it was sent. */
  readonly expectedMs: number;
  isWaitingForFirstToken: boolean;
  firstTokenAtMs: number | undefined;
  /** Its first token came, or is missing, far too late; that has been counted. */
  isLate: boolean;
}

/**
 * Counts what we have sent to one endpoint and not seen finished. Which requests a scrape cannot have seen is
 * told by epochs: each scrape that begins opens one, and the requests sent in it or later are news to it.
 *
 *     epoch 4        5              6
 *     ├── scrape ok ─┼── scrape ... ┼──▶      sentSinceScrape: epoch >= that of the last scrape that succeeded
 */
export class InFlightLoad {
  #epoch = 0;
  #succeededEpoch = 0;
  #sentInEpoch = 0;
  #sentSinceScrape = 0;
  #requests = 0;
  #waitingForFirstToken = 0;
  #promptTokens = 0;
  #uncachedTokens = 0;
  readonly #entries = new Set<LoadEntry>();
  /** Requests whose first token will not be seen, with the time when it is assumed; in that order. */
  readonly #unseen: { readonly entry: LoadEntry; readonly assumedAtMs: number }[] = [];

  get requests(): number {
    return this.#requests;
  }

  /** `prefillMs` is the expected time to the first token; it is assumed for requests that will not show theirs. */
  add(
    { promptTokens, uncachedTokens, isStreaming = true }: RequestLoad,
    nowMs: number,
    prefillMs: number,
  ): LoadEntry {
    const entry: LoadEntry = {
      promptTokens,
      uncachedTokens,
      isStreaming,
      epoch: this.#epoch,
      sentAtMs: nowMs,
      expectedMs: prefillMs,
      isWaitingForFirstToken: true,
      firstTokenAtMs: undefined,
      isLate: false,
    };
    this.#entries.add(entry);
    if (!isStreaming) this.#unseen.push({ entry, assumedAtMs: nowMs + prefillMs });
    this.#requests++;
    this.#sentInEpoch++;
    this.#sentSinceScrape++;
    this.#waitingForFirstToken++;
    this.#promptTokens += promptTokens;
    this.#uncachedTokens += uncachedTokens;
    return entry;
  }

  has(entry: LoadEntry): boolean {
    return this.#entries.has(entry);
  }

  firstToken(entry: LoadEntry): void {
    if (!entry.isWaitingForFirstToken) return;
    entry.isWaitingForFirstToken = false;
    this.#waitingForFirstToken--;
    this.#uncachedTokens -= entry.uncachedTokens;
  }

  /** Assumes the first tokens that are due and will not be seen. */
  settle(nowMs: number): void {
    while (this.#unseen.length > 0 && this.#unseen[0]!.assumedAtMs <= nowMs) {
      this.firstToken(this.#unseen.shift()!.entry);
    }
  }

  /** Requests sent before then whose first token could have been seen and has not. Oldest first. */
  *waitingSince(beforeMs: number): Iterable<LoadEntry> {
    for (const entry of this.#entries) {
      if (entry.sentAtMs >= beforeMs) return;
      if (entry.isWaitingForFirstToken && entry.isStreaming !== false) yield entry;
    }
  }

  remove(entry: LoadEntry): void {
    if (!this.#entries.delete(entry)) return;
    this.firstToken(entry);
    this.#requests--;
    this.#promptTokens -= entry.promptTokens;
    if (entry.epoch >= this.#epoch) this.#sentInEpoch--;
    if (entry.epoch >= this.#succeededEpoch) this.#sentSinceScrape--;
  }

  beginScrape(): void {
    this.#epoch++;
    this.#sentInEpoch = 0;
  }

  endScrape(): void {
    this.#succeededEpoch = this.#epoch;
    this.#sentSinceScrape = this.#sentInEpoch;
  }

  view(): EndpointInFlight {
    return Object.freeze({
      requests: this.#requests,
      sentSinceScrape: this.#sentSinceScrape,
      waitingForFirstToken: this.#waitingForFirstToken,
      promptTokens: this.#promptTokens,
      uncachedTokens: this.#uncachedTokens,
    });
  }

  /** Throws if the counters are not the sums over the entries. */
  checkIntegrity(owner: string): void {
    const entries = [...this.#entries];
    const waiting = entries.filter((entry) => entry.isWaitingForFirstToken);
    const expected: EndpointInFlight = {
      requests: entries.length,
      sentSinceScrape: entries.filter((entry) => entry.epoch >= this.#succeededEpoch).length,
      waitingForFirstToken: waiting.length,
      promptTokens: sum(entries.map((entry) => entry.promptTokens)),
      uncachedTokens: sum(waiting.map((entry) => entry.uncachedTokens)),
    };
    const found = this.view();
    for (const key of Object.keys(expected) as (keyof EndpointInFlight)[]) {
      if (found[key] !== expected[key]) {
        throw new Error(
          `in-flight ${key} of ${owner} is ${found[key]}, its reservations sum to ${expected[key]}`,
        );
      }
    }
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
