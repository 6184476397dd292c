/**
 * The parts of a stream, one after the other: the request comes in, an endpoint is picked, the response is waited
 * for, the response goes by.
 */
export type StreamPhase = 'gathering' | 'picking' | 'waiting' | 'responding';

/** Told of every stream; times are milliseconds. */
export interface StreamObserver {
  readonly opened: () => void;
  readonly phase: (phase: StreamPhase, durationMs: number) => void;
  /** The pick is made, so long after the stream's first message. */
  readonly picked: (durationMs: number) => void;
  /** A request was refused, with this code, before the picker was asked. */
  readonly refused: (code: string) => void;
  /** `code`: the gRPC status that it ended with, as it is written in metrics. */
  readonly closed: (code: StreamEnd, durationMs: number) => void;
}

/** Well; given up by the data plane; cut at the end of our shutdown. */
export type StreamEnd = 'OK' | 'Canceled' | 'Unavailable';

export interface PhaseTimerOptions {
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  readonly observer: StreamObserver;
}

/** Tells how long a stream and each of its parts took. Without an observer it does nothing. */
export class PhaseTimer {
  readonly #options: PhaseTimerOptions | undefined;
  readonly #openedMs: number;
  #phase: StreamPhase | undefined;
  #sinceMs = 0;

  constructor(options: PhaseTimerOptions | undefined) {
    this.#options = options;
    this.#openedMs = options?.clock() ?? 0;
    options?.observer.opened();
  }

  /** Ends the part before. */
  begin(phase: StreamPhase): void {
    if (this.#options === undefined) return;
    const { clock, observer } = this.#options;
    const nowMs = clock();
    this.#endPhase(nowMs);
    if (phase === 'waiting') observer.picked(nowMs - this.#openedMs);
    this.#phase = phase;
    this.#sinceMs = nowMs;
  }

  refused(code: string): void {
    this.#options?.observer.refused(code);
  }

  /** To be called once. */
  end(code: StreamEnd): void {
    if (this.#options === undefined) return;
    const { clock, observer } = this.#options;
    const nowMs = clock();
    this.#endPhase(nowMs);
    observer.closed(code, nowMs - this.#openedMs);
  }

  #endPhase(nowMs: number): void {
    if (this.#phase === undefined) return;
    this.#options?.observer.phase(this.#phase, nowMs - this.#sinceMs);
    this.#phase = undefined;
  }
}
