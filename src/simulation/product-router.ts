import { defaultRoomRule, RoomRound } from '../endpoint-picker/room-round.ts';
import { defaultLimits, FlowControl, type Offer } from '../flow-control/index.ts';
import { InferencePool, type Reservation } from '../pool/inference-pool.ts';
import { ApproximateIndex } from '../prefix-index/approximate-index.ts';
import type { PrefixIndex, PrefixMatch } from '../prefix-index/prefix-index.ts';
import { ownPrefillMs, uncachedTokens } from '../scheduling/delay-estimate.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import { createProfile, type Profile } from '../scheduling/profile.ts';
import type { SchedulingContext } from '../scheduling/scheduling-context.ts';
import type { EngineModel } from './engine-model.ts';
import { EventPrefixIndex } from './event-prefix-index.ts';
import type { ScrapedGauges } from './gauge-scraper.ts';
import { LateBinding } from './late-binding.ts';
import type { Policy, PolicyInstance } from './policy.ts';
import type { Router, RouterEnvironment, RouterFactory } from './router.ts';
import type { RunningRequest } from './running-request.ts';
import { blockTokens } from './workload.ts';
import { simulatedModel } from './workload-request.ts';

/** A router made of the product's pool, prefix index and profile, under the simulation's clock. */
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

class ProductRouter implements Router {
  readonly #environment: RouterEnvironment;
  readonly #policy: PolicyInstance;
  readonly #index: PrefixIndex;
  readonly #pool: InferencePool;
  readonly #profile: Profile;
  readonly #endpoints: (Endpoint | undefined)[];
  readonly #engineOfSlot: number[] = [];
  readonly #delivered: (ScrapedGauges | undefined)[];
  readonly #reservations = new Map<RunningRequest, Reservation>();
  /** The pool's clock; set back while a scrape of a moment ago is delivered. */
  #clockMs = 0;
  decisions = 0;
  readonly #lateBinding: LateBinding<RunningRequest> | undefined;
  readonly #flowControl: FlowControl<RoomRound> | undefined;
  readonly residencyChanged: Router['residencyChanged'];

