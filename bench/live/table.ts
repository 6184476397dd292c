import { timePerToken } from '../load/report.ts';
import type { StreamResult } from '../load/stream-client.ts';
import type { Cell, Targets } from './cell.ts';

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
 * One row per profile over all of its cells. The ratio is of mean TTFT to the first profile's in the same round,
 * the median over the rounds; `others` is what other processes took of the processors.
 */
export function liveTable(profiles: readonly string[], cells: readonly Cell[], targets: Targets): string {
  const figures = profiles.map((name) =>
    figuresOf(
      cells.filter(({ profile }) => profile === name),
      targets,
    ),
  );
  const rows = profiles.map((name, at) => {
    const own = figures[at]!;
    return [
      name,
      own.requests,
      own.done,
      own.refused,
      own.failed,
      told(own.mean, 0),
      told(own.p50, 0),
      told(own.p90, 0),
      told(own.p99, 0),
      told(own.tpot, 1),
      (100 * own.hitRatio).toFixed(1),
      (100 * own.attained).toFixed(1),
      own.inFlight.toFixed(1),
      told(100 * own.others, 0),
      told(median(pairedRatios(name, profiles[0]!, cells, targets)), 2),
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

function figuresOf(cells: readonly Cell[], targets: Targets) {
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

function pairedRatios(
  profile: string,
  reference: string,
  cells: readonly Cell[],
  targets: Targets,
): readonly number[] {
  const ofRounds = (name: string) =>
    cells.filter((cell) => cell.profile === name).map((cell) => figuresOf([cell], targets).mean);
  const references = ofRounds(reference);
  // A round in which one of the two answered nothing compares nothing.
  return ofRounds(profile)
    .map((each, round) => each / references[round]!)
    .filter(Number.isFinite);
}

/** `-` where there is nothing to tell. */
function told(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : '-';
}

function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function isAttained(result: StreamResult, { ttftMs, tpotMs }: Targets): boolean {
  if (result.error !== undefined || result.ttftMs === undefined) return false;
  return result.ttftMs <= ttftMs && (timePerToken(result) ?? 0) <= tpotMs;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
