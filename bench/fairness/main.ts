/**
 * What one tenant's flood does to the others: the workload `tenants`, in which one of ten sends ten times its
 * share in the middle, against the same arrivals without what it sends too much.
 *
 *   npm run bench:fairness -- [LOAD [POLICY ...]]      load without the flood, of the estimated capacity (1)
 *
 * `p99 ratio` is the others' p99 TTFT with the flood over that without it, among requests that arrive during the
 * flood; `Jain` is over the others: tokens served by its end, of those asked for in it (uncached prompt + 4 x output).
 */
import { enginePresets, findPolicy, findWorkload, simulate } from '../../src/simulation/index.ts';
import { productRouter } from '../../src/simulation/product-router.ts';
import { jainIndex, mean, quantile } from '../../src/simulation/statistics.ts';
import type { RequestSource, WorkloadRequest } from '../../src/simulation/workload.ts';

const flooding = 'tenant-0';
/** Of the run, as the workload has it. */
const flood = { from: 0.3, to: 0.7, factor: 10 };
const seeds = [11, 12, 13];
const [loadText = '1', ...named] = process.argv.slice(2);
const load = Number(loadText);
const policies = named.length > 0 ? named : ['default', 'shadow-price', 'llm-d-3-2-2', 'round-robin'];

interface Figures {
  readonly p99Ms: number;
  readonly jain: number;
}

/** Every request but nine of ten that the flooding tenant sends in the flood. */
function withoutFlood(
  arrivals: readonly WorkloadRequest[],
  isInFlood: (request: WorkloadRequest) => boolean,
) {
  let sent = 0;
  return arrivals.filter(
    (each) => each.request.tenant !== flooding || !isInFlood(each) || sent++ % flood.factor === 0,
  );
}

function run(
  policy: string,
  source: RequestSource,
  seed: number,
  isInFlood: (r: WorkloadRequest) => boolean,
): Figures {
  const { pods, preset } = findWorkload('tenants');
  const model = Object.values(enginePresets).find(({ name }) => name === preset)!;
  const { requests } = simulate({
    source,
    model,
    pods,
    seed,
    scrapeMs: 50,
    routers: 1,
    router: productRouter(findPolicy(policy)),
    faults: [],
    maxMs: Number.POSITIVE_INFINITY,
  });
  const others = requests.filter((each) => each.source.request.tenant !== flooding && isInFlood(each.source));
  const endMs = Math.max(...others.map(({ source: { arrivalMs } }) => arrivalMs));
  const tenants = new Set(others.map(({ source: { request } }) => request.tenant));
  const shares = [...tenants].map((tenant) => {
    const own = others.filter((each) => each.source.request.tenant === tenant);
    const tokens = (given: typeof own) =>
      given.reduce((sum, each) => sum + each.promptTokens - each.cachedTokens + 4 * each.outputTokens, 0);
    return tokens(own.filter(({ endedMs = Number.POSITIVE_INFINITY }) => endedMs <= endMs)) / tokens(own);
  });
  const answered = others.filter(({ firstTokenMs }) => firstTokenMs !== undefined);
  const ttfts = answered.map((each) => each.firstTokenMs! - each.source.arrivalMs).sort((a, b) => a - b);
  return { p99Ms: quantile(ttfts, 0.99), jain: jainIndex(shares) };
}

console.log(`tenants, load ${load}, seeds ${seeds.join(' ')}\n`);
console.log('| policy | others p99 TTFT, calm ms | with the flood ms | p99 ratio | Jain |');
console.log('| --- | ---: | ---: | ---: | ---: |');
const workload = findWorkload('tenants');
const model = Object.values(enginePresets).find(({ name }) => name === workload.preset)!;
for (const policy of policies) {
  const pairs = seeds.map((seed) => {
    const make = () =>
      workload.create({ seed, load, requestsPerSecond: undefined, pods: workload.pods, model, share: 1 });
    const { arrivals } = make();
    const durationMs = arrivals.at(-1)!.arrivalMs;
    const isInFlood = ({ arrivalMs }: WorkloadRequest) =>
      arrivalMs >= flood.from * durationMs && arrivalMs < flood.to * durationMs;
    return {
      calm: run(policy, { arrivals: withoutFlood(arrivals, isInFlood) }, seed, isInFlood),
      flooded: run(policy, make(), seed, isInFlood),
    };
  });
  const calmMs = mean(pairs.map(({ calm }) => calm.p99Ms));
  const floodedMs = mean(pairs.map(({ flooded }) => flooded.p99Ms));
  const ratio = mean(pairs.map(({ calm, flooded }) => flooded.p99Ms / calm.p99Ms));
  const jain = mean(pairs.map(({ flooded }) => flooded.jain));
  const cells = [policy, calmMs.toFixed(0), floodedMs.toFixed(0), ratio.toFixed(2), jain.toFixed(3)];
  console.log(`| ${cells.join(' | ')} |`);
}
