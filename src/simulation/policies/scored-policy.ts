import maxScore from '../../scheduling/pickers/max-score.ts';
import type { Filter, Scorer } from '../../scheduling/plugins.ts';
import type { PolicyInstance } from '../policy.ts';

export interface ScoredPolicyParts {
  readonly name: string;
  readonly residency?: PolicyInstance['residency'];
  readonly filters?: Readonly<Record<string, Filter>>;
  /** Weight and scorer by name. */
  readonly scorers: Readonly<Record<string, readonly [weight: number, scorer: Scorer]>>;
}

/** A profile that takes the highest sum of weight x score. */
export function scoredPolicy({ name, residency, filters, scorers }: ScoredPolicyParts): PolicyInstance {
  return {
    residency: residency ?? 'approximate',
    profile: {
      name,
      filters: Object.entries(filters ?? {}).map(([filterName, filter]) => ({ name: filterName, filter })),
      scorers: Object.entries(scorers).map(([scorerName, [weight, scorer]]) => ({
        name: scorerName,
        weight,
        scorer,
      })),
      picker: { name: 'max-score', picker: maxScore.create({}) },
    },
  };
}
