import type { Headers } from './messages.ts';

/**
 * How long a response was dealt with, as llm-d tells it: of a streamed one the time of its messages, added up, so that
 * the engine's time between them is left out; of another one the interval from its headers to its last message.
 */
export class ResponseTimer {
  readonly #clock: () => number;
  #wholeSinceMs: number | undefined;
  #messageSinceMs = 0;
  #durationMs: number | undefined;

  /** `clock` gives milliseconds. */
  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** Undefined before the first message of the response. */
  get durationMs(): number | undefined {
    return this.#durationMs;
  }

  /** A message of the response begins to be dealt with, its headers or another; `end` follows. */
  begin(headers?: Headers): void {
    this.#messageSinceMs = this.#clock();
    if (headers === undefined) return;
    const isStreamed = headers.get('content-type')?.includes('text/event-stream') === true;
    this.#wholeSinceMs = isStreamed ? undefined : this.#messageSinceMs;
  }

  end(): void {
    const nowMs = this.#clock();
    this.#durationMs =
      this.#wholeSinceMs === undefined
        ? (this.#durationMs ?? 0) + nowMs - this.#messageSinceMs
        : nowMs - this.#wholeSinceMs;
  }
}
