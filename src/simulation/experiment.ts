import type { EngineModel } from './engine-model.ts';
import type { Fault } from './faults.ts';
import { measure, type RunMeasures, ttftMs } from './measures.ts';
import type { Policy } from './policy.ts';
import { productRouter } from './product-router.ts';
import { type SimulationResult, simulate } from './simulation.ts';
import type { RequestSource, Workload } from './workload.ts';

export interface Scenario {
  readonly workload: Workload;
  readonly load: number;
  readonly requestsPerSecond: number | undefined;
  readonly pods: number;
  readonly model: EngineModel;
  readonly scrapeMs: number;
  readonly routers: number;
  /** Leading share of the workload's requests that is run. */
  readonly share: number;
}

export interface PolicyRuns {
  readonly policy: string;
  /** One per seed, in the order of the seeds. */
  readonly runs: readonly RunMeasures[];
  /** Of the first seed, for plots. */
  readonly sample: RunSample;
}

/** What a plot needs of one run. */
export interface RunSample {
  /** TTFTs in milliseconds, ascending. */
  readonly ttfts: Float64Array;
  /** Requests in the system at evenly spaced moments. */
  readonly inSystem: Float64Array;
  readonly durationMs: number;
}

export interface ExperimentResult {
  readonly scenario: Scenario;
  readonly seeds: readonly number[];
  readonly policies: readonly PolicyRuns[];
  /** Requests simulated, and the time of this process that it took. */
  readonly simulatedRequests: number;
  readonly wallMs: number;
}

export interface ExperimentOptions {
  readonly scenario: Scenario;
  readonly policies: readonly Policy[];
  readonly seeds: readonly number[];
  /** Milliseconds, for the wall time. */
  readonly clock: () => number;
  readonly progress: (done: number, total: number, policy: string) => void;
}

/**
 * Every policy on every seed. Arrivals and lengths of a seed are the same for all policies (common random
 * numbers), and who runs first rotates, so that nothing drifts in favour of one.
 */
export function runExperiment(options: ExperimentOptions): ExperimentResult {
  const { scenario, policies, seeds, clock, progress } = options;
  const runs = policies.map((): RunMeasures[] => []);
  const samples: (RunSample | undefined)[] = policies.map(() => undefined);
  const startedMs = clock();
  let simulatedRequests = 0;
  let done = 0;
  for (const [round, seed] of seeds.entries()) {
    const makeSource = sourceOf(scenario, seed);
    for (let turn = 0; turn < policies.length; turn++) {
      const index = (turn + round) % policies.length;
      const policy = policies[index]!;
      progress(done++, seeds.length * policies.length, policy.name);
      const result = runOnce(scenario, policy, makeSource(), seed);
      simulatedRequests += result.requests.length;
      runs[index]!.push(measure(result, scenario.model, scenario.workload.warmShare));
      if (round === 0) samples[index] = sampleOf(result, scenario.workload.warmShare);
    }
  }
  progress(done, done, '');
  return {
    scenario,
    seeds,
    policies: policies.map(({ name }, i) => ({ policy: name, runs: runs[i]!, sample: samples[i]! })),
    simulatedRequests,
    wallMs: clock() - startedMs,
  };
}

/** Open-loop sources hold no state and serve all policies; closed-loop ones are made anew for each run. */
function sourceOf(scenario: Scenario, seed: number): () => RequestSource {
  const { workload, load, requestsPerSecond, pods, model, share } = scenario;
  const make = () => workload.create({ seed, load, requestsPerSecond, pods, model, share });
  const first = make();
  return first.next === undefined ? () => first : make;
}

function runOnce(scenario: Scenario, policy: Policy, source: RequestSource, seed: number): SimulationResult {
  const { model, pods, scrapeMs, routers, workload } = scenario;
  const durationMs = source.arrivals.at(-1)?.arrivalMs ?? 0;
  const faults: readonly Fault[] = workload.faults?.(pods, durationMs) ?? [];
  return simulate({
    source,
    model,
    pods,
    seed,
    scrapeMs,
    routers,
    router: productRouter(policy),
    faults,
    maxMs: Number.POSITIVE_INFINITY,
  });
}

const sampledMoments = 400;

function sampleOf({ requests, durationMs }: SimulationResult, warmShare: number): RunSample {
  const counted = requests.slice(Math.floor(requests.length * warmShare));
  const answered = counted.filter((request) => request.firstTokenMs !== undefined);
  const inSystem = new Float64Array(sampledMoments + 1);
  const bucket = (timeMs: number) =>
    Math.min(sampledMoments, Math.floor((timeMs / durationMs) * sampledMoments));
  const change = new Float64Array(sampledMoments + 2);
  for (const request of requests) {
    change[bucket(request.source.arrivalMs)]! += 1;
    change[bucket(request.endedMs ?? durationMs) + 1]! -= 1;
  }
  let present = 0;
  for (let i = 0; i <= sampledMoments; i++) inSystem[i] = present += change[i]!;
  return { ttfts: Float64Array.from(answered.map(ttftMs)).sort(), inSystem, durationMs };
}
