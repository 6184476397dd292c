import type { Assignment } from '../endpoint-picker/assignment.ts';
import {
  createEndpointPicker,
  type FlowControlSettings,
  type InspectableEndpointPicker,
} from '../endpoint-picker/endpoint-picker.ts';
import { InferencePool } from '../pool/inference-pool.ts';
import { ApproximateIndex } from '../prefix-index/approximate-index.ts';
import type { PrefixIndex } from '../prefix-index/prefix-index.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import { createProfile } from '../scheduling/profile.ts';
import type { EngineModel } from './engine-model.ts';
import { EventPrefixIndex } from './event-prefix-index.ts';
import type { ScrapedGauges } from './gauge-scraper.ts';
import type { Policy, PolicyInstance } from './policy.ts';
import type { Router, RouterEnvironment, RouterFactory } from './router.ts';
import type { RunningRequest } from './running-request.ts';
import { VirtualTimers } from './virtual-timers.ts';
import { blockTokens } from './workload.ts';
import { simulatedModel } from './workload-request.ts';

/** A router made of the product's pool, prefix index, endpoint picker and flow control, under virtual time. */
export function productRouter(policy: Policy): RouterFactory {
  return (environment) => {
    const { models, random } = environment;
    const model = models[0]!;
    const instance = policy.create({ model, pods: models.length, random });
    const index =
      instance.residency === 'events'
        ? new EventPrefixIndex(blockTokens)
        : new ApproximateIndex({ blockTokens, blocksPerEndpoint: kvBlocks(model) });
    return new ProductRouter(environment, instance, index);
  };
}

interface Serving {
  readonly running: RunningRequest;
  assignment: Assignment | undefined;
}

class ProductRouter implements Router {
  readonly #environment: RouterEnvironment;
  readonly #pool: InferencePool;
  readonly #picker: InspectableEndpointPicker;
  readonly #timers: VirtualTimers;
  readonly #endpoints: (Endpoint | undefined)[];
  readonly #engineOfSlot: number[] = [];
  readonly #delivered: (ScrapedGauges | undefined)[];
  /** Requests that wait here or are on an engine. */
  readonly #serving = new Map<RunningRequest, Serving>();
  #nextScrapeMs = 0;
  /** The pool's clock; set back for the moment in which a scrape began. */
  #clockMs = 0;
  decisions = 0;
  readonly residencyChanged: Router['residencyChanged'];

