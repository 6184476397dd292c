import type { Assignment } from '../endpoint-picker/assignment.ts';
import { createEndpointPicker, type InspectableEndpointPicker } from '../endpoint-picker/endpoint-picker.ts';
import type { FlowControlSettings } from '../endpoint-picker/late-binding.ts';
import { ApproximateIndex } from '../prefix-index/approximate-index.ts';
import type { PrefixIndex } from '../prefix-index/prefix-index.ts';
import type { Endpoint } from '../scheduling/endpoint.ts';
import { createProfile } from '../scheduling/profile.ts';
import type { SchedulingResult } from '../scheduling/scheduling-result.ts';
import { DisaggregatedRouter } from './disaggregated-router.ts';
import { EventPrefixIndex } from './event-prefix-index.ts';
import type { Policy, PolicyInstance } from './policy.ts';
import type { Router, RouterEnvironment, RouterFactory } from './router.ts';
import type { RunningRequest } from './running-request.ts';
import { SentPrefixIndex } from './sent-prefix-index.ts';
import { kvBlocks, SimulatedPool } from './simulated-pool.ts';
import { VirtualTimers } from './virtual-timers.ts';
import { blockTokens } from './workload.ts';

/** A router made of the product's pool, prefix index, endpoint picker and flow control, under virtual time. */
export function productRouter(policy: Policy): RouterFactory {
  return (environment) => {
    const { models, random } = environment;
    const model = models[0]!;
    const instance = policy.create({ model, pods: models.length, random });
    if (instance.disaggregation !== undefined) return new DisaggregatedRouter(environment, instance);
    return new ProductRouter(environment, instance, indexOf(instance, kvBlocks(model)));
  };
}

function indexOf({ residency }: PolicyInstance, blocksPerEndpoint: number): PrefixIndex {
  if (residency === 'events') return new EventPrefixIndex(blockTokens);
  const Index = residency === 'sent' ? SentPrefixIndex : ApproximateIndex;
  return new Index({ blockTokens, blocksPerEndpoint });
}

class ProductRouter implements Router {
  readonly #environment: RouterEnvironment;
  readonly #fleet: SimulatedPool;
  readonly #picker: InspectableEndpointPicker;
  readonly #timers: VirtualTimers;
  /** Of the requests that are on an engine, by their order. */
  readonly #assignments: (Assignment | undefined)[] = [];
  decisions = 0;
  readonly residencyChanged: Router['residencyChanged'];

  constructor(environment: RouterEnvironment, policy: PolicyInstance, index: PrefixIndex) {
    this.#environment = environment;
    this.#fleet = new SimulatedPool(environment, index);
    const { pool, clock } = this.#fleet;
    if (index instanceof EventPrefixIndex) {
      this.residencyChanged = (engine, changes) => index.apply(this.#fleet.endpointOf(engine)!.slot, changes);
    }
    this.#timers = new VirtualTimers({ clock, wakeAt: environment.wakeAt });
    const profile = createProfile(policy.profile);
    this.#picker = createEndpointPicker({
      pool,
      profile: () => profile,
      prefixIndex: index,
      clock,
      random: environment.random,
      observer: { onFinished() {}, onRejected() {} },
      keptRecords: 0,
      flowControl: this.#flowControlOf(policy),
    });
    for (let engine = 0; engine < environment.models.length; engine++) {
      if (environment.isUp(engine)) this.engineStarted(engine);
    }
  }

  arrive(running: RunningRequest): void {
    this.#fleet.catchUp();
    this.#picker.submit(running.source.request, noOptions, {
      placed: (assignment) => this.#send(running, assignment),
      refused: () => this.#environment.reject(running),
    });
    this.#watchScrapes();
  }

  firstToken(running: RunningRequest): void {
    this.#fleet.catchUp();
    this.#assignments[running.order]?.firstToken();
  }

  ended(running: RunningRequest): void {
    this.#fleet.catchUp();
    const assignment = this.#assignments[running.order];
    this.#assignments[running.order] = undefined;
    if (running.ending === 'completed') {
      const { promptTokens, outputTokens: completionTokens, cachedTokens } = running;
      const usage = { promptTokens, completionTokens, cachedTokens };
      assignment?.finish({ kind: 'completed', status: 200, usage });
    } else if (this.#environment.isUp(running.engine ?? -1)) {
      assignment?.finish({ kind: 'rejected_by_engine', status: 400 });
    } else assignment?.finish({ kind: 'upstream_failed', reason: 'connection reset' });
  }

  engineStarted(engine: number): void {
    this.#fleet.engineStarted(engine);
  }

  onTimer(): void {
    this.#fleet.catchUp();
    this.#timers.fire();
    this.#watchScrapes();
  }

  #flowControlOf({ flowControl }: PolicyInstance): FlowControlSettings | undefined {
    if (flowControl === undefined) return undefined;
    const { limits, room } = flowControl;
    return { limits: () => limits, room: () => room, schedule: this.#timers.schedule };
  }

  /** As the gateway does: the next of the ranking when an engine refuses the connection. */
  #send(running: RunningRequest, assignment: Assignment): void {
    while (this.#assignments.length < running.order) this.#assignments.push(undefined);
    this.#assignments[running.order] = assignment;
    this.decisions++;
    let endpoint: Endpoint | undefined = assignment.endpoint;
    const { record } = assignment;
    while (endpoint !== undefined) {
      running.predictedCachedTokens = cachedTokensIn(record, endpoint);
      if (this.#environment.dispatch(running, this.#fleet.engineOf(endpoint))) return;
      endpoint = assignment.retryNext('connection refused');
    }
    this.#assignments[running.order] = undefined;
    assignment.finish({ kind: 'connect_failed', reason: 'connection refused' });
    this.#environment.reject(running);
  }

  /** While requests wait, a scrape may be what they wait for. */
  #watchScrapes(): void {
    if (this.#picker.waitingRequests > 0 && !this.#timers.isWatching) {
      this.#timers.watch(this.#environment.nextScrapeMs());
    }
  }
}

const noOptions = Object.freeze({});

/** What the decision believed cached on one of its candidates. */
function cachedTokensIn(record: SchedulingResult, { name }: Endpoint): number {
  if (record.brief?.choice.name === name) return record.brief.cachedTokens;
  return record.candidates.find((each) => each.name === name)?.cachedTokens ?? 0;
}
