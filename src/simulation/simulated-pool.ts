import { InferencePool } from '../pool/inference-pool.ts';
import type { PrefixIndex } from '../prefix-index/prefix-index.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import type { EngineModel } from './engine-model.ts';
import type { ScrapedGauges } from './gauge-scraper.ts';
import type { RouterEnvironment } from './router.ts';
import { blockTokens } from './workload.ts';
import { simulatedModel } from './workload-request.ts';

/** The product's pool over simulated engines: keeps its clock, and brings it the scrapes. */
export class SimulatedPool {
  readonly pool: InferencePool;
  readonly #environment: RouterEnvironment;
  readonly #endpoints: (Endpoint | undefined)[];
  readonly #engineOfSlot: number[] = [];
  readonly #delivered: (ScrapedGauges | undefined)[];
  #nextScrapeMs = 0;
  /** Set back for the moment in which a scrape began. */
  #clockMs = 0;

  constructor(environment: RouterEnvironment, prefixIndex: PrefixIndex) {
    this.#environment = environment;
    this.pool = new InferencePool({ clock: this.clock, prefixIndex });
    this.#endpoints = environment.models.map(() => undefined);
    this.#delivered = environment.models.map(() => undefined);
  }

  readonly clock = (): number => this.#clockMs;

  endpointOf(engine: number): Endpoint | undefined {
    return this.#endpoints[engine];
  }

  engineOf({ slot }: Pick<Endpoint, 'slot'>): number {
    return this.#engineOfSlot[slot]!;
  }

  /** The first time an endpoint joins the pool; later times it is a new process with an empty cache. */
  engineStarted(engine: number): void {
    this.#clockMs = this.#environment.nowMs();
    const known = this.#endpoints[engine];
    if (known === undefined) this.#join(engine);
    else this.pool.recordRestart(known);
    this.#nextScrapeMs = 0;
    this.catchUp();
  }

  /** Comes to the present. Scrapes are delivered late, but before anything changes for the owner. */
  catchUp(): void {
    const { models, scrape, nowMs, nextScrapeMs } = this.#environment;
    this.#clockMs = nowMs();
    if (this.#clockMs < this.#nextScrapeMs) return;
    this.#nextScrapeMs = nextScrapeMs();
    for (let engine = 0; engine < models.length; engine++) {
      const endpoint = this.#endpoints[engine];
      if (endpoint === undefined) continue;
      const gauges = scrape(engine);
      if (gauges === undefined) this.pool.recordScrapeFailure(endpoint, 'connection refused');
      else if (gauges !== this.#delivered[engine]) this.#deliver(engine, endpoint, gauges);
    }
  }

  #join(engine: number): void {
    const endpoint = this.pool.upsert({ name: `pod-${engine}`, address: addressOf(engine) });
    this.pool.recordModels(endpoint, { models: [simulatedModel], adapters: [] });
    this.#endpoints[engine] = endpoint;
    this.#engineOfSlot[endpoint.slot] = engine;
  }

  #deliver(engine: number, endpoint: Endpoint, gauges: ScrapedGauges): void {
    const nowMs = this.#clockMs;
    this.#delivered[engine] = gauges;
    this.#clockMs = gauges.scrapedMs;
    this.pool.beginScrape(endpoint);
    this.#clockMs = nowMs;
    this.pool.recordScrape(endpoint, {
      queuedRequests: gauges.queuedRequests,
      runningRequests: gauges.runningRequests,
      kvCacheUsage: gauges.kvCacheUsage,
      blockSizeTokens: blockTokens,
      totalBlocks: kvBlocks(this.#environment.models[engine]!),
      runningAdapters: noAdapters,
      waitingAdapters: noAdapters,
      maxAdapters: undefined,
    });
  }
}

export function kvBlocks(model: EngineModel): number {
  return Math.floor(model.kvCapacityTokens / blockTokens);
}

const noAdapters: readonly string[] = Object.freeze([]);

function addressOf(engine: number): string {
  return `10.0.${engine >> 8}.${engine & 255}:8000`;
}
