import type { Endpoint, EndpointLearned, EndpointMetrics } from '../scheduling/endpoint.ts';
import { Calibration, type FleetCalibration } from './calibration.ts';
import { EndpointHealth } from './endpoint-health.ts';
import { FirstTokenDelay } from './first-token-judge.ts';
import type { HeldPrompts } from './held-prompts.ts';
import { InFlightLoad } from './in-flight-load.ts';
import { OthersLoad } from './others-load.ts';
import type { StepLoad } from './step-time.ts';

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

export interface EndpointStateCollaborators {
  readonly fleet: FleetCalibration;
  readonly prompts: HeldPrompts;
  /** Never given twice, unlike slots. */
  readonly serial: number;
}

/** What we had counted when a scrape began. */
interface CountedLoad {
  readonly atMs: number;
  readonly requests: number;
  readonly heldTokens: number;
  readonly waitingRequests: number;
  readonly waitingTokens: number;
}

/** All that the pool knows of one endpoint, and its frozen view, made anew only when something changed. */
export class EndpointState {
  readonly name: string;
  readonly address: string;
  readonly slot: number;
  readonly serial: number;
  readonly health = new EndpointHealth();
  readonly load: InFlightLoad;
  readonly calibration: Calibration;
  readonly firstTokenDelay = new FirstTokenDelay();
  /** Whether it answers scrapes, as listeners were last told; undefined before its first. */
  isKnownReady: boolean | undefined;
  /** Capacity that the prefix index was last told. */
  indexedBlocks: number | undefined;
  /** When a request of ours last got its first token or its end. */
  servedAtMs = Number.NEGATIVE_INFINITY;
  /** Until when scrapes found its KV memory full, so that prompts wait there for answers to end; infinite if it is. */
  fullUntilMs = Number.NEGATIVE_INFINITY;
  #labels: Readonly<Record<string, string>>;
  #models: EndpointModels = noModels;
  #metrics: ScrapedMetrics = unknownMetrics;
  /** When the figures were asked for; undefined if never told. */
  #metricsAtMs: number | undefined;
  #scrapeBegan: CountedLoad | undefined;
  /** What the gauges said that requests hold, less what we had counted then: the part that is not ours to count. */
  #heldBesideTokens: number | undefined;
  readonly #others = new OthersLoad();
  #view: Endpoint | undefined;

