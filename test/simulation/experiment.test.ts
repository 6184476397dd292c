import { describe, expect, it } from 'vitest';
import { enginePresets } from '../../src/simulation/engine-model.ts';
import { type ExperimentResult, runExperiment } from '../../src/simulation/experiment.ts';
import { svgPlot } from '../../src/simulation/plot.ts';
import { findPolicy, policies } from '../../src/simulation/policies/index.ts';
import { claimLines, jsonLines, markdownReport } from '../../src/simulation/report.ts';
import { findWorkload } from '../../src/simulation/workloads/index.ts';

interface Chosen {
  readonly workload?: string;
  readonly policies: readonly string[];
  readonly seeds?: readonly number[];
  readonly share?: number;
  readonly load?: number;
  readonly routers?: number;
}

function experiment(chosen: Chosen): ExperimentResult {
  const workload = findWorkload(chosen.workload ?? 'trace-conversation');
  return runExperiment({
    scenario: {
      workload,
      load: chosen.load ?? 0.9,
      requestsPerSecond: undefined,
      pods: workload.pods,
      model: enginePresets[workload.preset],
      scrapeMs: 50,
      routers: chosen.routers ?? 1,
      share: chosen.share ?? 0.05,
    },
    policies: chosen.policies.map(findPolicy),
    seeds: chosen.seeds ?? [1],
    clock: () => 0,
    progress: () => {},
  });
}

describe('an experiment', () => {
  it('repeats exactly for the same seeds', () => {
    const chosen = { policies: ['llm-d-3-2-2', 'shadow-price-events'], seeds: [1, 2] };
    expect(jsonLines(experiment(chosen))).toBe(jsonLines(experiment(chosen)));
  });

  it.each(policies.map(({ name }) => name))('serves every request under %s', (name) => {
    const [only] = experiment({ policies: [name], share: 0.03 }).policies;
    expect(only!.runs[0]!.doneShare).toBe(1);
    expect(only!.runs[0]!.ttftMeanMs).toBeGreaterThan(0);
  });

  it('finds cached prompts where the router believes them, when it follows KV events', () => {
    const [only] = experiment({ policies: ['shadow-price-events'], share: 0.2 }).policies;
    const { hitShare, predictedHitShare } = only!.runs[0]!;
    expect(hitShare).toBeGreaterThan(0.1);
    expect(Math.abs(predictedHitShare - hitShare)).toBeLessThan(0.01);
  });

  it.each(['faults-crash', 'faults-slow', 'faults-stale', 'faults-lost-events', 'faults-scale-out'])(
    'goes through %s and loses only what was on a pod that crashed',
    (workload) => {
      const [only] = experiment({
        workload,
        policies: ['shadow-price-events'],
        share: 0.1,
        load: 0.6,
      }).policies;
      const least = workload === 'faults-crash' ? 0.95 : 1;
      expect(only!.runs[0]!.doneShare).toBeGreaterThanOrEqual(least);
    },
  );

  it('holds no request back for a pod that is gone', () => {
    const [free, held] = experiment({
      workload: 'faults-crash',
      policies: ['shadow-price', 'default'],
      share: 0.2,
      load: 0.6,
    }).policies;
    expect(held!.runs[0]!.ttftMeanMs).toBeLessThan(1.1 * free!.runs[0]!.ttftMeanMs);
  });

  it('splits requests over replicas that share nothing', () => {
    const [only] = experiment({ policies: ['least-in-flight'], routers: 3 }).policies;
    expect(only!.runs[0]!.doneShare).toBe(1);
  });

  it("replicates llm-d's benchmark: the prefix blend serves far more than round-robin", () => {
    const result = experiment({
      workload: 'b2b-saas',
      policies: ['round-robin', 'llm-d-3-2-2', 'shadow-price-events'],
      share: 0.35,
    });
    const [roundRobin, blend, shadowPrice] = result.policies.map(({ runs }) => runs[0]!);
    expect(roundRobin!.hitShare).toBeLessThan(0.3);
    expect(blend!.hitShare).toBeGreaterThan(0.9);
    expect(shadowPrice!.hitShare).toBeGreaterThan(0.85);
    expect(blend!.outputTokensPerSecond / roundRobin!.outputTokensPerSecond).toBeGreaterThan(1.2);
    expect(shadowPrice!.outputTokensPerSecond / roundRobin!.outputTokensPerSecond).toBeGreaterThan(1.2);
  });
});

describe('the report', () => {
  const result = experiment({ policies: ['random', 'llm-d-3-2-2'], seeds: [1, 2] });

  it('has one row per policy under the columns of the method', () => {
    const lines = markdownReport(result).split('\n');
    expect(lines[0]).toMatch(
      /^scenario=trace-conversation load=0\.90 pods=16 preset=llama8b-h100 rps=\d+\.\d seeds=2 warm=10% share=0\.05$/,
    );
    expect(lines[1]).toBe(
      '| policy | done% | TTFT mean | p50 | p90 | p99 | TPOT mean | p99 | E2E mean | hit% | SLO% | imbal | preempt | vs llm-d TTFT |',
    );
    expect(lines[2]).toBe(`|${'---|'.repeat(14)}`);
    expect(lines[3]).toMatch(
      /^\| random \| 100\.0 \| \d+±\d+ \| \d+±\d+ \| \d+±\d+ \| \d+±\d+ \| \d+\.\d \| \d+ \| \d+\.\d s \| \d+\.\d \| \d+\.\d \| \d\.\d\d \| \d+ \| \d+\.\d\d \|$/,
    );
    expect(lines[4]).toMatch(/^\| llm-d-3-2-2 .* \| 1\.00 \|$/);
  });

  it('says what the last column proves', () => {
    expect(claimLines(result)).toHaveLength(1);
    expect(claimLines(result)[0]).toMatch(/^random \/ llm-d-3-2-2: mean TTFT x /);
  });

  it('writes one JSON object per policy, with every run', () => {
    const lines = jsonLines(result).trimEnd().split('\n');
    const parsed = lines.map((line): unknown => JSON.parse(line));
    expect(parsed).toMatchObject([
      { policy: 'random', scenario: 'trace-conversation', runs: [{}, {}], ttftMeanMs: {} },
      { policy: 'llm-d-3-2-2', ttftRatio: { against: 'llm-d-3-2-2', ratio: 1 } },
    ]);
  });

  it('draws both panels with a line per policy', () => {
    const svg = svgPlot(result);
    expect(svg.match(/<polyline/g)).toHaveLength(4);
    expect(svg).toContain('Time to first token: trace-conversation, load 0.9, 16 x llama8b-h100');
    expect(svg).not.toContain('NaN');
  });
});
