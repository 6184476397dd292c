/** One scrape beside our own count at the moment when it was asked for. */
export interface ScrapedBeside {
  readonly atMs: number;
  readonly queuedRequests: number;
  readonly runningRequests: number;
  /** Requests that we know to be there; those sent while the engine was asked included. */
  readonly ourRequests: number;
  /** What the gauges say that requests hold, less what we have counted; undefined if it does not tell its memory. */
  readonly besideTokens: number | undefined;
}

/** What has been learned of the engine. */
export interface EnginePace {
  /** Prefill of prompts of so many tokens, of which some are cached. */
  readonly prefillMs: (promptTokens: number) => number;
  readonly stepMs: number;
  /** Of a usual prompt. */
  readonly meanPrefillMs: number;
  readonly meanOutputTokens: number;
}

/**
 * The load on one engine that other processes have sent, such as replicas of this one: what its gauges tell beyond
 * our own requests. What is in the engine's queue waits whole. And where the memory that others hold grows by more
 * than their answers generate, prompts have come since the last scrape: vLLM's usage counts the blocks of a prompt
 * while it is still computed. Long ones matter most, and they outlast slow scrapes. What comes after a scrape is
 * not seen before the next; it is expected at others' usual rate there, by Little's law: so many requests, each for as
 * long as one stays. So replicas that read their gauges seldom come to prefer different engines.
 *
 *     scrape        prompt comes          scrape                    now
 *     ├── beside ───────┼── on average half ──┤ beside + its tokens ──┤ worked off, and expected at the usual rate
 */
export class OthersLoad {
  #queued = 0;
  #requests = 0;
  #tokens: number | undefined;
  #atMs: number | undefined;
  /** Prefill of prompts that were seen to come, left at `#atMs`. */
  #seenMs = 0;
  /** Prefill that others send, per millisecond. */
  #rate = 0;

  /** Requests there that are not ours. */
  get requests(): number {
    return this.#requests;
  }

  /** `pace` is asked for only where others are there. */
  scraped(
    { atMs, queuedRequests, runningRequests, ourRequests, besideTokens }: ScrapedBeside,
    pace: () => EnginePace,
  ): void {
    const all = queuedRequests + runningRequests;
    const earlier = this.#requests;
    this.#requests = Math.max(0, all - ourRequests);
    this.#queued = all > 0 ? queuedRequests * (this.#requests / all) : 0;
    const elapsedMs = Math.max(0, atMs - (this.#atMs ?? atMs));
    if (this.#requests > 0) this.#see({ besideTokens, earlier, elapsedMs }, pace());
    else {
      this.#seenMs = 0;
      if (this.#rate > 0) this.#follow(0, elapsedMs);
    }
    this.#tokens = besideTokens;
    this.#atMs = atMs;
  }

  #see(
    {
      besideTokens,
      earlier,
      elapsedMs,
    }: Pick<ScrapedBeside, 'besideTokens'> & { readonly earlier: number; readonly elapsedMs: number },
    { prefillMs, stepMs, meanPrefillMs, meanOutputTokens }: EnginePace,
  ): void {
    this.#seenMs = Math.max(0, this.#seenMs - elapsedMs);
    if (besideTokens !== undefined && this.#tokens !== undefined) {
      const generated = (Math.min(earlier, this.#requests) * elapsedMs) / stepMs;
      const tokens = besideTokens - this.#tokens - generated;
      if (tokens >= leastTokens) this.#seenMs += Math.max(0, prefillMs(tokens) - elapsedMs / 2);
    }
    const staysMs = meanPrefillMs + meanOutputTokens * stepMs;
    this.#follow((this.#requests * meanPrefillMs) / staysMs, elapsedMs);
  }

  #follow(rate: number, elapsedMs: number): void {
    this.#rate += (1 - Math.exp(-elapsedMs / rateMs)) * (rate - this.#rate);
  }

  /** Prefill of others that is still to be done, milliseconds. `meanPrefillMs` is that of a usual prompt here. */
  prefillMs(nowMs: number, meanPrefillMs: number): number {
    const sinceMs = Math.max(0, nowMs - (this.#atMs ?? nowMs));
    const leftMs = Math.max(0, Math.max(this.#queued * meanPrefillMs, this.#seenMs) - sinceMs);
    return leftMs + bothWays * this.#rate * Math.min(mostUnseenMs, sinceMs);
  }
}

/** Less is the error of our own count: what is generated is known to some hundreds of tokens. */
const leastTokens = 1024;
/** A request sent to where unseen ones may be waits for them, and they for it: a sender alone would not mind the latter. */
const bothWays = 2;
/** Over how long the rate at which others send is taken. */
const rateMs = 20_000;
/** Of what comes unseen, the oldest has been computed by now. */
const mostUnseenMs = 1000;
