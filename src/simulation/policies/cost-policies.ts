/** Routers that take the least of one cost, as published. */
import dynamoCost from '../../../scorers/dynamo-cost.ts';
import lmetric from '../../../scorers/lmetric.ts';
import requestsInFlight from '../../../scorers/requests-in-flight.ts';
import { scoresOfCosts } from '../../scheduling/cost-scores.ts';
import { uncachedTokens } from '../../scheduling/delay-estimate.ts';
import { defineScorer, type Scorer } from '../../scheduling/plugins.ts';
import type { Policy, PolicyInstance } from '../policy.ts';
import { scoredPolicy } from './scored-policy.ts';

/** Mooncake's conductor (FAST 2025, section 6): the prefill work ahead, this request included. */
const leastPrefillWork = defineScorer({
  description: 'Uncached tokens ahead of the first token.',
  create: () => (context, endpoints) =>
    scoresOfCosts(
      endpoints.map((endpoint) => endpoint.inFlight.uncachedTokens + uncachedTokens(context, endpoint)),
    ),
});

export const costPolicies: readonly Policy[] = [
  single('least-in-flight', 'fewest requests of ours in flight', requestsInFlight.create({}), 'approximate'),
  single('min-ttft', 'least predicted time to first token', leastPrefillWork.create({}), 'events'),
  single('lmetric', 'LMETRIC: pending uncached tokens x requests', lmetric.create({}), 'events'),
  single('dynamo', "Dynamo's cost with weight 1", dynamoCost.create(dynamoCost.defaults), 'events'),
];

function single(
  name: string,
  description: string,
  scorer: Scorer,
  residency: PolicyInstance['residency'],
): Policy {
  return {
    name,
    description,
    create: () => scoredPolicy({ name, residency, scorers: { [name]: [1, scorer] } }),
  };
}
