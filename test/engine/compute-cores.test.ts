import { availableParallelism } from 'node:os';
import { describe, expect, test } from 'vitest';
import { computeCores } from '../../src/engine/compute-cores.ts';

/** Eight processors on four cores: 0 and 4 are siblings, 1 and 5, and so on. */
function system(allowed: string, cpuMax?: string) {
  const files: Record<string, string> = { '/proc/self/status': `Name:\tx\nCpus_allowed_list:\t${allowed}\n` };
  for (let processor = 0; processor < 8; processor++)
    files[`/sys/devices/system/cpu/cpu${processor}/topology/thread_siblings_list`] =
      `${processor % 4},${(processor % 4) + 4}\n`;
  if (cpuMax !== undefined) files['/sys/fs/cgroup/cpu.max'] = cpuMax;
  return (path: string) => files[path];
}

describe('threads that compute by default', () => {
  test.each([
    ['0-7', undefined, 8, 4],
    ['0-3', undefined, 4, 4],
    ['0,4', undefined, 2, 1],
    ['1-2,5', undefined, 3, 2],
    ['0-7', 'max 100000\n', 8, 4],
    ['0-7', '200000 100000\n', 8, 2],
    ['0-7', '150000 100000\n', 8, 2],
    ['0-7', '20000 100000\n', 8, 1],
  ])('allowed on %s, with a quota of %j: %i processors are %i cores', (allowed, max, processors, cores) => {
    expect(computeCores(system(allowed, max), processors)).toBe(cores);
  });

  test('where the system does not tell, the processors that Node counts', () => {
    expect(computeCores(() => undefined, 6)).toBe(6);
  });

  test('here, at least one and no more than there are processors', () => {
    expect(computeCores()).toBeGreaterThanOrEqual(1);
    expect(computeCores()).toBeLessThanOrEqual(availableParallelism());
  });
});
