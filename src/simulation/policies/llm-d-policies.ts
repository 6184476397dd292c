import { type EngineModel, mixedStepMs } from '../engine-model.ts';
import type { Policy, PolicyInstance } from '../policy.ts';
import {
  kvCacheUtilizationScorer,
  NoHitLru,
  prefixCacheAffinityFilter,
  prefixCacheScorer,
  queueScorer,
  tokenLoadScorer,
} from './llm-d-plugins.ts';
import { scoredPolicy } from './scored-policy.ts';

function blend(
  name: string,
  weights: { readonly prefix: number; readonly queue: number; readonly kv: number },
  residency: PolicyInstance['residency'],
): PolicyInstance {
  return scoredPolicy({
    name,
    residency,
    scorers: {
      'prefix-cache-scorer': [weights.prefix, prefixCacheScorer.create({})],
      'queue-scorer': [weights.queue, queueScorer.create({})],
      'kv-cache-utilization-scorer': [weights.kv, kvCacheUtilizationScorer.create({})],
    },
  });
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
    create: () => blend('llm-d-3-2-2', { prefix: 3, queue: 2, kv: 2 }, 'approximate'),
  },
  {
    name: 'llm-d-3-2-2-2',
    description: "the blend of llm-d's nightly runs: 3/2/2 and no-hit-lru 2",
    create: () => {
      const noHitLru = new NoHitLru();
      const plain = blend('llm-d-3-2-2-2', { prefix: 3, queue: 2, kv: 2 }, 'approximate');
      const scorers = [
        ...plain.profile.scorers,
        { name: 'no-hit-lru-scorer', weight: 2, scorer: noHitLru.scorer },
      ];
      return {
        ...plain,
        profile: { ...plain.profile, scorers },
        picked: (_request, endpoint) => noHitLru.picked(endpoint),
      };
    },
  },
  {
    name: 'llm-d-1-1-1',
    description: 'approximate prefix 1, queue 1, KV usage 1',
    create: () => blend('llm-d-1-1-1', { prefix: 1, queue: 1, kv: 1 }, 'approximate'),
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
        filters: {
          'prefix-cache-affinity-filter': prefixCacheAffinityFilter.create({
            ...prefixCacheAffinityFilter.defaults,
            peakPrefillTokensPerSecond: peakPrefillTokensPerSecond(model),
          }),
        },
        scorers: { 'token-load-scorer': [1, tokenLoadScorer.create(tokenLoadScorer.defaults)] },
      }),
  },
  {
    name: 'least-queue',
    description: 'the shortest queue as scraped',
    create: () =>
      scoredPolicy({ name: 'least-queue', scorers: { 'queue-scorer': [1, queueScorer.create({})] } }),
  },
];
