import shadowPriceDefinition from '../../../scorers/shadow-price.ts';
import type { Endpoint } from '../../scheduling/endpoint.ts';
import { defineScorer, type Scorer } from '../../scheduling/plugins.ts';
import type { SchedulingContext } from '../../scheduling/scheduling-context.ts';
import { defaultLateBinding } from '../late-binding.ts';
import type { Policy, PolicyEnvironment, PolicyInstance } from '../policy.ts';
import { scoresOfCosts, uncachedTokens } from './costs.ts';
import { scoredPolicy } from './scored-policy.ts';
import { defaultWeights, emptyTerms, ShadowPrice, type ShadowPriceWeights } from './shadow-price.ts';

/** Scores by the shadow price's cost; the cheapest counts as chosen. */
export function shadowPriceScorer(shadowPrice: ShadowPrice): Scorer {
  return defineScorer({
    description: 'Predicted delay in milliseconds, own work at its shadow price.',
    create: () => {
      const terms = emptyTerms();
      return (context: SchedulingContext, endpoints: readonly Endpoint[]) => {
        shadowPrice.requested(context, endpoints);
        const question = {
          promptTokens: context.request.promptTokens,
          uncachedTokens: 0,
          price: shadowPrice.price(endpoints),
          promisedPrefillTokens: 0,
          promisedMemoryTokens: 0,
        };
        const costs = new Array<number>(endpoints.length);
        let leastMs = Number.POSITIVE_INFINITY;
        let chosenOwnMs = 0;
        for (let i = 0; i < endpoints.length; i++) {
          question.uncachedTokens = uncachedTokens(context, endpoints[i]!);
          shadowPrice.evaluate(endpoints[i]!, question, terms);
          costs[i] = terms.totalMs;
          if (terms.totalMs >= leastMs) continue;
          leastMs = terms.totalMs;
          chosenOwnMs = terms.ownMs;
        }
        shadowPrice.chosen(chosenOwnMs);
        return scoresOfCosts(costs);
      };
    },
  }).create({});
}

function shadowPricePolicy(
  name: string,
  description: string,
  residency: PolicyInstance['residency'],
  weights: Partial<ShadowPriceWeights> = {},
): Policy {
  return {
    name,
    description,
    create: ({ model }: PolicyEnvironment) => {
      const shadowPrice = new ShadowPrice(model, { ...defaultWeights, ...weights });
      const scorers = { 'shadow-price': [1, shadowPriceScorer(shadowPrice)] } as const;
      return {
        ...scoredPolicy({ name, residency, scorers }),
        completed: ({ outputTokens }) => shadowPrice.completed(outputTokens),
      };
    },
  };
}

/** The profile only names the endpoint that late binding has chosen, so its record says so. */
const lateShadowPrice: Policy = {
  name: 'spr-late',
  description: 'shadow-price router that holds requests until an endpoint has room',
  create: ({ model }: PolicyEnvironment) => {
    const shadowPrice = new ShadowPrice(model);
    return {
      ...scoredPolicy({ name: 'spr-late', residency: 'events', scorers: {} }),
      lateBinding: { ...defaultLateBinding, shadowPrice },
      completed: ({ outputTokens }) => shadowPrice.completed(outputTokens),
    };
  },
};

/** The product's scorer, which knows no constants of the engines and learns them. */
function learnedShadowPrice(
  name: string,
  residency: PolicyInstance['residency'],
  hasFlowControl = false,
): Policy {
  const flow = hasFlowControl ? ', with flow control' : '';
  return {
    name,
    description: `the shadow-price scorer, calibrated online, residency by ${residency}${flow}`,
    create: () => ({
      hasFlowControl,
      ...scoredPolicy({
        name,
        residency,
        scorers: { 'shadow-price': [1, shadowPriceDefinition.create(shadowPriceDefinition.defaults)] },
      }),
    }),
  };
}

export const shadowPricePolicies: readonly Policy[] = [
  learnedShadowPrice('shadow-price', 'events'),
  learnedShadowPrice('shadow-price-approx', 'approximate'),
  learnedShadowPrice('shadow-price-flow', 'events', true),
  shadowPricePolicy('spr', 'shadow-price router, residency by KV events', 'events'),
  shadowPricePolicy('spr-approx', 'shadow-price router, residency by own decisions', 'approximate'),
  shadowPricePolicy('spr-unpriced', 'shadow-price router with kappa = 1', 'events', {
    congestion: 0,
    eviction: 0,
  }),
  lateShadowPrice,
];
