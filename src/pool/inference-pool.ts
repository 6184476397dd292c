import { parseAddress } from '../protocol/address.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import { EndpointList } from '../scheduling/endpoint-list.ts';
import type { PrefixHashes } from '../scheduling/inference-request.ts';
import { FleetCalibration } from './calibration.ts';
import {
  type EndpointModels,
  type EndpointSpec,
  EndpointState,
  type ScrapedMetrics,
} from './endpoint-state.ts';
import { FirstTokenJudge } from './first-token-judge.ts';
import { FleetView } from './fleet-view.ts';
import { HeldPrompts } from './held-prompts.ts';
import type { RequestLoad } from './in-flight-load.ts';
import { type CapacityIndex, tellCapacity, tellLost } from './indexed-capacity.ts';
import { type EndpointRef, type PoolListener, PoolListeners } from './pool-listeners.ts';
import { emptyReservation, HeldReservation, type Reservation, type ReservationOwner } from './reservation.ts';

export interface InferencePoolOptions {
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  /** Told the capacity of endpoints, and when one is gone or has lost its cache. */
  readonly prefixIndex?: CapacityIndex | undefined;
}

/** Ages in views are this exact, so that a view serves many decisions. */
const ageResolutionMs = 10;

/** Share of the KV memory from which on a prompt may wait for answers to end: a long one needs a tenth of it. */
const fullMemory = 0.9;

/**
 * Prompts may wait there for answers to end. An engine that has requests and tells no use of memory does not tell it
 * at all (llama.cpp, Triton without TensorRT-LLM): what waits in its queue waits for memory or for a place in the
 * batch, which only an end gives back. Of an engine that tells nothing, anything may be true.
 */
function mayBeFull(metrics: ScrapedMetrics | undefined): boolean {
  if (metrics === undefined) return true;
  const { kvCacheUsage, queuedRequests } = metrics;
  return kvCacheUsage >= fullMemory || (kvCacheUsage === 0 && queuedRequests > 0);
}

/** A request served this recently outweighs a scrape that got no answer in time. */
const proofOfLifeMs = 1000;

/**
 * Owner of all that is known of the endpoints. `upsert`/`remove` come from discovery, `beginScrape` and its
 * ends from the scraper, `reserve`/`release` and `report...` from the endpoint picker.
 */
export class InferencePool {
  readonly #clock: () => number;
  readonly #prefixIndex: InferencePoolOptions['prefixIndex'];
  readonly #byName = new Map<string, EndpointState>();
  /** Index is the slot; freed slots are undefined. */
  readonly #bySlot: (EndpointState | undefined)[] = [];
  readonly #listeners = new PoolListeners();
  /** Removed endpoints that still have reservations, kept for the audit. */
  readonly #leaving = new Set<EndpointState>();
  readonly #fleet = new FleetCalibration();
  readonly #prompts = new HeldPrompts();
  #serial = 0;
  readonly #firstTokenJudge = new FirstTokenJudge(this.#byName);
  readonly #fleetView = new FleetView();
  #fleetList = EndpointList.of([]);
  readonly #reservations: ReservationOwner;
  #snapshotAtMs = Number.NEGATIVE_INFINITY;
  #isChanged = false;

