import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** The text of a file of the system, undefined if it cannot be read. */
export type ReadSystemFile = (path: string) => string | undefined;

/**
 * Physical cores that this process may compute on: of the processors that it is allowed on, siblings of one core
 * count once, because they share its vector units; and no more than a container's quota pays for. Where the
 * system does not tell (not Linux), the processors that Node counts. At least 1.
 */
export function computeCores(
  read: ReadSystemFile = readSystemFile,
  processors: number = availableParallelism(),
): number {
  const allowed = /^Cpus_allowed_list:\s*(\S+)/m.exec(read('/proc/self/status') ?? '')?.[1];
  const cores = allowed === undefined ? processors : countCores(parseList(allowed), read);
  return Math.max(1, Math.min(cores, processors, quota(read)));
}

function countCores(processors: readonly number[], read: ReadSystemFile): number {
  const siblings = (processor: number) =>
    read(`/sys/devices/system/cpu/cpu${processor}/topology/thread_siblings_list`)?.trim() ?? `${processor}`;
  return new Set(processors.map(siblings)).size;
}

/** cgroup v2: microseconds of processor time per period, or "max". */
function quota(read: ReadSystemFile): number {
  const [time, period] = (read('/sys/fs/cgroup/cpu.max') ?? 'max').trim().split(' ');
  const share = Number(time) / Number(period);
  return Number.isFinite(share) ? Math.ceil(share) : Number.POSITIVE_INFINITY;
}

/** `0-3,8` is 0, 1, 2, 3 and 8. */
function parseList(text: string): readonly number[] {
  return text.split(',').flatMap((range) => {
    const [first = Number.NaN, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

function readSystemFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Another system, or a container without it: the caller has its default.
    return undefined;
  }
}
