import { enginePresets } from '../../src/simulation/engine-model.ts';
import { findPolicy } from '../../src/simulation/policies/index.ts';
import { productRouter } from '../../src/simulation/product-router.ts';
import type { RouterFactory } from '../../src/simulation/router.ts';
import { findWorkload } from '../../src/simulation/workloads/index.ts';
import { cpuTimed, withoutProduct } from './speed.ts';

/** Goal 13: 1,000 engines at 100,000 short requests a second. */
const fleets = [
  { pods: 16, share: 1 },
  { pods: 100, share: 1 },
  { pods: 1000, share: 1 },
] as const;
const routed = ['default', 'shadow-price', 'least-in-flight'] as const;

/**
 * What a decision costs as the fleet grows: 100 short requests a second for each engine, at load 1. Two runs each,
 * the faster one counts, since the first is compiled.
 */
export function scaleTable(): string {
  const rows = fleets.flatMap(({ pods, share }) => {
    const alone = perRequestUs(pods, share, withoutProduct);
    return routed.map((policy) => {
      const us = perRequestUs(pods, share, productRouter(findPolicy(policy)));
      const cells = [us.toFixed(1), (us - alone).toFixed(1), Math.round(1e6 / us)];
      return `| ${pods} | ${(100 * pods).toLocaleString('en')} | ${policy} | ${cells.join(' | ')} |`;
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
  const source = workload.create({ seed: 1, load: 1, pods, model, requestsPerSecond: undefined, share });
  const run = () => cpuTimed({ source, model, pods, router });
  return Math.min(run(), run());
}
