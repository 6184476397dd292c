import { enginePresets } from '../../src/simulation/engine-model.ts';
import { findPolicy } from '../../src/simulation/policies/index.ts';
import { productRouter } from '../../src/simulation/product-router.ts';
import type { RouterFactory } from '../../src/simulation/router.ts';
import { findWorkload } from '../../src/simulation/workloads/index.ts';
import { cpuTimed, withoutProduct } from './speed.ts';

/** 100,000 requests are enough to know all prompts of a small fleet; a large one knows 50 for each of its engines. */
const fleets = [
  { pods: 16, share: 1 },
  { pods: 100, share: 1 },
  { pods: 1000, share: 3 },
] as const;
const routed = ['default', 'shadow-price'] as const;
const load = 0.9;

/**
 * What a decision costs as the fleet grows: 90 short requests a second for each engine (goal 13 has 1,000 engines).
 * Two runs each, the faster one counts, since the first is compiled. `part` of the requests is played.
 */
export function scaleTable(part: number): string {
  const rows = fleets.flatMap(({ pods, share: whole }) => {
    const share = part * whole;
    const alone = perRequestUs(pods, share, withoutProduct);
    return routed.map((policy) => {
      const us = perRequestUs(pods, share, productRouter(findPolicy(policy)));
      const cells = [us.toFixed(1), (us - alone).toFixed(1), Math.round(1e6 / us)];
      return `| ${pods} | ${(100 * load * pods).toLocaleString('en')} | ${policy} | ${cells.join(' | ')} |`;
    });
  });
  return [
    'Decisions of one core, CPU time; goal 13 asks for 50,000 a second at 1,000 engines',
    '| engines | simulated requests/s | policy | us per request | of these not the engines | decisions/s |',
    '| ---: | ---: | --- | ---: | ---: | ---: |',
    ...rows,
    '',
  ].join('\n');
}

function perRequestUs(pods: number, share: number, router: RouterFactory): number {
  const workload = findWorkload('scale-1000');
  const model = enginePresets[workload.preset];
  const source = workload.create({ seed: 1, load, pods, model, requestsPerSecond: undefined, share });
  const run = () => cpuTimed({ source, model, pods, router });
  return Math.min(run(), run());
}
