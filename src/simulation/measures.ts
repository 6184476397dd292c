import { type EngineModel, isolatedPrefillMs } from './engine-model.ts';
import type { RunningRequest } from './running-request.ts';
import type { SimulationResult } from './simulation.ts';
import { coefficientOfVariation, jainIndex, mean, quantile } from './statistics.ts';

/** What one run came to. Times are milliseconds, shares 0 to 1. */
export interface RunMeasures {
  readonly requests: number;
  readonly doneShare: number;
  readonly ttftMeanMs: number;
  readonly ttftP50Ms: number;
  readonly ttftP90Ms: number;
  readonly ttftP99Ms: number;
  readonly tpotMeanMs: number;
  readonly tpotP99Ms: number;
  readonly e2eMeanMs: number;
  /** Cached prompt tokens over prompt tokens, as engines found them and as the router believed. */
  readonly hitShare: number;
  readonly predictedHitShare: number;
  readonly sloShare: number;
  /** Spread over engines: of prefill tokens computed, and of the mean decode batch. */
  readonly prefillImbalance: number;
  readonly batchImbalance: number;
  readonly preemptions: number;
  /** Requests/s that arrived, and output tokens/s until the last completion, all requests counted. */
  readonly offeredRps: number;
  readonly outputTokensPerSecond: number;
  readonly busyShare: number;
  /** Prompts that another engine computed than the one that decoded. */
  readonly splitShare: number;
  /** Longest wait for a first token. */
  readonly ttftMaxMs: number;
  readonly tenants: readonly TenantMeasures[];
  /** Jain's index over tenants of served / asked engine work. */
  readonly fairness: number;
}

export interface TenantMeasures {
  readonly tenant: string;
  readonly requests: number;
  readonly ttftP99Ms: number;
  readonly sloShare: number;
  /** Tokens served, uncached prompt + 4 x output, over the same of all that was asked. */
  readonly servedShare: number;
}

/** Requests that name no objective of their own: TTFT within 1 s + 3 x their isolated cold prefill, TPOT 100 ms. */
const defaultTtftMs = 1000;
const defaultIsolatedPrefills = 3;
const defaultTpotMs = 100;

/** `warmShare` of the requests, the first to arrive, are left out of all but throughput. */
export function measure(result: SimulationResult, model: EngineModel, warmShare: number): RunMeasures {
  const { requests, engines, durationMs } = result;
  const counted = requests.slice(Math.floor(requests.length * warmShare));
  const done = counted.filter((request) => request.ending === 'completed');
  const ttfts = sorted(done.map(ttftMs));
  const tpots = sorted(done.filter((request) => request.outputTokens > 1).map(tpotMs));
  const promptTokens = sum(done, (request) => request.promptTokens);
  const busyMs = sum(engines, (engine) => engine.busyMs);
  const tenants = measureTenants(counted, model);
  return {
    requests: counted.length,
    doneShare: done.length / counted.length,
    ttftMeanMs: mean(ttfts),
    ttftP50Ms: quantile(ttfts, 0.5),
    ttftP90Ms: quantile(ttfts, 0.9),
    ttftP99Ms: quantile(ttfts, 0.99),
    tpotMeanMs: mean(tpots),
    tpotP99Ms: quantile(tpots, 0.99),
    e2eMeanMs: sum(done, (request) => request.endedMs! - request.source.arrivalMs) / done.length,
    hitShare: sum(done, (request) => request.cachedTokens) / promptTokens,
    predictedHitShare: sum(done, (request) => request.predictedCachedTokens) / promptTokens,
    sloShare: done.filter((request) => meetsObjective(request, model)).length / counted.length,
    prefillImbalance: coefficientOfVariation(engines.map((engine) => engine.prefillTokens)),
    batchImbalance: coefficientOfVariation(
      engines.map((engine) => (engine.busyMs === 0 ? 0 : engine.decodingMs / engine.busyMs)),
    ),
    preemptions: sum(engines, (engine) => engine.preemptions),
    offeredRps: ((requests.length - 1) * 1000) / Math.max(1, lastArrivalMs(requests)),
    outputTokensPerSecond: (sum(requests, producedTokens) * 1000) / durationMs,
    busyShare: busyMs / (engines.length * durationMs),
    splitShare: counted.filter(({ isSplit }) => isSplit).length / counted.length,
    ttftMaxMs: ttfts.at(-1) ?? Number.NaN,
    tenants,
    fairness: jainIndex(tenants.map((tenant) => tenant.servedShare)),
  };
}

export function ttftMs(request: RunningRequest): number {
  return request.firstTokenMs! - request.source.arrivalMs;
}

export function tpotMs(request: RunningRequest): number {
  return (request.endedMs! - request.firstTokenMs!) / (request.outputTokens - 1);
}

function meetsObjective(request: RunningRequest, model: EngineModel): boolean {
  const { slo } = request.source.request;
  const ttftLimitMs =
    slo.ttftMs ?? defaultTtftMs + defaultIsolatedPrefills * isolatedPrefillMs(model, request.promptTokens);
  if (ttftMs(request) > ttftLimitMs) return false;
  return request.outputTokens <= 1 || tpotMs(request) <= (slo.tpotMs ?? defaultTpotMs);
}

function measureTenants(requests: readonly RunningRequest[], model: EngineModel): readonly TenantMeasures[] {
  const byTenant = new Map<string, RunningRequest[]>();
  for (const request of requests) {
    const { tenant } = request.source.request;
    const known = byTenant.get(tenant);
    if (known === undefined) byTenant.set(tenant, [request]);
    else known.push(request);
  }
  return [...byTenant].map(([tenant, own]) => {
    const done = own.filter((request) => request.ending === 'completed');
    return {
      tenant,
      requests: own.length,
      ttftP99Ms: quantile(sorted(done.map(ttftMs)), 0.99),
      sloShare: done.filter((request) => meetsObjective(request, model)).length / own.length,
      servedShare: sum(done, serviceTokens) / sum(own, serviceTokens),
    };
  });
}

function serviceTokens(request: RunningRequest): number {
  return request.promptTokens - request.cachedTokens + 4 * request.outputTokens;
}

function producedTokens(request: RunningRequest): number {
  return request.ending === 'completed' ? request.outputTokens : 0;
}

function lastArrivalMs(requests: readonly RunningRequest[]): number {
  return requests.at(-1)?.source.arrivalMs ?? 0;
}

function sorted(values: readonly number[]): Float64Array {
  return Float64Array.from(values).sort();
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += value(item);
  return total;
}
