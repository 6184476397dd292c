/** The named strategies of the configuration, scorer by scorer. */
import activeRequests from '../../../scorers/active-requests.ts';
import kvCacheUsage from '../../../scorers/kv-cache-usage.ts';
import prefixCache from '../../../scorers/prefix-cache.ts';
import queueDepth from '../../../scorers/queue-depth.ts';
import shadowPrice from '../../../scorers/shadow-price.ts';
import { type StrategyName, strategies } from '../../configuration/strategies.ts';
import ready from '../../scheduling/filters/ready.ts';
import type { Scorer } from '../../scheduling/plugins.ts';
import type { Policy } from '../policy.ts';
import { patientFlowControl } from './patient-flow-control.ts';
import { scoredPolicy } from './scored-policy.ts';

type Given = Readonly<Record<string, number>>;

const scorers: Readonly<Record<string, (given: Given) => Scorer>> = {
  'active-requests': (given) => activeRequests.create({ ...activeRequests.defaults, ...given }),
  'kv-cache-usage': () => kvCacheUsage.create({}),
  'prefix-cache': () => prefixCache.create({}),
  'queue-depth': (given) => queueDepth.create({ ...queueDepth.defaults, ...given }),
  'shadow-price': (given) => shadowPrice.create({ ...shadowPrice.defaults, ...given }),
};

export const strategyPolicies: readonly Policy[] = (
  ['cache-affinity', 'load-balanced', 'latency-optimized', 'throughput-optimized'] as const
).map(simulated);

function simulated(name: StrategyName): Policy {
  const { description, hasLateBinding, scorers: uses } = strategies[name];
  return {
    name,
    description,
    create: () => ({
      ...scoredPolicy({
        name,
        filters: { ready: ready.create({}) },
        scorers: Object.fromEntries(
          uses.map((use) => [use.name, [use.weight, scorers[use.name]!(use.parameters)]]),
        ),
      }),
      flowControl: hasLateBinding ? patientFlowControl : undefined,
    }),
  };
}
