/**
 * The parts of a stream, one after the other: the request comes in, an endpoint is picked, the response is waited
 * for, the response goes by.
 */
export type StreamPhase = 'gathering' | 'picking' | 'waiting' | 'responding';

export interface PhaseObserver {
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  readonly observe: (phase: StreamPhase, durationMs: number) => void;
}

/** Tells how long each part took. Without an observer it does nothing. */
export class PhaseTimer {
  readonly #observer: PhaseObserver | undefined;
  #phase: StreamPhase | undefined;
  #sinceMs = 0;

  constructor(observer: PhaseObserver | undefined) {
    this.#observer = observer;
  }

  /** Ends the part before. */
  begin(phase: StreamPhase): void {
    if (this.#observer === undefined) return;
    this.end();
    this.#phase = phase;
    this.#sinceMs = this.#observer.clock();
  }

  end(): void {
    const observer = this.#observer;
    if (observer === undefined || this.#phase === undefined) return;
    observer.observe(this.#phase, observer.clock() - this.#sinceMs);
    this.#phase = undefined;
  }
}
