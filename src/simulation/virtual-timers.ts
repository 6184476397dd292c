export interface VirtualTimersOptions {
  /** Virtual milliseconds. */
  readonly clock: () => number;
  /** Asks the simulation for an event then, at which the owner calls `fire`. */
  readonly wakeAt: (timeMs: number) => void;
}

interface Timer {
  readonly atMs: number;
  readonly callback: () => void;
}

/** `setTimeout` in virtual time, for code that waits. */
export class VirtualTimers {
  readonly #options: VirtualTimersOptions;
  readonly #pending = new Set<Timer>();
  #watchedMs: number | undefined;

  constructor(options: VirtualTimersOptions) {
    this.#options = options;
  }

  /** An event is to come at which nothing but the owner's own look is due. */
  get isWatching(): boolean {
    return this.#watchedMs !== undefined;
  }

  watch(atMs: number): void {
    this.#watchedMs = atMs;
    this.#options.wakeAt(atMs);
  }

  /** Returns what cancels it. */
  readonly schedule = (delayMs: number, callback: () => void): (() => void) => {
    const timer = { atMs: this.#options.clock() + delayMs, callback };
    this.#pending.add(timer);
    if (Number.isFinite(timer.atMs)) this.#options.wakeAt(timer.atMs);
    return () => void this.#pending.delete(timer);
  };

  /** Calls back what is due. */
  fire(): void {
    const nowMs = this.#options.clock();
    if (this.#watchedMs !== undefined && this.#watchedMs <= nowMs) this.#watchedMs = undefined;
    for (const timer of [...this.#pending]) {
      if (timer.atMs > nowMs || !this.#pending.delete(timer)) continue;
      timer.callback();
    }
  }
}
