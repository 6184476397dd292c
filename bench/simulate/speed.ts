import { enginePresets } from '../../src/simulation/engine-model.ts';
import { findPolicy } from '../../src/simulation/policies/index.ts';
import { productRouter } from '../../src/simulation/product-router.ts';
import type { RouterFactory } from '../../src/simulation/router.ts';
import { type SimulationOptions, simulate } from '../../src/simulation/simulation.ts';
import { findWorkload } from '../../src/simulation/workloads/index.ts';

/** Many short requests on 16 engines show what a decision costs; the others what long prompts add to it. */
const measured = [
  { name: 'scale-10', pods: 16 },
  { name: 'tool-agent' },
  { name: 'trace-conversation' },
  { name: 'b2b-saas-short' },
] as const satisfies readonly Measured[];
const routed = ['least-in-flight', 'llm-d-3-2-2', 'shadow-price', 'default'] as const;
const repetitions = 4;

interface Measured {
  readonly name: string;
  /** The workload's own if absent. */
  readonly pods?: number;
}

/** The engines alone: counts in flight in one array, none of the product. */
export const withoutProduct: RouterFactory = ({ models, dispatch }) => {
  const inFlight = new Int32Array(models.length);
  return {
    decisions: 0,
    arrive: (request) => {
      let least = 0;
      for (let i = 1; i < inFlight.length; i++) if (inFlight[i]! < inFlight[least]!) least = i;
      inFlight[least]!++;
      dispatch(request, least);
    },
    firstToken() {},
    ended: (request) => void inFlight[request.engine!]!--,
  };
};

/** Simulated requests per second of this process's time; the best of some, as the first are compiled. */
export function speedTable(): string {
  const rows = measured.map((each: Measured) => {
    const alone = fastest(each, withoutProduct);
    const cells = routed.map((policy) => fastest(each, productRouter(findPolicy(policy))).toFixed(0));
    const { name, pods = findWorkload(name).pods } = each;
    return `| ${name}, ${pods} pods | ${alone.toFixed(0)} | ${cells.join(' | ')} |`;
  });
  return [
    'Simulated requests per second of CPU time, one process',
    `| workload | engines alone | ${routed.join(' | ')} |`,
    `|---|${'---|'.repeat(routed.length + 1)}`,
    ...rows,
    '',
  ].join('\n');
}

function fastest({ name, pods: givenPods }: Measured, router: RouterFactory): number {
  const workload = findWorkload(name);
  const model = enginePresets[workload.preset];
  const pods = givenPods ?? workload.pods;
  const source = workload.create({ seed: 1, load: 0.9, pods, model, requestsPerSecond: undefined, share: 1 });
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < repetitions; i++) best = Math.min(best, cpuTimed({ source, model, pods, router }));
  return 1e6 / best;
}

/** Microseconds of this process's time for each request of one run. */
export function cpuTimed(options: Pick<SimulationOptions, 'source' | 'model' | 'pods' | 'router'>): number {
  const before = process.cpuUsage();
  const { requests } = simulate({
    ...options,
    seed: 1,
    scrapeMs: 50,
    routers: 1,
    faults: [],
    maxMs: Number.POSITIVE_INFINITY,
  });
  const { user, system } = process.cpuUsage(before);
  return (user + system) / requests.length;
}
