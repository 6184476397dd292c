import type { EngineModel } from './engine-model.ts';
import { EventQueue } from './event-queue.ts';
import type { Fault } from './faults.ts';
import { GaugeScraper } from './gauge-scraper.ts';
import { seededRandom } from './random.ts';
import { ResidencyFeed } from './residency-feed.ts';
import type { Router, RouterFactory, Split } from './router.ts';
import { RunningRequest } from './running-request.ts';
import { type EngineCounters, SimulatedEngine } from './simulated-engine.ts';
import type { RequestSource, WorkloadRequest } from './workload.ts';

export interface SimulationOptions {
  readonly source: RequestSource;
  readonly model: EngineModel;
  readonly pods: number;
  readonly seed: number;
  /** How often routers read the engines' gauges. */
  readonly scrapeMs: number;
  /** Replicas of the router; they share nothing, and requests go to them in turn. */
  readonly routers: number;
  readonly router: RouterFactory;
  readonly faults: readonly Fault[];
  /** Requests still under way then count as unfinished. */
  readonly maxMs: number;
}

export interface SimulationResult {
  /** In order of arrival. */
  readonly requests: readonly RunningRequest[];
  readonly engines: readonly EngineCounters[];
  /** Until the last completion. */
  readonly durationMs: number;
  readonly decisions: number;
}

interface Transfer extends Split {
  readonly request: RunningRequest;
}

/** Targets of events that are not engines. */
const followUpTarget = -1;
const faultTarget = -2;
const routerTarget = -3;
const transferTarget = -4;

/** Runs one workload on one fleet, from the first arrival until nothing is left to do. */
export function simulate(options: SimulationOptions): SimulationResult {
  return new Simulation(options).run();
}

class Simulation {
  readonly #source: RequestSource;
  readonly #maxMs: number;
  readonly #queue = new EventQueue(1024);
  readonly #engines: readonly SimulatedEngine[];
  readonly #isUp: boolean[];
  readonly #scraper: GaugeScraper;
  readonly #residency: ResidencyFeed;
  readonly #routers: readonly Router[];
  readonly #requests: RunningRequest[] = [];
  readonly #followUps: WorkloadRequest[] = [];
  readonly #faults: readonly Fault[];
  /** Prefills of split requests, by the request that stands for them on the prefill engine. */
  readonly #prefills = new Map<RunningRequest, Transfer>();
  readonly #transfers: Transfer[] = [];
  /** When the transfers to an engine that are known now will have arrived. */
  readonly #linkFreeMs: number[] = [];
  #nowMs = 0;
  #lastEndMs = 0;

