import type { Endpoint, EndpointMetrics } from '../scheduling/endpoint.ts';
import { Calibration, type FleetCalibration } from './calibration.ts';
import { EndpointHealth } from './endpoint-health.ts';
import { FirstTokenDelay } from './first-token-judge.ts';
import { InFlightLoad } from './in-flight-load.ts';

/** An endpoint as discovery names it. */
export interface EndpointSpec {
  /** Unique in the pool. */
  readonly name: string;
  /** `host:port` or `[ipv6]:port`. */
  readonly address: string;
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** Metrics as scraped; their age is the pool's to know. */
export type ScrapedMetrics = Omit<EndpointMetrics, 'ageMs'>;

export interface EndpointModels {
  readonly models: readonly string[];
  /** Those of `models` that are adapters. */
  readonly adapters: readonly string[];
}

/** Of an engine that tells nothing of itself. */
export const unknownMetrics: ScrapedMetrics = Object.freeze({
  queuedRequests: 0,
  runningRequests: 0,
  kvCacheUsage: 0,
  blockSizeTokens: undefined,
  totalBlocks: undefined,
  runningAdapters: Object.freeze([]),
  waitingAdapters: Object.freeze([]),
  maxAdapters: undefined,
});

const noModels: EndpointModels = Object.freeze({ models: Object.freeze([]), adapters: Object.freeze([]) });

/** All that the pool knows of one endpoint, and its frozen view, made anew only when something changed. */
export class EndpointState {
  readonly name: string;
  readonly address: string;
  readonly slot: number;
  readonly health = new EndpointHealth();
  readonly load = new InFlightLoad();
  readonly calibration: Calibration;
  readonly firstTokenDelay = new FirstTokenDelay();
  /** Whether it answers scrapes, as listeners were last told. */
  isKnownReady = false;
  /** When a request of ours last got its first token or its end. */
  servedAtMs = Number.NEGATIVE_INFINITY;
  #labels: Readonly<Record<string, string>>;
  #models: EndpointModels = noModels;
  #metrics: ScrapedMetrics = unknownMetrics;
  /** When the figures were asked for; undefined if never told. */
  #metricsAtMs: number | undefined;
  #scrapeBeganAtMs: number | undefined;
  #view: Endpoint | undefined;

  constructor(spec: EndpointSpec, slot: number, fleet: FleetCalibration) {
    this.calibration = new Calibration(fleet);
    this.name = spec.name;
    this.address = spec.address;
    this.slot = slot;
    this.#labels = Object.freeze({ ...spec.labels });
  }

  get metrics(): ScrapedMetrics {
    return this.#metrics;
  }

  setLabels(labels: Readonly<Record<string, string>>): void {
    this.#labels = Object.freeze({ ...labels });
    this.#view = undefined;
  }

  setModels({ models, adapters }: EndpointModels): void {
    this.#models = { models: Object.freeze([...models]), adapters: Object.freeze([...adapters]) };
    this.#view = undefined;
  }

  beginScrape(nowMs: number): void {
    this.load.beginScrape();
    this.#scrapeBeganAtMs = nowMs;
  }

  endScrape(metrics: ScrapedMetrics, nowMs: number): void {
    if (this.#scrapeBeganAtMs === undefined) this.beginScrape(nowMs);
    this.load.endScrape();
    this.#metrics = metrics;
    this.#metricsAtMs = this.#scrapeBeganAtMs;
    this.#scrapeBeganAtMs = undefined;
    this.#view = undefined;
  }

  /** The view must be made anew: load, health or age changed. */
  touch(): void {
    this.#view = undefined;
  }

  /** The view of a silent endpoint when there is no other: better a late answer than none. */
  viewAsReady(nowMs: number): Endpoint {
    return Object.freeze<Endpoint>({ ...this.view(nowMs), isReady: true, notReadyReason: undefined });
  }

  view(nowMs: number): Endpoint {
    this.#view ??= this.#makeView(nowMs);
    return this.#view;
  }

  #makeView(nowMs: number): Endpoint {
    this.load.settle(nowMs);
    const inFlight = this.load.view();
    const { totalBlocks, blockSizeTokens } = this.#metrics;
    const kvCapacityTokens =
      totalBlocks === undefined || blockSizeTokens === undefined ? undefined : totalBlocks * blockSizeTokens;
    return Object.freeze<Endpoint>({
      name: this.name,
      address: this.address,
      labels: this.#labels,
      models: this.#models.models,
      adapters: this.#models.adapters,
      isReady: this.health.isReady(nowMs),
      notReadyReason: this.health.notReadyReason(nowMs),
      metrics: Object.freeze({
        ...this.#metrics,
        ageMs: this.#metricsAtMs === undefined ? Number.POSITIVE_INFINITY : nowMs - this.#metricsAtMs,
      }),
      inFlight,
      learned: this.calibration.view(inFlight, kvCapacityTokens),
      slot: this.slot,
    });
  }
}
