/** A token bucket: `burst` at once, `perSecond` in the long run. */
export class Budget {
  readonly #burst: number;
  readonly #perMs: number;
  readonly #clock: () => number;
  #left: number;
  #atMs: number;

  constructor(options: { burst: number; perSecond: number; clock: () => number }) {
    this.#burst = options.burst;
    this.#perMs = options.perSecond / 1000;
    this.#clock = options.clock;
    this.#left = options.burst;
    this.#atMs = options.clock();
  }

  /** False when the peer has used up what it may. */
  spend(): boolean {
    if (this.#left < 1) {
      const nowMs = this.#clock();
      this.#left = Math.min(this.#burst, this.#left + (nowMs - this.#atMs) * this.#perMs);
      this.#atMs = nowMs;
      if (this.#left < 1) return false;
    }
    this.#left--;
    return true;
  }
}
