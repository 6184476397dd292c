import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

export interface Cores {
  /** As `taskset -c` reads them. */
  readonly server: string;
  readonly client: string;
}

/**
 * Cores of their own for server and client, and binds this process, the client, to its one; undefined where there is
 * no `taskset` or only one core.
 */
export function pinClient(): Cores | undefined {
  const count = availableParallelism();
  if (count < 2) return undefined;
  const cores = { server: count === 2 ? '0' : `0-${count - 2}`, client: String(count - 1) };
  const { status } = spawnSync('taskset', ['-acp', cores.client, String(process.pid)]);
  return status === 0 ? cores : undefined;
}
