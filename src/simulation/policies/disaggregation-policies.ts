import shadowPrice from '../../../scorers/shadow-price.ts';
import { defaultDisaggregation } from '../../scheduling/disaggregation.ts';
import type { DisaggregationPolicy, Policy } from '../policy.ts';
import { scoredPolicy } from './scored-policy.ts';

function disaggregated(
  name: string,
  description: string,
  prefillShare: number,
  rule: DisaggregationPolicy['rule'],
): Policy {
  return {
    name,
    description,
    create: () => ({
      ...scoredPolicy({
        name,
        scorers: { 'shadow-price': [1, shadowPrice.create(shadowPrice.defaults)] },
      }),
      disaggregation: { prefillShare, rule, parameters: defaultDisaggregation },
    }),
  };
}

/** By the share of engines that only prefill; `split` decides per request, the others by llm-d's thresholds. */
export const disaggregationPolicies: readonly Policy[] = [25, 50].flatMap((percent) => {
  const share = percent / 100;
  const pool = `${percent} % of the engines only prefill`;
  return [
    disaggregated(`split-${percent}`, `${pool}; each request split if that is sooner`, share, 'drift'),
    disaggregated(`split-${percent}-from-16`, `${pool}; split from 16 uncached tokens on`, share, {
      uncachedTokens: 16,
    }),
    disaggregated(`split-${percent}-never`, `${pool}; never split`, share, {
      uncachedTokens: Number.POSITIVE_INFINITY,
    }),
  ];
});
