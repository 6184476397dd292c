import type { Scenario } from './scenario.ts';

/** What full load came to with so many workers; microseconds of processor time per stream. */
export interface WorkerRow {
  readonly streamsPerSecond: number;
  /** Of the process that decides; without workers it does everything. */
  readonly ownerUs: number;
  /** Of all workers together. */
  readonly workersUs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly errors: number;
}

/**
 * Streams by number of workers. The client runs on the same machine, so on few cores the rate tells little; what
 * bounds it on many is the time of the one process that decides, and the ratio of the two tells how many workers
 * keep that one busy.
 */
export async function printWorkerTable(
  scenarios: readonly Scenario[],
  counts: readonly number[],
  measure: (scenario: Scenario, workers: number) => Promise<WorkerRow>,
): Promise<void> {
  console.log(
    '| scenario | workers | streams/s | owner us/stream | workers us/stream | sum | pick p50 ms | p99 | workers that one owner keeps up with | streams/s then | errors |',
  );
  console.log('|---|---|---|---|---|---|---|---|---|---|---|');
  for (const scenario of scenarios) {
    for (const workers of counts) {
      const row = await measure(scenario, workers);
      const hasWorkers = workers > 0;
      const cells = [
        row.streamsPerSecond.toFixed(0),
        row.ownerUs.toFixed(1),
        hasWorkers ? row.workersUs.toFixed(1) : '',
        (row.ownerUs + row.workersUs).toFixed(1),
        row.p50Ms.toFixed(2),
        row.p99Ms.toFixed(2),
        hasWorkers ? (row.workersUs / row.ownerUs).toFixed(1) : '',
        (1e6 / row.ownerUs).toFixed(0),
        String(row.errors),
      ];
      console.log(`| ${scenario.name} | ${workers} | ${cells.join(' | ')} |`);
    }
  }
}
