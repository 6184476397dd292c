import { readFileSync } from 'node:fs';
import { type IntervalHistogram, monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';

/** What kept a process from answering at once, in one stretch of time. */
export interface Turns {
  readonly pauses: number;
  readonly pauseMs: number;
  readonly longestPauseMs: number;
  /** How much later than due a timer of one millisecond came: the longest turn, whatever made it long. */
  readonly longestTurnMs: number;
  /** The main thread was ready and had no core: of other processes and threads. Linux only. */
  readonly withoutCoreMs: number;
  readonly elapsedMs: number;
}

/** Measures garbage collection, turns of the event loop and waiting for a core, of the process that it is in. */
export class TurnMeter {
  #pauses: number[] = [];
  #delays: IntervalHistogram | undefined;
  #waitedMs = 0;
  #startedMs = 0;
  readonly #observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) this.#pauses.push(duration);
  });

  begin(): void {
    this.#pauses = [];
    this.#observer.observe({ entryTypes: ['gc'] });
    this.#delays = monitorEventLoopDelay({ resolution: 1 });
    this.#delays.enable();
    this.#waitedMs = withoutCoreMs();
    this.#startedMs = performance.now();
  }

  /** One turn later, when the collections of this one have been told. */
  async end(): Promise<Turns> {
    const elapsedMs = performance.now() - this.#startedMs;
    const waited = withoutCoreMs() - this.#waitedMs;
    this.#delays?.disable();
    const longestTurnMs = Math.max(0, (this.#delays?.max ?? 0) / 1e6 - 1);
    await new Promise((resolve) => setTimeout(resolve, 10));
    this.#observer.disconnect();
    return {
      pauses: this.#pauses.length,
      pauseMs: this.#pauses.reduce((sum, ms) => sum + ms, 0),
      longestPauseMs: Math.max(0, ...this.#pauses),
      longestTurnMs,
      withoutCoreMs: waited,
      elapsedMs,
    };
  }
}

/** The second number of `schedstat`, nanoseconds. */
function withoutCoreMs(): number {
  try {
    return Number(readFileSync('/proc/self/schedstat', 'utf8').split(' ')[1]) / 1e6;
  } catch {
    return 0;
  }
}
