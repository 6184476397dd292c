import type { EngineGauges, SimulatedEngine } from './simulated-engine.ts';

export interface ScrapedGauges extends EngineGauges {
  /** When they were read from the engine. */
  readonly scrapedMs: number;
}

/**
 * What routers know of the engines' gauges: their state at the last multiple of the interval. Scrapes are not
 * events; an engine that is about to change is sampled first, so the cost does not grow with the interval's
 * fineness.
 */
export class GaugeScraper {
  readonly #engines: readonly SimulatedEngine[];
  readonly #intervalMs: number;
  readonly #last: (ScrapedGauges | undefined)[];

  constructor(engines: readonly SimulatedEngine[], intervalMs: number) {
    this.#engines = engines;
    this.#intervalMs = intervalMs;
    this.#last = engines.map(() => undefined);
  }

  /** To be called just before the engine changes. */
  beforeChange(engine: number, nowMs: number): void {
    this.read(engine, nowMs);
  }

  /** The first scrape after now. */
  nextMs(nowMs: number): number {
    return (Math.floor(nowMs / this.#intervalMs) + 1) * this.#intervalMs;
  }

  /** The same object until the next scrape. */
  read(engine: number, nowMs: number): ScrapedGauges {
    const scrapedMs = Math.floor(nowMs / this.#intervalMs) * this.#intervalMs;
    const last = this.#last[engine];
    if (last !== undefined && last.scrapedMs >= scrapedMs) return last;
    const { queuedRequests, runningRequests, kvCacheUsage } = this.#engines[engine]!.gauges(scrapedMs);
    const gauges = { queuedRequests, runningRequests, kvCacheUsage, scrapedMs };
    this.#last[engine] = gauges;
    return gauges;
  }
}
