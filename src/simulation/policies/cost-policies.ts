/** Routers that take the least of one cost, as published; each a cost scorer with a source. */
import { uncachedTokens } from '../../scheduling/delay-estimate.ts';
import type { Endpoint } from '../../scheduling/endpoint.ts';
import { defineScorer, type Scorer } from '../../scheduling/plugins.ts';
import type { SchedulingContext } from '../../scheduling/scheduling-context.ts';
import type { Policy, PolicyInstance } from '../policy.ts';
import { scoresOfCosts } from './cost-scores.ts';
import { scoredPolicy } from './scored-policy.ts';

type EndpointCost = (context: SchedulingContext, endpoint: Endpoint) => number;

function costScorer(description: string, cost: EndpointCost) {
  return defineScorer({
    description,
    create: () => (context, endpoints) => scoresOfCosts(endpoints.map((endpoint) => cost(context, endpoint))),
  });
}

export const leastInFlight = costScorer(
  'Requests of ours in flight.',
  (_context, { inFlight }) => inFlight.requests + 1,
);

/** Mooncake's conductor (FAST 2025, section 6): the prefill work ahead, this request included. */
export const leastPrefillWork = costScorer(
  'Uncached tokens ahead of the first token.',
  (context, endpoint) => endpoint.inFlight.uncachedTokens + uncachedTokens(context, endpoint),
);

/** LMETRIC (2026): (uncached tokens pending, this request included) x (batch + 1). */
export const lmetric = costScorer(
  'Uncached tokens pending times requests in flight.',
  (context, endpoint) =>
    (endpoint.inFlight.uncachedTokens + uncachedTokens(context, endpoint)) * (endpoint.inFlight.requests + 1),
);

/** Dynamo's KV router at temperature 0: weight x blocks to prefill + blocks decoding. */
export const dynamoCost = defineScorer({
  description: "Dynamo's cost: blocks to prefill, weighted, plus blocks in use by decodes.",
  defaults: { prefillWeight: 1 },
  create:
    ({ prefillWeight }) =>
    (context, endpoints) =>
      scoresOfCosts(
        endpoints.map(
          (endpoint) =>
            prefillWeight * (endpoint.inFlight.uncachedTokens + uncachedTokens(context, endpoint)) +
            endpoint.inFlight.promptTokens,
        ),
      ),
});

export const costPolicies: readonly Policy[] = [
  single('least-in-flight', 'fewest requests of ours in flight', leastInFlight.create({}), 'approximate'),
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
