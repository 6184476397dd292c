/** How many earlier bursts of first tokens still count, roughly. */
const memory = 0.98;
/** The prior weighs like this many observed tokens. */
const priorTokens = 2000;
/** One burst moves the rate as if it had been at most this many times as long as expected. */
const clip = 3;
/** First tokens this close together came from one step of the engine. */
const sameStepMs = 1;

/**
 * Milliseconds per uncached prompt token, from the times of first tokens. Prefill is served in turn, so the time
 * between two first tokens is the time of the prompts that got theirs at the second, unless they came later:
 *
 *     sent a        first token a      first token b, c
 *     ├── tokens(a) ─┤─ tokens(b) + tokens(c) ─┤
 *
 * A ratio of sums, so that long prompts count most and the fixed cost of a step hardly.
 */
export class PrefillRate {
  #tokens = 0;
  #elapsedMs = 0;
  /** The burst under way: first tokens of one step. */
  #burstAtMs = Number.NEGATIVE_INFINITY;
  #burstTokens = 0;
  #burstSentAtMs = Number.POSITIVE_INFINITY;
  #burstStepMs = 0;
  #earlierBurstAtMs = Number.NEGATIVE_INFINITY;

  /** `stepMs` is the fixed part of the step that made the first token. After `closeBurst` at that time. */
  firstToken(tokens: number, sentAtMs: number, nowMs: number, stepMs: number): void {
    if (this.#burstTokens === 0) {
      this.#earlierBurstAtMs = this.#burstAtMs;
      this.#burstAtMs = nowMs;
      this.#burstStepMs = stepMs;
      // Also after prompts that were all cached, which make no burst of their own.
      this.#burstSentAtMs = sentAtMs;
    }
    this.#burstTokens += tokens;
    this.#burstSentAtMs = Math.min(this.#burstSentAtMs, sentAtMs);
  }

  /** The burst under way, if nothing more can come of its step. It counts once it is given to `add`. */
  closeBurst(nowMs: number): PrefillBurst | undefined {
    const tokens = this.#burstTokens;
    if (tokens === 0 || nowMs - this.#burstAtMs <= sameStepMs) return undefined;
    const beganMs = Math.max(this.#earlierBurstAtMs, this.#burstSentAtMs);
    // A prompt that finds the engine without another one waits for the end of the step under way: half of one.
    const stepMs = (beganMs === this.#burstSentAtMs ? 1.5 : 1) * this.#burstStepMs;
    const wholeMs = this.#burstAtMs - beganMs;
    // The step is an estimate, and may be far too long: it takes no more than half.
    const elapsedMs = Math.max(wholeMs / 2, wholeMs - stepMs);
    this.#burstTokens = 0;
    return { tokens, elapsedMs };
  }

  add({ tokens, elapsedMs }: PrefillBurst, priorMs: number): void {
    const mostMs = clip * this.msPerToken(priorMs) * tokens;
    this.#elapsedMs = memory * this.#elapsedMs + Math.min(mostMs, elapsedMs);
    this.#tokens = memory * this.#tokens + tokens;
  }

  /** `priorMs` counts until enough has been seen. */
  msPerToken(priorMs: number): number {
    return (this.#elapsedMs + priorMs * priorTokens) / (this.#tokens + priorTokens);
  }
}

/** Prompts that got their first tokens in one step of an engine, and how long it has worked on them. */
export interface PrefillBurst {
  /** As the matrix work of so many tokens. */
  readonly tokens: number;
  readonly elapsedMs: number;
}
