import type { EndpointInFlight } from '../scheduling/endpoint.ts';

export interface RequestLoad {
  readonly promptTokens: number;
  /** Those not believed cached on the endpoint. */
  readonly uncachedTokens: number;
}

/** One request that counts against an endpoint. Mutable, owned by `InFlightLoad`. */
export interface LoadEntry extends RequestLoad {
  /** The scrape that had last begun when the request was sent. */
  readonly epoch: number;
  isWaitingForFirstToken: boolean;
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

  get requests(): number {
    return this.#requests;
  }

  add({ promptTokens, uncachedTokens }: RequestLoad): LoadEntry {
    const entry = { promptTokens, uncachedTokens, epoch: this.#epoch, isWaitingForFirstToken: true };
    this.#entries.add(entry);
    this.#requests++;
    this.#sentInEpoch++;
    this.#sentSinceScrape++;
    this.#waitingForFirstToken++;
    this.#promptTokens += promptTokens;
    this.#uncachedTokens += uncachedTokens;
    return entry;
  }

  firstToken(entry: LoadEntry): void {
    if (!entry.isWaitingForFirstToken) return;
    entry.isWaitingForFirstToken = false;
    this.#waitingForFirstToken--;
    this.#uncachedTokens -= entry.uncachedTokens;
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