  constructor({ clock, prefixIndex }: InferencePoolOptions) {
    this.#clock = clock;
    this.#prefixIndex = prefixIndex;
    this.#reservations = {
      clock,
      firstTokenJudge: this.#firstTokenJudge,
      touch: (state) => this.#touch(state),
      change: (state, change) => this.#change(state, change),
      roomChanged: (state) => this.#listeners.roomChanged(state),
      idle: (state) => void this.#leaving.delete(state),
    };
  }

  get size(): number {
    return this.#byName.size;
  }

  /** Calls back on changes, until the function returned is called. Endpoints already there are not told. */
  subscribe(listener: PoolListener): () => void {
    return this.#listeners.add(listener);
  }

  /** Adds an endpoint or updates its labels; one whose address changed starts anew. Throws on a bad address. */
  upsert(spec: EndpointSpec): Endpoint {
    const address = parseAddress(spec.address).text;
    const known = this.#byName.get(spec.name);
    if (known !== undefined && known.address === address) {
      known.setLabels(spec.labels ?? {});
      this.#touch(known);
      return known.view(this.#clock());
    }
    if (known !== undefined) this.remove(spec.name);
    const free = this.#bySlot.indexOf(undefined);
    const state = new EndpointState({ ...spec, address }, free < 0 ? this.#bySlot.length : free, {
      fleet: this.#fleet,
      prompts: this.#prompts,
      serial: this.#serial++,
    });
    this.#bySlot[state.slot] = state;
    this.#byName.set(state.name, state);
    this.#changeAll();
    this.#listeners.added(state);
    return state.view(this.#clock());
  }

  /** False if there was none of that name. Requests that run there go on; their reservations stay valid. */
  remove(name: string): boolean {
    const state = this.#byName.get(name);
    if (state === undefined) return false;
    this.#byName.delete(name);
    this.#bySlot[state.slot] = undefined;
    if (state.load.requests > 0) this.#leaving.add(state);
    this.#changeAll();
    tellLost(this.#prefixIndex, state);
    this.#listeners.removed(state);
    return true;
  }

  /**
   * All endpoints, ready or not, in the order of their slots. Frozen; the same object until something changed.
   * When none is ready, those that are merely silent count as ready: an overloaded fleet must not turn away
   * everything because it answers scrapes late.
   */
  snapshot(nowMs: number): readonly Endpoint[] {
    return this.list(nowMs).flat;
  }

  /** The same as a list whose versions share what has not changed. */
  list(nowMs: number): EndpointList {
    if (nowMs - this.#snapshotAtMs >= ageResolutionMs) {
      for (const state of this.#bySlot) state?.touch();
      this.#snapshotAtMs = nowMs;
      this.#changeAll();
    }
    if (this.#isChanged) {
      this.#fleetList = this.#fleetView.list(this.#bySlot, nowMs, (view) => this.#orSilent(view, nowMs));
      this.#isChanged = false;
    }
    return this.#fleetList;
  }

  /** The endpoint as it is now; undefined if it is gone, or its slot has another owner. */
  find(endpoint: EndpointRef): Endpoint | undefined {
    const state = this.#find(endpoint);
    if (state === undefined) return undefined;
    state.touch();
    this.#fleetView.change(state);
    return state.view(this.#clock());
  }

  /** It is there, in the same incarnation. */
  has(endpoint: EndpointRef): boolean {
    return this.#find(endpoint) !== undefined;
  }

  /** Leading tokens of a prompt that our running requests hold in the endpoint's memory. */
  heldTokens(endpoint: EndpointRef, prefix: PrefixHashes): number {
    const state = this.#find(endpoint);
    return state === undefined ? 0 : this.#prompts.shared(state, prefix);
  }

  /** The same with what `learned.heldTokens` counts of requests that have just ended. */
  heldOrAwaitedTokens(endpoint: EndpointRef, prefix: PrefixHashes): number {
    const state = this.#find(endpoint);
    return state === undefined ? 0 : this.#prompts.sharedOrAwaited(state, prefix, this.#clock());
  }

  /** Counts a request against the endpoint at once, so that the next decision sees it. */
  reserve(endpoint: EndpointRef, load: RequestLoad): Reservation {
    const state = this.#find(endpoint);
    if (state === undefined) return emptyReservation(this.#clock());
    return new HeldReservation(this.#reservations, state, load);
  }

  /** A scrape is about to be sent: requests reserved from now on are not in its figures. */
  beginScrape(endpoint: EndpointRef): void {
    this.#find(endpoint)?.beginScrape(this.#clock());
  }

  /** The figures of the scrape that began last, or of now if none did. `metrics` undefined: it answers but tells nothing of itself. */
  recordScrape(endpoint: EndpointRef, metrics: ScrapedMetrics | undefined): void {
    const state = this.#find(endpoint);
    if (state === undefined) return;
    this.#listeners.scraped(state, metrics === undefined ? 'no_figures' : 'figures');
    const { ejections, ejection } = state.health;
    const nowMs = this.#clock();
    state.health.scrapeSucceeded();
    if (mayBeFull(metrics)) state.fullUntilMs = Number.POSITIVE_INFINITY;
    else state.fullUntilMs = Math.min(state.fullUntilMs, nowMs);
    this.#firstTokenJudge.lookForMissing(state, nowMs);
    if (metrics !== undefined) {
      tellCapacity(this.#prefixIndex, state, metrics);
      state.endScrape(metrics, nowMs);
    }
    this.#touch(state);
    this.#listeners.healthChanged(state, ejections, ejection);
    this.#listeners.roomChanged(state);
  }

  /** Not ready until the next scrape succeeds. */
  recordScrapeFailure(endpoint: EndpointRef, reason: string): void {
    this.#change(endpoint, (state) => {
      this.#listeners.scraped(state, 'failed');
      state.health.scrapeFailed(reason);
    });
    this.#listeners.roomChanged(endpoint);
  }

  /**
   * Like a failure, unless the endpoint has served a request of ours in the last second: a busy engine
   * answers scrapes late. Its figures then stay and age.
   */
  recordScrapeTimeout(endpoint: EndpointRef, reason: string): void {
    this.#change(endpoint, (state) => {
      this.#listeners.scraped(state, 'timeout');
      const nowMs = this.#clock();
      if (nowMs - state.servedAtMs >= proofOfLifeMs) state.health.scrapeTimedOut(reason, nowMs);
    });
    this.#listeners.roomChanged(endpoint);
  }

  recordModels(endpoint: EndpointRef, models: EndpointModels): void {
    this.#change(endpoint, (state) => state.setModels(models));
  }

  /** The engine process was replaced: what it had cached is lost. */
  recordRestart(endpoint: EndpointRef): void {
    const state = this.#find(endpoint);
    if (state === undefined) return;
    tellLost(this.#prefixIndex, state);
    tellCapacity(this.#prefixIndex, state, state.metrics);
  }

  /** A request could not reach the endpoint, or its connection broke: ejects it at once. */
  reportFailure(endpoint: EndpointRef, reason: string): void {
    this.#change(endpoint, (state) => state.health.requestFailed(reason, this.#clock()));
  }

  /** The engine answered with a server error; several in a row eject it. */
  reportErrorAnswer(endpoint: EndpointRef, reason: string, sentAtMs = this.#clock()): void {
    this.#change(endpoint, (state) => state.health.requestGotError(reason, sentAtMs, this.#clock()));
  }

  reportSuccess(endpoint: EndpointRef, sentAtMs = this.#clock()): void {
    this.#change(endpoint, (state) => {
      const nowMs = this.#clock();
      state.servedAtMs = nowMs;
      state.health.requestSucceeded(sentAtMs, nowMs);
    });
  }

  /** Throws if a counter is not the sum of the live reservations, or a slot has two owners. */
  checkIntegrity(): void {
    for (const state of [...this.#byName.values(), ...this.#leaving]) state.load.checkIntegrity(state.name);
    for (const state of this.#byName.values()) {
      if (this.#bySlot[state.slot] !== state) throw new Error(`slot ${state.slot} is not ${state.name}'s`);
    }
  }

  #orSilent(view: Endpoint, nowMs: number): Endpoint {
    const state = this.#bySlot[view.slot]!;
    return state.health.isSilent(nowMs) ? state.viewAsReady(nowMs) : view;
  }

  #find({ slot, name, address }: EndpointRef): EndpointState | undefined {
    const state = this.#bySlot[slot];
    return state?.name === name && state.address === address ? state : undefined;
  }

  #touch(state: EndpointState): void {
    state.touch();
    this.#fleetView.change(state);
    this.#isChanged = true;
  }

  #changeAll(): void {
    this.#fleetView.changeAll();
    this.#isChanged = true;
  }

  #change(endpoint: EndpointRef, change: (state: EndpointState) => void): void {
    const state = this.#find(endpoint);
    if (state === undefined) return;
    const { ejections, ejection } = state.health;
    change(state);
    this.#touch(state);
    this.#listeners.healthChanged(state, ejections, ejection);
  }
}