  constructor(environment: RouterEnvironment, policy: PolicyInstance, index: PrefixIndex) {
    this.#environment = environment;
    const clock = () => this.#clockMs;
    if (index instanceof EventPrefixIndex) {
      this.residencyChanged = (engine, changes) => index.apply(this.#endpoints[engine]!.slot, changes);
    }
    this.#timers = new VirtualTimers({ clock, wakeAt: environment.wakeAt });
    const profile = createProfile(policy.profile);
    this.#pool = new InferencePool({ clock, prefixIndex: index });
    this.#picker = createEndpointPicker({
      pool: this.#pool,
      profile: () => profile,
      prefixIndex: index,
      clock,
      random: environment.random,
      observer: { onFinished() {}, onRejected() {} },
      keptRecords: 0,
      flowControl: this.#flowControlOf(policy),
    });
    this.#endpoints = environment.models.map(() => undefined);
    this.#delivered = environment.models.map(() => undefined);
    for (let engine = 0; engine < environment.models.length; engine++) {
      if (environment.isUp(engine)) this.engineStarted(engine);
    }
  }

  arrive(running: RunningRequest): void {
    this.#catchUp();
    const serving: Serving = { running, assignment: undefined };
    this.#serving.set(running, serving);
    this.#picker.submit(running.source.request, noOptions, {
      placed: (assignment) => this.#send(serving, assignment),
      refused: () => {
        this.#serving.delete(running);
        this.#environment.reject(running);
      },
    });
    this.#watchScrapes();
  }

  firstToken(running: RunningRequest): void {
    this.#catchUp();
    this.#serving.get(running)?.assignment?.firstToken();
  }

  ended(running: RunningRequest): void {
    this.#catchUp();
    const assignment = this.#serving.get(running)?.assignment;
    this.#serving.delete(running);
    if (running.ending === 'completed') {
      const { promptTokens, outputTokens: completionTokens, cachedTokens } = running;
      const usage = { promptTokens, completionTokens, cachedTokens };
      assignment?.finish({ kind: 'completed', status: 200, usage });
    } else if (this.#environment.isUp(running.engine ?? -1)) {
      assignment?.finish({ kind: 'rejected_by_engine', status: 400 });
    } else assignment?.finish({ kind: 'upstream_failed', reason: 'connection reset' });
  }

  /** The first time an endpoint joins the pool; later times it is a new process with an empty cache. */
  engineStarted(engine: number): void {
    this.#clockMs = this.#environment.nowMs();
    const known = this.#endpoints[engine];
    if (known === undefined) this.#join(engine);
    else this.#pool.recordRestart(known);
    this.#nextScrapeMs = 0;
    this.#catchUp();
  }

  onTimer(): void {
    this.#catchUp();
    this.#timers.fire();
    this.#watchScrapes();
  }

  #flowControlOf({ flowControl }: PolicyInstance): FlowControlSettings | undefined {
    if (flowControl === undefined) return undefined;
    const { limits, room } = flowControl;
    return { limits: () => limits, room: () => room, schedule: this.#timers.schedule };
  }

  #join(engine: number): void {
    const endpoint = this.#pool.upsert({ name: `pod-${engine}`, address: addressOf(engine) });
    this.#pool.recordModels(endpoint, { models: [simulatedModel], adapters: [] });
    this.#endpoints[engine] = endpoint;
    this.#engineOfSlot[endpoint.slot] = engine;
  }

  /** As the gateway does: the next of the ranking when an engine refuses the connection. */
  #send(serving: Serving, assignment: Assignment): void {
    const { running } = serving;
    serving.assignment = assignment;
    this.decisions++;
    let endpoint: Endpoint | undefined = assignment.endpoint;
    const { candidates } = assignment.record;
    while (endpoint !== undefined) {
      const { name, slot }: Endpoint = endpoint;
      running.predictedCachedTokens = candidates.find((each) => each.name === name)?.cachedTokens ?? 0;
      if (this.#environment.dispatch(running, this.#engineOfSlot[slot]!)) return;
      endpoint = assignment.retryNext('connection refused');
    }
    this.#serving.delete(running);
    assignment.finish({ kind: 'connect_failed', reason: 'connection refused' });
    this.#environment.reject(running);
  }

  /** While requests wait, a scrape may be what they wait for. */
  #watchScrapes(): void {
    if (this.#picker.waitingRequests > 0 && !this.#timers.isWatching) {
      this.#timers.watch(this.#environment.nextScrapeMs());
    }
  }

  /** Comes to the present. Scrapes are delivered late, but before anything changes for this router. */
  #catchUp(): void {
    const { models, scrape, nowMs, nextScrapeMs } = this.#environment;
    this.#clockMs = nowMs();
    if (this.#clockMs < this.#nextScrapeMs) return;
    this.#nextScrapeMs = nextScrapeMs();
    for (let engine = 0; engine < models.length; engine++) {
      const endpoint = this.#endpoints[engine];
      if (endpoint === undefined) continue;
      const gauges = scrape(engine);
      if (gauges === undefined) this.#pool.recordScrapeFailure(endpoint, 'connection refused');
      else if (gauges !== this.#delivered[engine]) this.#deliver(engine, endpoint, gauges);
    }
  }

  #deliver(engine: number, endpoint: Endpoint, gauges: ScrapedGauges): void {
    const nowMs = this.#clockMs;
    this.#delivered[engine] = gauges;
    this.#clockMs = gauges.scrapedMs;
    this.#pool.beginScrape(endpoint);
    this.#clockMs = nowMs;
    this.#pool.recordScrape(endpoint, {
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

function kvBlocks(model: EngineModel): number {
  return Math.floor(model.kvCapacityTokens / blockTokens);
}

const noOptions = Object.freeze({});
const noAdapters: readonly string[] = Object.freeze([]);

function addressOf(engine: number): string {
  return `10.0.${engine >> 8}.${engine & 255}:8000`;
}
