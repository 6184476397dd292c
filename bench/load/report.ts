import { affinityLines, loadLines } from './affinity.ts';
import type { LoadSample } from './load-samples.ts';
import type { LoadResults } from './open-loop.ts';
import type { StreamResult } from './stream-client.ts';

interface Row {
  readonly name: string;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** Prints the figures; gives the exit code: 1 if any request failed, or none was sent. */
export function report(
  { results, elapsedMs }: LoadResults,
  samples: readonly LoadSample[],
  isJson: boolean,
): number {
  const good = results.filter(({ error }) => error === undefined);
  const rows = [
    row(
      'TTFT ms',
      good.map(({ ttftMs }) => ttftMs),
    ),
    row('TPOT ms', good.map(timePerToken)),
    row(
      'E2E ms',
      good.map(({ durationMs }) => durationMs),
    ),
  ];
  const sum = (value: (result: StreamResult) => number) =>
    good.reduce((total, each) => total + value(each), 0);
  const perSecond = (amount: number) => (amount / elapsedMs) * 1000;
  const totals = {
    requests: results.length,
    errors: results.length - good.length,
    seconds: elapsedMs / 1000,
    requestsPerSecond: perSecond(good.length),
    outputTokensPerSecond: perSecond(sum(({ outputTokens }) => outputTokens)),
    promptTokens: sum(({ promptTokens }) => promptTokens),
    cachedTokens: sum(({ cachedTokens }) => cachedTokens),
  };
  if (isJson) process.stdout.write(`${JSON.stringify({ ...totals, rows, loads: samples.map(asJson) })}\n`);
  else
    process.stdout.write(
      `${table(rows)}\n${summary(totals)}${loadLines(samples)}${affinityLines(good, samples)}${errorLines(results)}`,
    );
  return totals.errors > 0 || results.length === 0 ? 1 : 0;
}

function asJson({ atMs, endpoints }: LoadSample) {
  return { atMs: Math.round(atMs), endpoints: Object.fromEntries(endpoints) };
}

export function timePerToken({ ttftMs, durationMs, outputTokens }: StreamResult): number | undefined {
  return ttftMs === undefined || outputTokens < 2 ? undefined : (durationMs - ttftMs) / (outputTokens - 1);
}

function row(name: string, given: readonly (number | undefined)[]): Row {
  const values = given.filter((value) => value !== undefined).sort((a, b) => a - b);
  const quantile = (share: number) =>
    values[Math.min(values.length - 1, Math.floor(share * values.length))] ?? Number.NaN;
  const mean = values.reduce((total, value) => total + value, 0) / values.length;
  return { name, mean, p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99), max: quantile(1) };
}

function table(rows: readonly Row[]): string {
  const columns = ['mean', 'p50', 'p90', 'p99', 'max'] as const;
  const line = (cells: readonly string[]) =>
    cells.map((cell, at) => (at === 0 ? cell.padEnd(9) : cell.padStart(10))).join('');
  const body = rows.map((each) => line([each.name, ...columns.map((column) => each[column].toFixed(1))]));
  return [line(['', ...columns]), ...body].join('\n');
}

function summary(totals: {
  readonly requests: number;
  readonly errors: number;
  readonly seconds: number;
  readonly requestsPerSecond: number;
  readonly outputTokensPerSecond: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
}): string {
  const share = totals.promptTokens === 0 ? 0 : (100 * totals.cachedTokens) / totals.promptTokens;
  return [
    `${totals.requests} requests in ${totals.seconds.toFixed(1)} s, ${totals.errors} errors`,
    `${totals.requestsPerSecond.toFixed(1)} req/s, ${totals.outputTokensPerSecond.toFixed(0)} output tokens/s`,
    `${totals.cachedTokens} of ${totals.promptTokens} prompt tokens cached (${share.toFixed(1)} %)`,
    '',
  ].join('\n');
}

/** The most frequent errors, counted. */
function errorLines(results: readonly StreamResult[]): string {
  const counts = new Map<string, number>();
  for (const { error } of results) if (error !== undefined) counts.set(error, (counts.get(error) ?? 0) + 1);
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .slice(0, 10)
    .map(([error, count]) => `${count} x ${error}\n`)
    .join('');
}
