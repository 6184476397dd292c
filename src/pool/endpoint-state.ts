import type { Endpoint, EndpointLearned, EndpointMetrics } from '../scheduling/endpoint.ts';
import { Calibration, type FleetCalibration } from './calibration.ts';
import { EndpointHealth } from './endpoint-health.ts';
import { FirstTokenDelay } from './first-token-judge.ts';
import type { HeldPrompts } from './held-prompts.ts';
import { InFlightLoad } from './in-flight-load.ts';
import { type EnginePace, OthersLoad } from './others-load.ts';
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

/** What we had counted when a scrape began. One object for all scrapes of an endpoint, as there are very many. */
interface CountedLoad {
  isOpen: boolean;
  atMs: number;
  requests: number;
  heldTokens: number;
  waitingRequests: number;
  waitingTokens: number;
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
  readonly #scrapeBegan: CountedLoad = {
    isOpen: false,
    atMs: 0,
    requests: 0,
    heldTokens: 0,
    waitingRequests: 0,
    waitingTokens: 0,
  };
  /** What the gauges said that requests hold, less what we had counted then: the part that is not ours to count. */
  #heldBesideTokens: number | undefined;
  readonly #others = new OthersLoad();
  /** What the engine's steps read, ours and all; each right until it is asked for again. */
  readonly #own = { requests: 0, contextTokens: 0, decodingMs: 0 };
  readonly #all = { requests: 0, contextTokens: 0, decodingMs: 0 };
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
    const began = this.#scrapeBegan;
    began.isOpen = true;
    began.atMs = nowMs;
    began.requests = requests;
    began.heldTokens = this.load.promptTokensHeld + this.#countedGenerated(this.#ownStepLoad(nowMs));
    began.waitingRequests = waitingForFirstToken;
    began.waitingTokens = uncachedTokens;
    this.load.beginScrape();
  }

  endScrape(metrics: ScrapedMetrics, nowMs: number): void {
    if (!this.#scrapeBegan.isOpen) this.beginScrape(nowMs);
    const began = this.#scrapeBegan;
    this.load.endScrape();
    this.#metrics = metrics;
    this.#metricsAtMs = began.atMs;
    began.isOpen = false;
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
      () => this.#pace(nowMs),
    );
  }

  #pace(nowMs: number): EnginePace {
    return {
      prefillMs: (tokens) => this.calibration.othersPrefillMs(tokens),
      stepMs: this.calibration.stepMs(this.stepLoad(nowMs), this.#kvCapacityTokens),
      meanPrefillMs: this.calibration.meanPrefillMs(),
      meanOutputTokens: this.calibration.meanOutputTokens,
    };
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
    const own = this.#own;
    own.requests = requests;
    own.contextTokens = promptTokens;
    own.decodingMs = this.load.decodingMs(nowMs);
    return own;
  }

  /** What the engine's steps read now: ours, and what its gauges told beyond our count. To be read at once. */
  stepLoad(nowMs: number): StepLoad {
    return this.#withOthers(this.#ownStepLoad(nowMs));
  }

  #withOthers({ requests, contextTokens, decodingMs }: StepLoad): StepLoad {
    const all = this.#all;
    all.requests = requests + this.#others.requests;
    all.contextTokens = Math.max(0, contextTokens + (this.#heldBesideTokens ?? 0));
    all.decodingMs = decodingMs;
    return all;
  }

  /**
   * What our answers must have generated by now. By our own load alone, so that what is counted at a scrape and later
   * differs by what we sent.
   */
  #countedGenerated(own: StepLoad): number {
    return own.decodingMs / this.calibration.stepMs(own, this.#kvCapacityTokens);
  }

  #makeView(nowMs: number): Endpoint {
    this.load.settle(nowMs);
    this.calibration.settle(nowMs);
    const inFlight = this.load.view();
    const metrics = this.#metrics;
    const { totalBlocks, blockSizeTokens } = metrics;
    const kvCapacityTokens = this.#kvCapacityTokens;
    const own = this.#ownStepLoad(nowMs);
    const stepMs = this.calibration.stepMs(this.#withOthers(own), kvCapacityTokens);
    const prefillMsPerToken = this.calibration.prefillMsPerToken();
    const besideTokens = this.#heldBesideTokens ?? 0;
    const generatedTokens = this.#countedGenerated(own);
    const heldTokens = this.load.promptTokensHeld + generatedTokens + besideTokens;
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
        heldTokens: Math.max(0, heldTokens) + this.load.awaitedTokens(nowMs),
        releasableTokens: this.load.promptTokensAlone + generatedTokens + (isSharedMemory ? besideTokens : 0),
        meanOutputTokens: this.calibration.meanOutputTokens,
      }),
      slot: this.slot,
    });
  }
}

/** Of the memory, what must be held beside our requests to be others' and no error of our count. */
const noticeableShare = 0.25;
