import { ResponseTimer } from './response-timer.ts';

/**
 * The parts of a stream, one after the other: the request comes in, an endpoint is picked, the response is waited
 * for, the response goes by.
 */
export type StreamPhase = 'gathering' | 'picking' | 'waiting' | 'responding';

/** Told of every stream; times are milliseconds. */
export interface StreamObserver {
  readonly opened: () => void;
  readonly phase: (phase: StreamPhase, durationMs: number) => void;
  /** The request is picked for or refused, so long after the stream's first message. */
  readonly decided: (durationMs: number) => void;
  /** The response of a stream is over, after so much time with it; of streams whose response is timed. */
  readonly responded: (durationMs: number) => void;
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
  /** Whether the next stream's response is timed: this reads the clock twice a message. */
  readonly timesResponse: () => boolean;
}

/** Tells how long a stream and each of its parts took. Without an observer it does nothing. */
export class PhaseTimer {
  readonly #options: PhaseTimerOptions | undefined;
  readonly #openedMs: number;
  /** Undefined if the response is not timed. */
  readonly response: ResponseTimer | undefined;
  #phase: StreamPhase | undefined;
  #sinceMs = 0;

  constructor(options: PhaseTimerOptions | undefined) {
    this.#options = options;
    this.#openedMs = options?.clock() ?? 0;
    this.response = options?.timesResponse() ? new ResponseTimer(options.clock) : undefined;
    options?.observer.opened();
  }

  /** Ends the part before. */
  begin(phase: StreamPhase): void {
    if (this.#options === undefined) return;
    const { clock, observer } = this.#options;
    // A stream opens with its first message.
    const nowMs = phase === 'gathering' ? this.#openedMs : clock();
    this.#endPhase(nowMs);
    if (phase === 'waiting') observer.decided(nowMs - this.#openedMs);
    this.#phase = phase;
    this.#sinceMs = nowMs;
  }

  /** The request was refused with this code before the picker was asked. */
  unseen(code: string): void {
    this.#options?.observer.refused(code);
  }

  /** The client is told of a refusal, the picker's or ours. */
  refused(): void {
    if (this.#options === undefined || (this.#phase !== 'gathering' && this.#phase !== 'picking')) return;
    const { clock, observer } = this.#options;
    observer.decided(clock() - this.#openedMs);
  }

  /** To be called once. */
  end(code: StreamEnd): void {
    if (this.#options === undefined) return;
    const { clock, observer } = this.#options;
    const nowMs = clock();
    this.#endPhase(nowMs);
    const respondedMs = this.response?.durationMs;
    if (respondedMs !== undefined) observer.responded(respondedMs);
    observer.closed(code, nowMs - this.#openedMs);
  }

  #endPhase(nowMs: number): void {
    if (this.#phase === undefined) return;
    this.#options?.observer.phase(this.#phase, nowMs - this.#sinceMs);
    this.#phase = undefined;
  }
}
