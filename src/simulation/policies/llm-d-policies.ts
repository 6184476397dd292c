/** llm-d's defaults, made of the product's plugins that have llm-d's formulas. */
import noHitLru from '../../../scorers/no-hit-lru.ts';
import prefixMatch from '../../../scorers/prefix-match.ts';
import queueMinMax from '../../../scorers/queue-min-max.ts';
import tokenLoad from '../../../scorers/token-load.ts';
import prefixAffinity from '../../scheduling/filters/prefix-affinity.ts';
import { defineScorer, type Scorer } from '../../scheduling/plugins.ts';
import { type EngineModel, mixedStepMs } from '../engine-model.ts';
import type { Policy, PolicyInstance } from '../policy.ts';
import { scoredPolicy } from './scored-policy.ts';

/** `kv-cache-utilization-scorer`: 1 - usage as scraped. The product's own scorer adds what was sent since. */
const kvCacheUtilization = defineScorer({
  description: 'Scraped free share of the KV blocks.',
  create: () => (_context, endpoints) => endpoints.map(({ metrics }) => 1 - metrics.kvCacheUsage),
});

interface Blend {
  readonly prefix: number;
  readonly queue: number;
  readonly kv: number;
  readonly noHitLru?: number;
}

function blend(
  name: string,
  weights: Blend,
  residency: PolicyInstance['residency'] = 'sent',
): PolicyInstance {
  const scorers: Record<string, readonly [number, Scorer]> = {
    'prefix-cache-scorer': [weights.prefix, prefixMatch.create(prefixMatch.defaults)],
    'queue-scorer': [weights.queue, queueMinMax.create({})],
    'kv-cache-utilization-scorer': [weights.kv, kvCacheUtilization.create({})],
  };
  if (weights.noHitLru !== undefined)
    scorers['no-hit-lru-scorer'] = [weights.noHitLru, noHitLru.create(noHitLru.defaults)];
  return scoredPolicy({ name, residency, scorers });
}

/** The largest chunk's tokens over its time, as llm-d calibrates it: R_peak = B / T(B). */
function peakPrefillTokensPerSecond(model: EngineModel): number {
  const tokens = model.stepTokens;
  return (tokens * 1000) / mixedStepMs(model, tokens, (tokens * tokens) / 2, 1, 0, 0);
}

export const llmDPolicies: readonly Policy[] = [
  {
    name: 'llm-d-3-2-2',
    description: "llm-d's default in code: approximate prefix 3, queue 2, KV usage 2",
    create: () => blend('llm-d-3-2-2', { prefix: 3, queue: 2, kv: 2 }),
  },
  {
    name: 'llm-d-3-2-2-ends',
    description: "the same with Pointsman's index, which knows when requests have ended",
    create: () => blend('llm-d-3-2-2-ends', { prefix: 3, queue: 2, kv: 2 }, 'approximate'),
  },
  {
    name: 'llm-d-3-2-2-2',
    description: "the blend of llm-d's nightly runs: 3/2/2 and no-hit-lru 2",
    create: () => blend('llm-d-3-2-2-2', { prefix: 3, queue: 2, kv: 2, noHitLru: 2 }),
  },
  {
    name: 'llm-d-1-1-1',
    description: 'approximate prefix 1, queue 1, KV usage 1',
    create: () => blend('llm-d-1-1-1', { prefix: 1, queue: 1, kv: 1 }),
  },
  {
    name: 'llm-d-precise-2-1-1',
    description: 'prefix by KV events 2, queue 1, KV usage 1',
    create: () => blend('llm-d-precise-2-1-1', { prefix: 2, queue: 1, kv: 1 }, 'events'),
  },
  {
    name: 'llm-d-sticky',
    description: "llm-d's default in its guides since August 2026: sticky until saturated, then token load",
    create: ({ model }) =>
      scoredPolicy({
        name: 'llm-d-sticky',
        residency: 'sent',
        filters: {
          'prefix-cache-affinity-filter': prefixAffinity.create({
            ...prefixAffinity.defaults,
            peakPrefillTokensPerSecond: peakPrefillTokensPerSecond(model),
          }),
        },
        scorers: { 'token-load-scorer': [1, tokenLoad.create(tokenLoad.defaults)] },
      }),
  },
  {
    name: 'least-queue',
    description: 'the shortest queue as scraped',
    create: () =>
      scoredPolicy({ name: 'least-queue', scorers: { 'queue-scorer': [1, queueMinMax.create({})] } }),
  },
];
