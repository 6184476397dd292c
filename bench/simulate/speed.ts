import { enginePresets } from '../../src/simulation/engine-model.ts';
import { findPolicy } from '../../src/simulation/policies/index.ts';
import { productRouter } from '../../src/simulation/product-router.ts';
import type { RouterFactory } from '../../src/simulation/router.ts';
import { simulate } from '../../src/simulation/simulation.ts';
import { findWorkload } from '../../src/simulation/workloads/index.ts';

const measured = ['trace-conversation', 'tool-agent', 'b2b-saas-short', 'scale-10'] as const;
const routed = ['least-in-flight', 'llm-d-3-2-2', 'shadow-price', 'default'] as const;
const repetitions = 4;

/** The engines alone: counts in flight in one array, none of the product. */
const withoutProduct: RouterFactory = ({ models, dispatch }) => {
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
  const rows = measured.map((name) => {
    const alone = fastest(name, withoutProduct);
    const cells = routed.map((policy) => fastest(name, productRouter(findPolicy(policy))).toFixed(0));
    return `| ${name} | ${alone.toFixed(0)} | ${cells.join(' | ')} |`;
  });
  return [
    'Simulated requests per second of CPU time, one process',
    `| workload | engines alone | ${routed.join(' | ')} |`,
    `|---|${'---|'.repeat(routed.length + 1)}`,
    ...rows,
    '',
  ].join('\n');
}

function fastest(workloadName: string, router: RouterFactory): number {
  const workload = findWorkload(workloadName);
  const model = enginePresets[workload.preset];
  const { pods } = workload;
  const source = workload.create({ seed: 1, load: 0.9, pods, model, requestsPerSecond: undefined, share: 1 });
  let best = 0;
  for (let i = 0; i < repetitions; i++) {
    const before = process.cpuUsage();
    const { requests } = simulate({
      source,
      model,
      pods,
      seed: 1,
      scrapeMs: 50,
      routers: 1,
      router,
      faults: [],
      maxMs: Number.POSITIVE_INFINITY,
    });
    const { user, system } = process.cpuUsage(before);
    best = Math.max(best, (requests.length * 1e6) / (user + system));
  }
  return best;
}