  constructor({ source, model, pods, seed, scrapeMs, routers, router, faults, maxMs }: SimulationOptions) {
    this.#source = source;
    this.#maxMs = maxMs;
    this.#faults = faults;
    this.#engines = Array.from({ length: pods }, (_, index) => this.#makeEngine(index, model));
    this.#isUp = this.#engines.map(() => true);
    this.#planFaults();
    const stale = faults.find((fault) => fault.kind === 'stale_metrics');
    this.#scraper = new GaugeScraper(this.#engines, stale?.scrapeMs ?? scrapeMs);
    this.#routers = Array.from({ length: routers }, (_, replica) =>
      router({
        models: this.#engines.map(() => model),
        random: seededRandom(seed, `router ${replica}`),
        nowMs: () => this.#nowMs,
        scrape: (engine) => (this.#isUp[engine] ? this.#scraper.read(engine, this.#nowMs) : undefined),
        nextScrapeMs: () => this.#scraper.nextMs(this.#nowMs),
        isUp: (engine) => this.#isUp[engine] === true,
        dispatch: (request, engine) => this.#dispatch(request, engine),
        dispatchSplit: (request, split) => this.#dispatchSplit(request, split),
        reject: (request) => this.#end(request, 'rejected'),
        wakeAt: (timeMs) => this.#queue.push(Math.max(timeMs, this.#nowMs), routerTarget, replica),
      }),
    );
    const lost = faults.find((fault) => fault.kind === 'lost_events');
    this.#residency = new ResidencyFeed(this.#engines, this.#routers, {
      lostShare: lost?.share ?? 0,
      random: seededRandom(seed, 'lost events'),
    });
  }

  run(): SimulationResult {
    const { arrivals } = this.#source;
    let next = 0;
    for (;;) {
      const arrivalMs = arrivals[next]?.arrivalMs ?? Number.POSITIVE_INFINITY;
      const eventMs = this.#queue.nextTimeMs;
      const nowMs = Math.min(arrivalMs, eventMs);
      if (nowMs === Number.POSITIVE_INFINITY || nowMs > this.#maxMs) break;
      this.#nowMs = nowMs;
      if (eventMs <= arrivalMs) this.#handleEvent();
      else this.#arrive(arrivals[next++]!);
    }
    for (const engine of this.#engines) engine.checkIntegrity();
    return {
      requests: this.#requests,
      engines: this.#engines.map((engine) => engine.counters()),
      durationMs: this.#lastEndMs,
      decisions: this.#routers.reduce((sum, router) => sum + router.decisions, 0),
    };
  }

  #makeEngine(index: number, model: EngineModel): SimulatedEngine {
    const slow = this.#faults.find((fault) => fault.kind === 'slow' && fault.endpoint === index);
    return new SimulatedEngine({
      index,
      model,
      slowness: slow?.kind === 'slow' ? slow.factor : 1,
      timers: this.#queue,
      listener: {
        beforeChange: (engine, nowMs) => this.#scraper.beforeChange(engine, nowMs),
        // Of a split request the prefill stands for it here, and its first token is not the client's.
        firstToken: (request) => {
          if (!this.#prefills.has(request)) this.#routerOf(request).firstToken(request);
        },
        completed: (request) => {
          const transfer = this.#prefills.get(request);
          if (transfer === undefined) this.#end(request, 'completed');
          else this.#transfer(request, transfer);
        },
      },
    });
  }

  #handleEvent(): void {
    const queue = this.#queue;
    queue.pop();
    if (queue.target >= 0) {
      const index = queue.target;
      this.#engines[index]!.stepEnd(queue.version, this.#nowMs);
      this.#residency.flush(index);
    } else if (queue.target === followUpTarget) this.#arrive(this.#followUps[queue.version]!);
    else if (queue.target === transferTarget) this.#transferred(this.#transfers[queue.version]!);
    else if (queue.target === routerTarget) this.#routers[queue.version]!.onTimer?.();
    else this.#changeEngine(queue.version);
  }

  #arrive(source: WorkloadRequest): void {
    const request = new RunningRequest(source, this.#requests.length);
    this.#requests.push(request);
    this.#routerOf(request).arrive(request);
  }

  /** Replicas take requests in turn. */
  #routerOf({ order }: RunningRequest): Router {
    return this.#routers[order % this.#routers.length]!;
  }

  #dispatch(request: RunningRequest, index: number): boolean {
    if (!this.#isUp[index]) return false;
    const engine = this.#engines[index]!;
    request.engine = index;
    request.dispatchedMs = this.#nowMs;
    if (engine.memory.fits(request)) {
      engine.enqueue(request, this.#nowMs);
      this.#residency.flush(index);
    } else this.#end(request, 'failed');
    return true;
  }

  #dispatchSplit(request: RunningRequest, split: Split): void {
    const { source } = request;
    const prefill = new RunningRequest({ ...source, outputTokens: 1 }, request.order);
    request.dispatchedMs = this.#nowMs;
    request.isSplit = true;
    this.#prefills.set(prefill, { request, ...split });
    this.#dispatch(prefill, split.prefillEngine);
  }

  #transfer(prefill: RunningRequest, transfer: Transfer): void {
    this.#prefills.delete(prefill);
    const { request, decodeEngine, transferMs } = transfer;
    request.prefilledCachedTokens = prefill.cachedTokens;
    this.#routerOf(request).prefilled?.(request);
    const arrivesMs = Math.max(this.#nowMs, this.#linkFreeMs[decodeEngine] ?? 0) + transferMs;
    this.#linkFreeMs[decodeEngine] = arrivesMs;
    this.#transfers.push(transfer);
    this.#queue.push(arrivesMs, transferTarget, this.#transfers.length - 1);
  }

  #transferred({ request, decodeEngine }: Transfer): void {
    const engine = this.#engines[decodeEngine]!;
    request.engine = decodeEngine;
    engine.enqueuePrefilled(request, this.#nowMs);
    this.#residency.flush(decodeEngine);
  }

  #end(request: RunningRequest, ending: 'completed' | 'rejected' | 'failed'): void {
    request.ending = ending;
    request.endedMs = this.#nowMs;
    if (request.isSplit) request.cachedTokens = request.prefilledCachedTokens;
    this.#lastEndMs = this.#nowMs;
    if (ending !== 'rejected') this.#routerOf(request).ended(request);
    const following = this.#source.next?.(request.source, this.#nowMs);
    if (following === undefined) return;
    this.#followUps.push(following);
    this.#queue.push(following.arrivalMs, followUpTarget, this.#followUps.length - 1);
  }

  /** A fault event's version is twice the fault's index, plus one when the engine comes up. */
  #planFaults(): void {
    for (const [index, fault] of this.#faults.entries()) {
      if (fault.kind === 'crash') {
        this.#queue.push(fault.atMs, faultTarget, 2 * index);
        this.#queue.push(fault.backMs, faultTarget, 2 * index + 1);
      } else if (fault.kind === 'late_start') {
        this.#isUp[fault.endpoint] = false;
        this.#queue.push(fault.atMs, faultTarget, 2 * index + 1);
      }
    }
  }

  #changeEngine(version: number): void {
    const fault = this.#faults[version >> 1]!;
    if (fault.kind !== 'crash' && fault.kind !== 'late_start') return;
    const isUp = version % 2 === 1;
    this.#isUp[fault.endpoint] = isUp;
    if (isUp) {
      for (const router of this.#routers) router.engineStarted?.(fault.endpoint);
      return;
    }
    const lost = this.#engines[fault.endpoint]!.crash(this.#nowMs);
    this.#residency.flush(fault.endpoint);
    for (const request of lost) this.#end(request, 'failed');
  }
}
