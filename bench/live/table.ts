import { pairedRatio, tInterval } from '../../src/simulation/index.ts';
import { timePerToken } from '../load/report.ts';
import type { StreamResult } from '../load/stream-client.ts';
import type { CellPart, Targets } from './cell.ts';

const columns = [
  'profile',
  'requests',
  'done',
  'refused',
  'failed',
  'TTFT mean',
  'p50',
  'p90',
  'p99',
  'TPOT',
  'hit %',
  'SLO %',
  'in flight',
  'others %',
  'TTFT ratio',
] as const;

/**
 * One row per profile over all of its cells. The ratio is of mean TTFT to the first profile's in the same round, its
 * geometric mean over the rounds; intervals are of 95 % over rounds. `others` is what other processes took of the
 * processors.
 */
export function liveTable(profiles: readonly string[], cells: readonly CellPart[], targets: Targets): string {
  const figures = profiles.map((name) =>
    figuresOf(
      cells.filter(({ profile }) => profile === name),
      targets,
    ),
  );
  const rows = profiles.map((name, at) => {
    const own = figures[at]!;
    const rounds = cells.filter(({ profile }) => profile === name).map((cell) => figuresOf([cell], targets));
    return [
      name,
      own.requests,
      own.done,
      own.refused,
      own.failed,
      `${told(own.mean, 0)}${plusMinus(
        rounds.map((round) => round.mean),
        0,
      )}`,
      told(own.p50, 0),
      told(own.p90, 0),
      told(own.p99, 0),
      told(own.tpot, 1),
      told(100 * own.hitRatio, 1),
      `${told(100 * own.attained, 1)}${plusMinus(
        rounds.map((round) => 100 * round.attained),
        1,
      )}`,
      own.inFlight.toFixed(1),
      told(100 * own.others, 0),
      ratioText(name, profiles[0]!, cells, targets),
    ];
  });
  const line = (row: readonly (string | number)[]) => `| ${row.join(' | ')} |`;
  return [
    line(columns),
    line(columns.map((_, at) => (at === 0 ? '---' : '---:'))),
    ...rows.map(line),
    '',
  ].join('\n');
}

function figuresOf(cells: readonly CellPart[], targets: Targets) {
  const results = cells.flatMap((cell) => cell.results);
  const good = results.filter(({ error }) => error === undefined);
  const refused = results.filter(({ status }) => status === 429 || status === 503).length;
  const ttft = good.map(({ ttftMs }) => ttftMs ?? Number.NaN).sort((a, b) => a - b);
  const quantile = (share: number) =>
    ttft[Math.min(ttft.length - 1, Math.floor(share * ttft.length))] ?? Number.NaN;
  const loads = cells.flatMap(({ samples }) => samples.flatMap(({ endpoints }) => [...endpoints.values()]));
  return {
    requests: results.length,
    done: good.length,
    refused,
    failed: results.length - good.length - refused,
    mean: mean(ttft),
    p50: quantile(0.5),
    p90: quantile(0.9),
    p99: quantile(0.99),
    tpot: mean(good.flatMap((each) => timePerToken(each) ?? [])),
    hitRatio: mean(cells.map((cell) => cell.hitRatio)),
    attained: results.filter((each) => isAttained(each, targets)).length / results.length,
    /** Per engine. */
    inFlight: mean(loads.map((load) => load.inFlight)),
    others: mean(cells.flatMap((cell) => cell.othersShare ?? [])),
  };
}

function ratioText(profile: string, reference: string, cells: readonly CellPart[], targets: Targets): string {
  const means = (name: string) =>
    cells.filter((cell) => cell.profile === name).map((cell) => figuresOf([cell], targets).mean);
  const references = means(reference);
  // A round in which one of the two answered nothing compares nothing.
  const pairs = means(profile)
    .map((each, round) => [each, references[round]!] as const)
    .filter((pair) => pair.every(Number.isFinite));
  if (pairs.length === 0) return '-';
  const { ratio, low, high } = pairedRatio(
    pairs.map(([each]) => each),
    pairs.map(([, theirs]) => theirs),
  );
  if (profile === reference || Number.isNaN(low)) return ratio.toFixed(2);
  return `${ratio.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
}

/** Half of the interval over rounds; nothing with one. */
function plusMinus(values: readonly number[], digits: number): string {
  const { halfWidth } = tInterval(values.filter(Number.isFinite));
  return Number.isFinite(halfWidth) ? `±${halfWidth.toFixed(digits)}` : '';
}

/** `-` where there is nothing to tell. */
function told(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : '-';
}

function isAttained(result: StreamResult, { ttftMs, tpotMs }: Targets): boolean {
  if (result.error !== undefined || result.ttftMs === undefined) return false;
  return result.ttftMs <= ttftMs && (timePerToken(result) ?? 0) <= tpotMs;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