  constructor(spec: EndpointSpec, slot: number, { fleet, prompts, serial }: EndpointStateCollaborators) {
    this.calibration = new Calibration(fleet);
    this.load = new InFlightLoad(prompts, serial);
    this.serial = serial;
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
    const { requests, waitingForFirstToken, uncachedTokens } = this.load.view();
    this.#scrapeBegan = {
      atMs: nowMs,
      requests,
      heldTokens: this.#countHeldTokens(nowMs),
      waitingRequests: waitingForFirstToken,
      waitingTokens: uncachedTokens,
    };
    this.load.beginScrape();
  }

  endScrape(metrics: ScrapedMetrics, nowMs: number): void {
    if (this.#scrapeBegan === undefined) this.beginScrape(nowMs);
    const began = this.#scrapeBegan!;
    this.load.endScrape();
    this.#metrics = metrics;
    this.#metricsAtMs = began.atMs;
    this.#scrapeBegan = undefined;
    this.#view = undefined;
    this.#heldBesideTokens = this.#besideTokens(metrics, began);
    this.#others.scraped(
      {
        atMs: began.atMs,
        queuedRequests: metrics.queuedRequests,
        runningRequests: metrics.runningRequests,
        ourRequests: began.requests + this.load.view().sentSinceScrape,
        besideTokens: this.#heldBesideTokens,
      },
      {
        prefillMs: (tokens) => this.calibration.othersPrefillMs(tokens),
        stepMs: this.calibration.stepMs(this.stepLoad(nowMs), this.#kvCapacityTokens),
        meanPrefillMs: this.calibration.meanPrefillMs(),
        meanOutputTokens: this.calibration.meanOutputTokens,
      },
    );
  }

  #besideTokens({ kvCacheUsage, queuedRequests }: ScrapedMetrics, began: CountedLoad): number | undefined {
    const capacity = this.#kvCapacityTokens;
    if (capacity === undefined) return undefined;
    const queued = Math.min(1, queuedRequests / Math.max(1, began.waitingRequests));
    return kvCacheUsage * capacity + queued * began.waitingTokens - began.heldTokens;
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

  get #kvCapacityTokens(): number | undefined {
    const { totalBlocks, blockSizeTokens } = this.#metrics;
    return totalBlocks === undefined || blockSizeTokens === undefined
      ? undefined
      : totalBlocks * blockSizeTokens;
  }

  /** What the engine's steps read now, as far as it is ours. */
  #ownStepLoad(nowMs: number): StepLoad {
    const { requests, promptTokens } = this.load.view();
    return { requests, contextTokens: promptTokens, decodingMs: this.load.decodingMs(nowMs) };
  }

  /** What the engine's steps read now: ours, and what its gauges told beyond our count. */
  stepLoad(nowMs: number): StepLoad {
    const { requests, contextTokens, decodingMs } = this.#ownStepLoad(nowMs);
    return {
      requests: requests + this.#others.requests,
      contextTokens: Math.max(0, contextTokens + (this.#heldBesideTokens ?? 0)),
      decodingMs,
    };
  }

  /** By our own load alone, so that what is counted at a scrape and later differs by what we sent. */
  #countingStepMs(nowMs: number): number {
    return this.calibration.stepMs(this.#ownStepLoad(nowMs), this.#kvCapacityTokens);
  }

  #countHeldTokens(nowMs: number): number {
    return this.load.heldTokens(nowMs, this.#countingStepMs(nowMs));
  }

  #makeView(nowMs: number): Endpoint {
    this.load.settle(nowMs);
    this.calibration.settle(nowMs);
    const inFlight = this.load.view();
    const metrics = this.#metrics;
    const { totalBlocks, blockSizeTokens } = metrics;
    const kvCapacityTokens = this.#kvCapacityTokens;
    const stepMs = this.calibration.stepMs(this.stepLoad(nowMs), kvCapacityTokens);
    const prefillMsPerToken = this.calibration.prefillMsPerToken();
    const besideTokens = this.#heldBesideTokens ?? 0;
    const countingStepMs = this.#countingStepMs(nowMs);
    const heldTokens = this.load.heldTokens(nowMs, countingStepMs) + besideTokens;
    const isSharedMemory = besideTokens > noticeableShare * (kvCapacityTokens ?? 0);
    const notReadyReason = this.health.notReadyReason(nowMs);
    // Field by field, as spreading an object costs five times as much and views are made by the thousand.
    return Object.freeze<Endpoint>({
      name: this.name,
      address: this.address,
      labels: this.#labels,
      models: this.#models.models,
      adapters: this.#models.adapters,
      isReady: notReadyReason === undefined,
      notReadyReason,
      metrics: Object.freeze<EndpointMetrics>({
        queuedRequests: metrics.queuedRequests,
        runningRequests: metrics.runningRequests,
        kvCacheUsage: metrics.kvCacheUsage,
        blockSizeTokens,
        totalBlocks,
        runningAdapters: metrics.runningAdapters,
        waitingAdapters: metrics.waitingAdapters,
        maxAdapters: metrics.maxAdapters,
        ageMs: this.#metricsAtMs === undefined ? Number.POSITIVE_INFINITY : nowMs - this.#metricsAtMs,
      }),
      inFlight,
      learned: Object.freeze<EndpointLearned>({
        prefillMsPerToken,
        isPrefillKnown: this.calibration.isPrefillKnown,
        stepMs,
        pendingPrefillMs: this.load.pendingPrefillMs(nowMs, prefillMsPerToken),
        othersPrefillMs: this.#others.prefillMs(nowMs, this.calibration.meanPrefillMs()),
        prefillShare: this.load.prefillShare(nowMs, prefillMsPerToken),
        freshAnswers: this.load.freshAnswers(nowMs),
        kvCapacityTokens,
        heldTokens: Math.max(0, heldTokens),
        releasableTokens:
          this.load.releasableTokens(nowMs, countingStepMs) + (isSharedMemory ? besideTokens : 0),
        meanOutputTokens: this.calibration.meanOutputTokens,
      }),
      slot: this.slot,
    });
  }
}

/** Of the memory, what must be held beside our requests to be others' and no error of our count. */
const noticeableShare = 0.25;