  constructor(environment: RouterEnvironment, policy: PolicyInstance, index: PrefixIndex) {
    this.#environment = environment;
    this.#policy = policy;
    this.#index = index;
    if (index instanceof EventPrefixIndex) {
      this.residencyChanged = (engine, changes) => index.apply(this.#endpoints[engine]!.slot, changes);
    }
    this.#profile = createProfile(policy.profile);
    this.#pool = new InferencePool({ clock: () => this.#clockMs, prefixIndex: index });
    if (policy.lateBinding !== undefined) {
      this.#lateBinding = new LateBinding<RunningRequest>({
        options: policy.lateBinding,
        nowMs: () => this.#clockMs,
        endpoints: () => this.#readyEndpoints(),
        contextOf: (request) => this.#contextOf(request),
        dispatch: (request, endpoint) => this.#decide(request, [endpoint]),
      });
    }
    if (policy.hasFlowControl === true) {
      this.#flowControl = new FlowControl({
        limits: () => unlimited,
        beginRound: () => new RoomRound(this.#readyEndpoints(), defaultRoomRule),
        clock: () => this.#clockMs,
        schedule: () => () => undefined,
      });
    }
    this.#endpoints = environment.models.map(() => undefined);
    this.#delivered = environment.models.map(() => undefined);
    for (let engine = 0; engine < environment.models.length; engine++) {
      if (environment.isUp(engine)) this.engineStarted(engine);
    }
  }

  arrive(request: RunningRequest): void {
    this.#deliverScrapes();
    const ready = this.#readyEndpoints();
    if (ready.length > 0 && this.#lateBinding !== undefined) {
      this.#lateBinding.arrive(request);
    } else if (ready.length > 0 && this.#flowControl !== undefined) {
      this.#admit(request, this.#flowControl);
    } else if (!this.#decide(request, ready)) this.#environment.reject(request);
  }

  firstToken(request: RunningRequest): void {
    this.#clockMs = this.#environment.nowMs();
    this.#reservations.get(request)?.firstToken();
    this.#roomChanged();
  }

  ended(request: RunningRequest): void {
    this.#clockMs = this.#environment.nowMs();
    this.#reservations
      .get(request)
      ?.release(request.ending === 'completed' ? request.outputTokens : undefined);
    this.#reservations.delete(request);
    const endpoint = this.#endpoints[request.engine ?? -1];
    if (request.ending === 'completed') {
      if (endpoint !== undefined) this.#pool.reportSuccess(endpoint);
      this.#policy.completed?.(request);
    } else if (endpoint !== undefined && !this.#environment.isUp(request.engine!)) {
      this.#pool.reportFailure(endpoint, 'connection reset');
    }
    this.#roomChanged();
  }

  /** The first time an endpoint joins the pool; later times it is a new process with an empty cache. */
  engineStarted(engine: number): void {
    this.#clockMs = this.#environment.nowMs();
    const known = this.#endpoints[engine];
    if (known === undefined) this.#join(engine);
    else this.#pool.recordRestart(known);
    this.#roomChanged();
  }

  #join(engine: number): void {
    const endpoint = this.#pool.upsert({ name: `pod-${engine}`, address: addressOf(engine) });
    this.#pool.recordModels(endpoint, { models: [simulatedModel], adapters: [] });
    this.#endpoints[engine] = endpoint;
    this.#engineOfSlot[endpoint.slot] = engine;
  }

  /** True when the request was sent. */
  #decide(request: RunningRequest, endpoints: readonly Endpoint[]): boolean {
    const context = this.#contextOf(request);
    const { ranking } = this.#profile.run(context, endpoints);
    this.decisions++;
    for (const endpoint of ranking) {
      if (this.#tryDispatch(request, endpoint, context)) return true;
      this.#pool.reportFailure(endpoint, 'connection refused');
    }
    return false;
  }

  /** Nothing is refused, so the promise tells nothing that `#offer` has not done. */
  #admit(request: RunningRequest, flowControl: FlowControl<RoomRound>): void {
    const { priority, tenant } = request.source.request;
    void flowControl.admit({
      priority,
      tenant,
      bytes: 0,
      ttftSloMs: undefined,
      signal: new AbortController().signal,
      decide: (round) => this.#offer(request, round),
    });
  }

  /** As the endpoint picker decides within a round. */
  #offer(request: RunningRequest, round: RoomRound): Offer<undefined> {
    const context = this.#contextOf(request);
    for (const best of this.#profile.propose(context, round.endpoints).ranking) {
      const tokens = uncachedTokens(context, best);
      const ownMs = ownPrefillMs(best, request.promptTokens, tokens);
      if (!round.hasRoomAt(best)) {
        round.promise(best, tokens);
        return { kind: 'no-room', ownMs, tokens };
      }
      this.decisions++;
      if (this.#tryDispatch(request, best, context)) {
        this.#profile.confirm(context, best);
        round.reserved(best, tokens);
        return { kind: 'placed', value: undefined, ownMs, tokens };
      }
      this.#pool.reportFailure(best, 'connection refused');
    }
    return { kind: 'no-room', ownMs: 0, tokens: 0 };
  }

  #readyEndpoints(): readonly Endpoint[] {
    return this.#pool.snapshot(this.#clockMs).filter((endpoint) => endpoint.isReady);
  }

  #roomChanged(): void {
    if ((this.#lateBinding?.size ?? 0) + (this.#flowControl?.waitingRequests ?? 0) === 0) return;
    this.#deliverScrapes();
    this.#lateBinding?.roomChanged();
    this.#flowControl?.roomChanged();
  }

  #tryDispatch(request: RunningRequest, endpoint: Endpoint, context: SchedulingContext): boolean {
    const engine = this.#engineOfSlot[endpoint.slot]!;
    const cachedTokens = context.cachedTokens(endpoint);
    const { promptTokens } = request;
    const reservation = this.#pool.reserve(endpoint, {
      promptTokens,
      uncachedTokens: promptTokens - cachedTokens,
    });
    this.#reservations.set(request, reservation);
    request.predictedCachedTokens = cachedTokens;
    if (!this.#environment.dispatch(request, engine)) {
      reservation.release();
      this.#reservations.delete(request);
      return false;
    }
    this.#index.record(endpoint.slot, request.source.request.prefix);
    this.#policy.picked?.(request, endpoint.name);
    return true;
  }

  #contextOf(request: RunningRequest): SchedulingContext {
    const inference = request.source.request;
    let match: PrefixMatch | undefined;
    return {
      request: inference,
      nowMs: this.#clockMs,
      random: this.#environment.random,
      cachedTokens: ({ slot }) => {
        match ??= this.#index.match(inference.prefix);
        return Math.min(inference.promptTokens, match.cachedBlocks(slot) * inference.prefix.blockTokens);
      },
    };
  }

  /** A scrape is seen at the next decision, which is before anything could depend on it. */
  #deliverScrapes(): void {
    const { models, scrape, nowMs } = this.#environment;
    for (let engine = 0; engine < models.length; engine++) {
      const endpoint = this.#endpoints[engine];
      if (endpoint === undefined) continue;
      const gauges = scrape(engine);
      if (gauges === undefined) this.#pool.recordScrapeFailure(endpoint, 'connection refused');
      else if (gauges !== this.#delivered[engine]) this.#deliver(engine, endpoint, gauges);
    }
    this.#clockMs = nowMs();
  }

  #deliver(engine: number, endpoint: Endpoint, gauges: ScrapedGauges): void {
    this.#delivered[engine] = gauges;
    this.#clockMs = gauges.scrapedMs;
    this.#pool.beginScrape(endpoint);
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

const unlimited = Object.freeze({
  ...defaultLimits,
  maxQueuedRequests: Number.POSITIVE_INFINITY,
  maxQueuedBytes: Number.POSITIVE_INFINITY,
  defaultTtlMs: Number.POSITIVE_INFINITY,
});

const noAdapters: readonly string[] = Object.freeze([]);

function addressOf(engine: number): string {
  return `10.0.${engine >> 8}.${engine & 255}:8000`;
}
