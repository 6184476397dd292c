import type { ExperimentResult, PolicyRuns, Scenario } from './experiment.ts';
import type { RunMeasures } from './measures.ts';
import { holm, mean, type PairedRatio, pairedRatio, tInterval } from './statistics.ts';

/** All ratios are against this policy; against the first one when it was not run. */
const referencePolicy = 'llm-d-3-2-2';

const columns = [
  'policy',
  'done%',
  'TTFT mean',
  'p50',
  'p90',
  'p99',
  'TPOT mean',
  'p99',
  'E2E mean',
  'hit%',
  'SLO%',
  'imbal',
  'preempt',
] as const;

/** One table per scenario, in Markdown. TTFTs are milliseconds, TPOTs too; `±` is the 95 % interval over seeds. */
export function markdownReport(result: ExperimentResult): string {
  const reference = referenceOf(result);
  const against = reference.policy === referencePolicy ? 'llm-d' : reference.policy;
  const header = [...columns, `vs ${against} TTFT`];
  const rows = result.policies.map((policy) => tableRow(policy, reference));
  return [
    scenarioLine(result),
    `| ${header.join(' | ')} |`,
    `|${header.map(() => '---').join('|')}|`,
    ...rows.map((cells) => `| ${cells.join(' | ')} |`),
    '',
  ].join('\n');
}

/** What the table's last column claims: ratio of mean TTFTs, 95 % interval, Holm-corrected over the policies. */
export function claimLines(result: ExperimentResult): readonly string[] {
  const reference = referenceOf(result);
  const others = result.policies.filter((policy) => policy !== reference);
  if (result.seeds.length < 2) return [];
  const ratios = others.map((policy) => ttftRatio(policy, reference));
  const adjusted = holm(ratios.map(({ pValue }) => pValue));
  return others.map(({ policy }, i) => {
    const { ratio, low, high } = ratios[i]!;
    const verdict = adjusted[i]! < 0.05 ? (ratio < 1 ? 'sooner' : 'later') : 'no difference shown';
    return `${policy} / ${reference.policy}: mean TTFT x ${ratio.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}], p ${adjusted[i]!.toPrecision(2)} (Holm): ${verdict}`;
  });
}

/** JSON Lines: one object per policy with means, half widths and every run. */
export function jsonLines(result: ExperimentResult): string {
  const reference = referenceOf(result);
  const lines = result.policies.map((policy) =>
    JSON.stringify({
      ...scenarioFields(result),
      policy: policy.policy,
      ...summary(policy),
      ttftRatio: { against: reference.policy, ...ttftRatio(policy, reference) },
      runs: policy.runs,
    }),
  );
  return `${lines.join('\n')}\n`;
}

function scenarioLine(result: ExperimentResult): string {
  const fields = scenarioFields(result);
  const warm = Math.round(result.scenario.workload.warmShare * 100);
  const extras = [
    result.scenario.scrapeMs === 50 ? '' : ` scrape=${result.scenario.scrapeMs}ms`,
    result.scenario.routers === 1 ? '' : ` routers=${result.scenario.routers}`,
    result.scenario.share === 1 ? '' : ` share=${result.scenario.share}`,
  ].join('');
  return `scenario=${fields.scenario} load=${fields.load.toFixed(2)} pods=${fields.pods} preset=${fields.preset} rps=${fields.rps.toFixed(1)} seeds=${result.seeds.length} warm=${warm}%${extras}`;
}

function scenarioFields({ scenario, seeds, policies }: ExperimentResult) {
  const { workload, load, pods, model, scrapeMs, routers, share }: Scenario = scenario;
  const rps = mean(policies[0]!.runs.map((run) => run.offeredRps));
  return {
    scenario: workload.name,
    load,
    pods,
    preset: model.name,
    rps,
    seeds,
    warm: workload.warmShare,
    scrapeMs,
    routers,
    share,
  };
}

function tableRow(policy: PolicyRuns, reference: PolicyRuns): readonly string[] {
  const of = (field: MeasureName) => tInterval(policy.runs.map((run) => run[field]));
  return [
    policy.policy,
    (100 * of('doneShare').mean).toFixed(1),
    withInterval(of('ttftMeanMs')),
    withInterval(of('ttftP50Ms')),
    withInterval(of('ttftP90Ms')),
    withInterval(of('ttftP99Ms')),
    of('tpotMeanMs').mean.toFixed(1),
    of('tpotP99Ms').mean.toFixed(0),
    `${(of('e2eMeanMs').mean / 1000).toFixed(1)} s`,
    (100 * of('hitShare').mean).toFixed(1),
    (100 * of('sloShare').mean).toFixed(1),
    of('prefillImbalance').mean.toFixed(2),
    of('preemptions').mean.toFixed(0),
    ttftRatio(policy, reference).ratio.toFixed(2),
  ];
}

type MeasureName = {
  [Name in keyof RunMeasures]: RunMeasures[Name] extends number ? Name : never;
}[keyof RunMeasures];

function summary(policy: PolicyRuns): Readonly<Record<string, { mean: number; halfWidth: number | null }>> {
  const first = policy.runs[0]!;
  const names = (Object.keys(first) as (keyof RunMeasures)[]).filter(
    (name): name is MeasureName => typeof first[name] === 'number',
  );
  return Object.fromEntries(
    names.map((name) => {
      const { mean: center, halfWidth } = tInterval(policy.runs.map((run) => run[name]));
      return [name, { mean: center, halfWidth: Number.isNaN(halfWidth) ? null : halfWidth }];
    }),
  );
}

function ttftRatio(policy: PolicyRuns, reference: PolicyRuns): PairedRatio {
  return pairedRatio(
    policy.runs.map((run) => run.ttftMeanMs),
    reference.runs.map((run) => run.ttftMeanMs),
  );
}

function referenceOf({ policies }: ExperimentResult): PolicyRuns {
  return policies.find(({ policy }) => policy === referencePolicy) ?? policies[0]!;
}

function withInterval({ mean: center, halfWidth }: { mean: number; halfWidth: number }): string {
  return Number.isNaN(halfWidth) ? center.toFixed(0) : `${center.toFixed(0)}±${halfWidth.toFixed(0)}`;
}
