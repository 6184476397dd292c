import shadowPrice from '../../../scorers/shadow-price.ts';
import ready from '../../scheduling/filters/ready.ts';
import type { Policy, PolicyInstance } from '../policy.ts';
import { patientFlowControl } from './patient-flow-control.ts';
import { scoredPolicy } from './scored-policy.ts';

type Weights = Partial<typeof shadowPrice.defaults>;

interface Variant {
  readonly name: string;
  readonly description: string;
  readonly residency?: PolicyInstance['residency'];
  readonly hasFlowControl?: boolean;
  readonly weights?: Weights;
}

/** The product's scorer, which knows no constants of the engines and learns them. */
function variant({ name, description, residency, hasFlowControl, weights }: Variant): Policy {
  return {
    name,
    description,
    create: () => ({
      ...scoredPolicy({
        name,
        residency: residency ?? 'approximate',
        filters: { ready: ready.create({}) },
        scorers: { 'shadow-price': [1, shadowPrice.create({ ...shadowPrice.defaults, ...weights })] },
      }),
      flowControl: hasFlowControl === true ? patientFlowControl : undefined,
    }),
  };
}

export const shadowPricePolicies: readonly Policy[] = [
  variant({
    name: 'default',
    description: 'what Pointsman does unless told otherwise: shadow price and flow control, no KV events',
    hasFlowControl: true,
  }),
  variant({
    name: 'default-events',
    description: 'the same, residency by KV events',
    residency: 'events',
    hasFlowControl: true,
  }),
  variant({ name: 'shadow-price', description: 'the scorer alone: requests never wait at the router' }),
  variant({
    name: 'shadow-price-events',
    description: 'the scorer alone, residency by KV events',
    residency: 'events',
  }),
  variant({
    name: 'shadow-price-unpriced',
    description: 'the scorer alone with kappa = 1, residency by KV events',
    residency: 'events',
    weights: { congestion: 0, eviction: 0 },
  }),
];
