import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

export interface ProcessorTime {
  /** Of all processors together, milliseconds. */
  readonly busyMs: number;
  readonly elapsedMs: number;
  /** Of this process and those of `pids`. */
  readonly ownMs: number;
}

/** What the processors have done so far; undefined where processes do not tell (other systems than Linux). */
export function processorTime(pids: readonly number[]): ProcessorTime | undefined {
  let busyMs = 0;
  let elapsedMs = 0;
  for (const { times } of cpus()) {
    const { idle, user, nice, sys, irq } = times;
    busyMs += user + nice + sys + irq;
    elapsedMs += idle + user + nice + sys + irq;
  }
  const { user, system } = process.cpuUsage();
  try {
    const ofOthers = pids.reduce((sum, pid) => sum + processMs(pid), 0);
    return { busyMs, elapsedMs, ownMs: (user + system) / 1000 + ofOthers };
  } catch {
    return undefined;
  }
}

/** Share of all processors that went to anything but our processes: a disturbed measurement is seen. */
export function othersShare(
  before: ProcessorTime | undefined,
  after: ProcessorTime | undefined,
): number | undefined {
  if (before === undefined || after === undefined) return undefined;
  const busyMs = after.busyMs - before.busyMs - (after.ownMs - before.ownMs);
  return Math.max(0, busyMs) / (after.elapsedMs - before.elapsedMs);
}

/** `utime` and `stime` of proc(5), in hundredths of a second, counted after the name in brackets. */
function processMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  return 10 * (Number(fields[11]) + Number(fields[12]));
}
