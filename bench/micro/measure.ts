export interface Timing {
  readonly p50Us: number;
  readonly p99Us: number;
  /** One after the other on one thread, from the mean. */
  readonly perSecond: number;
}

const warmUpMs = 700;
const measureMs = 2000;

/** Times each call of `run`, after a warm-up; a call gets its number, from 0. */
export async function measure(run: (call: number) => unknown): Promise<Timing> {
  let call = 0;
  for (const end = performance.now() + warmUpMs; performance.now() < end; ) await run(call++);
  const timesUs: number[] = [];
  for (const end = performance.now() + measureMs; performance.now() < end; ) {
    const startedMs = performance.now();
    const result = run(call++);
    if (result instanceof Promise) await result;
    timesUs.push((performance.now() - startedMs) * 1000);
  }
  timesUs.sort((a, b) => a - b);
  const sumUs = timesUs.reduce((sum, us) => sum + us, 0);
  return {
    p50Us: percentile(timesUs, 0.5),
    p99Us: percentile(timesUs, 0.99),
    perSecond: (1e6 * timesUs.length) / sumUs,
  };
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
