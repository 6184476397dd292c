import { policies } from '../../src/simulation/policies/index.ts';

export interface SuiteEntry {
  readonly workload: string;
  readonly loads: readonly number[];
  /** Policy shapes may be chosen by looking at these; the others are kept for judging. */
  readonly isForTuning: boolean;
  /** All known policies when absent. */
  readonly policies?: readonly string[];
}

const traceLoads = [0.8, 0.9, 1, 1.1, 1.25] as const;
const forScale = ['random', 'llm-d-3-2-2', 'default'] as const;

/** Every scenario of the method. Disaggregation and adapters wait for what they simulate. */
export const suite: readonly SuiteEntry[] = [
  { workload: 'trace-conversation', loads: traceLoads, isForTuning: true },
  { workload: 'trace-synthetic', loads: [...traceLoads, 1.3], isForTuning: true },
  { workload: 'tool-agent', loads: [0.8, 0.9], isForTuning: true },
  { workload: 'b2b-saas', loads: [1], isForTuning: true },
  { workload: 'b2b-saas-short', loads: [1], isForTuning: true },
  { workload: 'b2b-saas-steady', loads: [1], isForTuning: false },
  { workload: 'shared-32x32', loads: [1], isForTuning: false },
  { workload: 'multi-turn', loads: [1], isForTuning: false },
  { workload: 'interactive-chat', loads: [1], isForTuning: false },
  { workload: 'azure-code', loads: [0.8, 0.9], isForTuning: true },
  { workload: 'azure-conv', loads: [0.8, 0.9], isForTuning: false },
  { workload: 'reasoning', loads: [1], isForTuning: true },
  { workload: 'code-generation', loads: [1], isForTuning: true },
  { workload: 'slo-mix', loads: [0.8, 0.9], isForTuning: false },
  { workload: 'tenants', loads: [0.7], isForTuning: false },
  { workload: 'faults-crash', loads: [0.8], isForTuning: false },
  { workload: 'faults-slow', loads: [0.8], isForTuning: false },
  { workload: 'faults-stale', loads: [0.9], isForTuning: false },
  { workload: 'faults-lost-events', loads: [0.9], isForTuning: false },
  { workload: 'faults-scale-out', loads: [0.6], isForTuning: false },
  { workload: 'scale-10', loads: [1], isForTuning: false, policies: forScale },
  { workload: 'scale-100', loads: [1], isForTuning: false, policies: forScale },
  { workload: 'scale-1000', loads: [1], isForTuning: false, policies: forScale },
];

export function policiesOf(entry: SuiteEntry): readonly string[] {
  return entry.policies ?? policies.map(({ name }) => name);
}
