import type { Reservation } from '../pool/reservation.ts';
import { ApproximateIndex } from '../prefix-index/approximate-index.ts';
import { prefillWork, uncachedTokens } from '../scheduling/delay-estimate.ts';
import { Disaggregation, type PlacementQuestion } from '../scheduling/disaggregation.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import { createProfile, type Profile } from '../scheduling/profile.ts';
import type { SchedulingContext } from '../scheduling/scheduling-context.ts';
import { isolatedPrefillMs } from './engine-model.ts';
import type { DisaggregationPolicy, PolicyInstance } from './policy.ts';
import type { Router, RouterEnvironment } from './router.ts';
import type { RunningRequest } from './running-request.ts';
import { kvBlocks, SimulatedPool } from './simulated-pool.ts';
import { blockTokens } from './workload.ts';

/** Load that a request holds: on the engine that prefills it elsewhere, if one does, and where it decodes. */
interface Held {
  readonly decode: Reservation;
  readonly decodeEngine: number;
  readonly prefill: Reservation | undefined;
}

/**
 * Two pools, one of engines that only prefill: the product's profile proposes an endpoint in each, its
 * `Disaggregation` says whether the request is split. Engines do not fail here.
 */
export class DisaggregatedRouter implements Router {
  readonly #environment: RouterEnvironment;
  readonly #policy: DisaggregationPolicy;
  readonly #fleet: SimulatedPool;
  readonly #index: ApproximateIndex;
  readonly #profile: Profile;
  readonly #disaggregation: Disaggregation;
  readonly #prefillEngines: number;
  readonly #held = new Map<RunningRequest, Held>();
  /** Until when the transfers to an engine that we have asked for will last. */
  readonly #linkFreeMs: number[] = [];
  decisions = 0;

  constructor(environment: RouterEnvironment, { profile, disaggregation }: PolicyInstance) {
    const { models } = environment;
    this.#environment = environment;
    this.#policy = disaggregation!;
    this.#index = new ApproximateIndex({ blockTokens, blocksPerEndpoint: kvBlocks(models[0]!) });
    this.#fleet = new SimulatedPool(environment, this.#index);
    this.#profile = createProfile(profile);
    this.#disaggregation = new Disaggregation(this.#policy.parameters);
    this.#prefillEngines = Math.max(1, Math.round(this.#policy.prefillShare * models.length));
    for (let engine = 0; engine < models.length; engine++) this.#fleet.engineStarted(engine);
  }

  arrive(running: RunningRequest): void {
    this.#fleet.catchUp();
    this.decisions++;
    const { pool, clock } = this.#fleet;
    const endpoints = pool.snapshot(clock());
    const prefillPool = endpoints.filter((each) => this.#fleet.engineOf(each) < this.#prefillEngines);
    const decodePool = endpoints.filter((each) => this.#fleet.engineOf(each) >= this.#prefillEngines);
    const context = this.#contextOf(running);
    const decode = this.#profile.propose(context, decodePool).ranking[0]!;
    const prefill = this.#profile.propose(context, prefillPool).ranking[0]!;
    if (!this.#isRemote(context, { decode, prefill, decodePool, prefillPool })) {
      this.#profile.confirm(context, decode);
      running.predictedCachedTokens = context.cachedTokens(decode);
      const decodeEngine = this.#fleet.engineOf(decode);
      this.#held.set(running, { decode: this.#reserve(context, decode), decodeEngine, prefill: undefined });
      this.#environment.dispatch(running, decodeEngine);
      return;
    }
    this.#profile.confirm(context, prefill);
    running.predictedCachedTokens = context.cachedTokens(prefill);
    const decodeEngine = this.#fleet.engineOf(decode);
    const held = { decode: this.#reserve(context, decode, 1), prefill: this.#reserve(context, prefill) };
    this.#held.set(running, { ...held, decodeEngine });
    const prefillEngine = this.#fleet.engineOf(prefill);
    const transferMs = this.#transferMs(running);
    this.#environment.dispatchSplit(running, { prefillEngine, decodeEngine, transferMs });
  }

  prefilled(running: RunningRequest): void {
    this.#fleet.catchUp();
    const { prefill, decodeEngine } = this.#held.get(running)!;
    prefill?.firstToken();
    prefill?.release();
    const freeMs = Math.max(this.#fleet.clock(), this.#linkFreeMs[decodeEngine] ?? 0);
    this.#linkFreeMs[decodeEngine] = freeMs + this.#transferMs(running);
  }

  firstToken(running: RunningRequest): void {
    this.#fleet.catchUp();
    this.#held.get(running)?.decode.firstToken();
    if (!running.isSplit) return;
    const { request, arrivalMs } = running.source;
    const usualMs = 1000 + 3 * isolatedPrefillMs(this.#environment.models[0]!, request.promptTokens);
    const isLate = this.#fleet.clock() - arrivalMs > (request.slo.ttftMs ?? usualMs);
    this.#disaggregation.cameRemotely(request.priority, isLate);
  }

  ended(running: RunningRequest): void {
    this.#fleet.catchUp();
    this.#held.get(running)?.decode.release(running.outputTokens);
    this.#held.delete(running);
  }

  #isRemote(
    context: SchedulingContext,
    pools: Omit<PlacementQuestion, 'context' | 'pendingTransferMs'>,
  ): boolean {
    const { rule } = this.#policy;
    const { decode } = pools;
    if (rule !== 'drift') return uncachedTokens(context, decode) >= rule.uncachedTokens;
    const freeMs = this.#linkFreeMs[this.#fleet.engineOf(decode)] ?? 0;
    const pendingTransferMs = Math.max(0, freeMs - context.nowMs);
    return this.#disaggregation.decide({ ...pools, context, pendingTransferMs }).isRemote;
  }

  /** `uncached` where another engine computes the prompt. */
  #reserve(context: SchedulingContext, endpoint: Endpoint, uncached = uncachedTokens(context, endpoint)) {
    const { promptTokens, prefix } = context.request;
    const load = { promptTokens, uncachedTokens: uncached, prefix };
    const reservation = this.#fleet.pool.reserve(endpoint, {
      ...load,
      prefillWork: prefillWork(promptTokens, uncached),
    });
    this.#index.record(endpoint.slot, prefix);
    return reservation;
  }

  #contextOf({ source: { request } }: RunningRequest): SchedulingContext {
    const match = this.#index.match(request.prefix);
    return {
      request,
      nowMs: this.#fleet.clock(),
      random: this.#environment.random,
      cachedTokens: ({ slot }) =>
        Math.min(request.promptTokens, match.cachedBlocks(slot) * request.prefix.blockTokens),
    };
  }

  #transferMs({ promptTokens }: RunningRequest): number {
    const { setupMs, transferMsPerToken } = this.#policy.parameters;
    return setupMs + transferMsPerToken * promptTokens;
  }
}
