import { describe, expect, it } from 'vitest';
import { enginePresets } from '../../src/simulation/engine-model.ts';
import { runExperiment } from '../../src/simulation/experiment.ts';
import type { RunMeasures } from '../../src/simulation/measures.ts';
import { findPolicy } from '../../src/simulation/policies/index.ts';
import { findWorkload } from '../../src/simulation/workloads/index.ts';

function run(workloadName: string, load: number, policies: readonly string[]): readonly RunMeasures[] {
  const workload = findWorkload(workloadName);
  const result = runExperiment({
    scenario: {
      workload,
      load,
      requestsPerSecond: undefined,
      pods: workload.pods,
      model: enginePresets[workload.preset],
      scrapeMs: 50,
      routers: 1,
      share: 0.1,
    },
    policies: policies.map(findPolicy),
    seeds: [1],
    clock: () => 0,
    progress: () => {},
  });
  return result.policies.map(({ runs }) => runs[0]!);
}

describe('prefill and decode on different engines', () => {
  it('splits long prompts, only as many as the prefill engines bear', () => {
    const [split, threshold, never] = run('pd-5000-250', 0.8, [
      'split-25',
      'split-25-from-16',
      'split-25-never',
    ]);
    expect(split!.doneShare).toBe(1);
    expect(threshold!.splitShare).toBe(1);
    expect(never!.splitShare).toBe(0);
    expect(split!.splitShare).toBeGreaterThan(0.2);
    expect(split!.splitShare).toBeLessThan(0.9);
    // Decoding beside fewer prefills is faster, and the prefill engines are not buried.
    expect(split!.tpotMeanMs).toBeLessThan(0.9 * never!.tpotMeanMs);
    expect(split!.ttftMeanMs).toBeLessThan(0.25 * threshold!.ttftMeanMs);
  });

  it('leaves short prompts where they are decoded', () => {
    const [split] = run('pd-chat', 0.5, ['split-25']);
    expect(split!.doneShare).toBe(1);
    expect(split!.splitShare).toBeLessThan(0.2);
  });
});
