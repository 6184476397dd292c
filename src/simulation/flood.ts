import { enginePresets } from './engine-model.ts';
import type { Policy } from './policy.ts';
import { productRouter } from './product-router.ts';
import type { RunningRequest } from './running-request.ts';
import { simulate } from './simulation.ts';
import { jainIndex, mean, quantile } from './statistics.ts';
import type { RequestSource, WorkloadRequest } from './workload.ts';
import { findWorkload } from './workloads/index.ts';

const flooding = 'tenant-0';
/** Of the run, as the workload `tenants` has it. */
const flood = { from: 0.3, to: 0.7, factor: 10 };

/** Of requests that arrive during the flood. */
export interface FloodMeasures {
  /** p99 TTFT of all other tenants' requests, milliseconds: with the flood and without what is too much of it. */
  readonly floodedP99Ms: number;
  readonly calmP99Ms: number;
  /** Jain's index over the other tenants with the flood: of their mean TTFT, and of the share of their tokens served. */
  readonly jainOfTtft: number;
  readonly jainOfTokens: number;
  /** Tokens (uncached prompt + 4 x output) served to the flooding tenant by its end, of those it asked for. */
  readonly floodServedShare: number;
}

export interface FloodOptions {
  readonly policy: Policy;
  /** Without the flood, of the estimated capacity. */
  readonly load: number;
  readonly seed: number;
  /** Leading share of the workload's requests that is run. */
  readonly share: number;
}

/**
 * What one tenant's flood does to nine others: the workload `tenants`, in which it sends ten times its share for a
 * while, against the same arrivals without nine of ten of those requests.
 */
export function measureFlood({ policy, load, seed, share }: FloodOptions): FloodMeasures {
  const workload = findWorkload('tenants');
  const model = enginePresets[workload.preset];
  const { pods } = workload;
  const source = workload.create({ seed, load, requestsPerSecond: undefined, pods, model, share });
  const durationMs = source.arrivals.at(-1)!.arrivalMs;
  const isInFlood = ({ arrivalMs }: WorkloadRequest) =>
    arrivalMs >= flood.from * durationMs && arrivalMs < flood.to * durationMs;
  const run = (arrivals: RequestSource['arrivals']) =>
    simulate({
      ...{ source: { arrivals }, model, pods, seed, scrapeMs: 50, routers: 1, faults: [] },
      router: productRouter(policy),
      maxMs: Number.POSITIVE_INFINITY,
    }).requests.filter((request) => isInFlood(request.source));
  let sent = 0;
  const calm = source.arrivals.filter(
    (each) => each.request.tenant !== flooding || !isInFlood(each) || sent++ % flood.factor === 0,
  );
  const flooded = byTenant(run(source.arrivals));
  const others = [...flooded].filter(([tenant]) => tenant !== flooding).map(([, requests]) => requests);
  return {
    floodedP99Ms: p99Ms(others.flat()),
    calmP99Ms: p99Ms(run(calm).filter(({ source: { request } }) => request.tenant !== flooding)),
    jainOfTtft: jainIndex(others.map((requests) => mean(ttftsMs(requests)))),
    jainOfTokens: jainIndex(others.map((requests) => servedShare(requests, flood.to * durationMs))),
    floodServedShare: servedShare(flooded.get(flooding)!, flood.to * durationMs),
  };
}

function byTenant(requests: readonly RunningRequest[]): Map<string, RunningRequest[]> {
  const tenants = new Map<string, RunningRequest[]>();
  for (const request of requests) {
    const { tenant } = request.source.request;
    const own = tenants.get(tenant) ?? [];
    own.push(request);
    tenants.set(tenant, own);
  }
  return tenants;
}

function ttftsMs(requests: readonly RunningRequest[]): number[] {
  return requests
    .filter(({ firstTokenMs }) => firstTokenMs !== undefined)
    .map(({ firstTokenMs, source }) => firstTokenMs! - source.arrivalMs);
}

function p99Ms(requests: readonly RunningRequest[]): number {
  return quantile(
    ttftsMs(requests).sort((a, b) => a - b),
    0.99,
  );
}

function servedShare(requests: readonly RunningRequest[], byMs: number): number {
  const tokens = (given: readonly RunningRequest[]) =>
    given.reduce((sum, each) => sum + each.promptTokens - each.cachedTokens + 4 * each.outputTokens, 0);
  return (
    tokens(requests.filter(({ endedMs = Number.POSITIVE_INFINITY }) => endedMs <= byMs)) / tokens(requests)
  );
}
