import type { Policy } from '../policy.ts';
import { costPolicies } from './cost-policies.ts';
import { disaggregationPolicies } from './disaggregation-policies.ts';
import { llmDPolicies } from './llm-d-policies.ts';
import { plainPolicies } from './plain-pickers.ts';
import { shadowPricePolicies } from './shadow-price-policies.ts';
import { strategyPolicies } from './strategy-policies.ts';

/** All policies that `--policy` knows. */
export const policies: readonly Policy[] = [
  ...plainPolicies,
  ...llmDPolicies,
  ...costPolicies,
  ...shadowPricePolicies,
  ...strategyPolicies,
  ...disaggregationPolicies,
];

/** Throws an Error that lists the known names. */
export function findPolicy(name: string): Policy {
  const policy = policies.find((candidate) => candidate.name === name);
  if (policy !== undefined) return policy;
  throw new Error(`policy "${name}" is unknown; known: ${policies.map((each) => each.name).join(', ')}`);
}
