/**
 * What one tenant's flood does to the others: the workload `tenants`, in which one of ten sends ten times its
 * share in the middle, against the same arrivals without what it sends too much.
 *
 *   npm run bench:fairness -- [LOAD [POLICY ...]]      load without the flood, of the estimated capacity (0.8)
 *
 * All figures are of requests that arrive during the flood. `p99 ratio` is the others' p99 TTFT with the flood over
 * that without it; `Jain` is over the others, of their mean TTFT and of their tokens served by its end (uncached prompt
 * + 4 x output) over those asked for; `flood served` is that share of the flooding tenant's.
 */
import { findPolicy, measureFlood, tInterval } from '../../src/simulation/index.ts';
import { readFlags } from '../read-flags.ts';

const seeds = [11, 12, 13];
const { positionals } = readFlags(
  {
    command: 'npm run bench:fairness',
    what: 'What one tenant’s flood does to the others, simulated; LOAD without the flood is 0.8 unless given.',
    positionals: '[LOAD [POLICY ...]]',
  },
  {},
);
const [loadText = '0.8', ...named] = positionals;
const load = Number(loadText);
const policies = named.length > 0 ? named : ['default', 'shadow-price', 'llm-d-3-2-2', 'round-robin'];

const columns = [
  'policy',
  'others p99 TTFT, calm ms',
  'with the flood ms',
  'p99 ratio',
  'Jain TTFT',
  'Jain tokens',
  'flood served %',
];
console.log(`tenants, load ${load}, seeds ${seeds.join(' ')}\n`);
console.log(`| ${columns.join(' | ')} |`);
console.log(`| --- |${' ---: |'.repeat(columns.length - 1)}`);
for (const name of policies) {
  const policy = findPolicy(name);
  const runs = seeds.map((seed) => measureFlood({ policy, load, seed, share: 1 }));
  const mean = (figure: (run: (typeof runs)[number]) => number) => tInterval(runs.map(figure)).mean;
  const cells = [
    name,
    mean(({ calmP99Ms }) => calmP99Ms).toFixed(0),
    mean(({ floodedP99Ms }) => floodedP99Ms).toFixed(0),
    mean(({ floodedP99Ms, calmP99Ms }) => floodedP99Ms / calmP99Ms).toFixed(2),
    mean(({ jainOfTtft }) => jainOfTtft).toFixed(3),
    mean(({ jainOfTokens }) => jainOfTokens).toFixed(3),
    (100 * mean(({ floodServedShare }) => floodServedShare)).toFixed(1),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}
