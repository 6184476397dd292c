import { describe, expect, test } from 'vitest';
import { BlockPool } from '../../src/engine/block-pool.ts';
import { kvAllocators, reservedTokens } from '../../src/engine/kv-allocator.ts';
import { toOpenOptions } from '../../src/engine/to-open-options.ts';
import { createFakeCore, engineRequest, runToEnd, tokensByChoice } from './support/fake-core.ts';

const prompt = (length: number, seed = 1) => Array.from({ length }, (_, i) => 1 + ((seed * 17 + i * 7) % 90));
const requests = Array.from({ length: 12 }, (_, id) =>
  engineRequest({
    id,
    prompt: prompt(5 + 3 * id, id),
    maxTokens: 10 + 7 * (id % 5),
    ignoreEos: true,
    choices: id % 4 === 0 ? 2 : 1,
  }),
);

describe('reservations', () => {
  test('are for the longest sequence, or for the next power of two of the output', () => {
    const sequence = { promptLength: 100, sampling: { maxTokens: 33 } };
    expect(reservedTokens('paged', sequence, 2048)).toBe(0);
    expect(reservedTokens('reserve-max', sequence, 2048)).toBe(2048);
    expect(reservedTokens('reserve-pow2', sequence, 2048)).toBe(164);
    expect(reservedTokens('reserve-pow2', sequence, 150)).toBe(150);
  });

  test.each(kvAllocators)(
    '%s: the same outputs, all blocks come back, and nothing is preempted without need',
    (kvAllocator) => {
      const options = { maxModelLen: 96, maxNumSeqs: 8, hasPrefixCaching: false };
      const plain = createFakeCore({ ...options, blocks: 512 });
      const core = createFakeCore({ ...options, blocks: 30, kvAllocator });
      for (const request of requests) {
        plain.add(request);
        core.add(request);
      }
      expect(tokensByChoice(runToEnd(core))).toEqual(tokensByChoice(runToEnd(plain)));
      expect(core.gauges.kvCacheUsage).toBe(0);
      if (kvAllocator !== 'paged') expect(core.gauges.preemptions).toBe(0);
    },
  );

  test('what memory holds is told apart: used, reserved, never to be used, stranded between runs', () => {
    const core = createFakeCore({
      maxModelLen: 64,
      blocks: 12,
      hasPrefixCaching: false,
      kvAllocator: 'reserve-max',
    });
    core.add(engineRequest({ id: 1, prompt: prompt(10), maxTokens: 5, ignoreEos: true }));
    core.step();
    expect(core.kvOccupancy).toEqual({ used: 10, reserved: 4, internal: 50, external: 0 });
    core.step();
    expect(core.kvOccupancy).toEqual({ used: 11, reserved: 3, internal: 50, external: 0 });
    runToEnd(core);
    expect(core.kvOccupancy).toEqual({ used: 0, reserved: 0, internal: 0, external: 0 });
  });

  test('paged: at most one block of a sequence is not full', () => {
    const core = createFakeCore({ maxModelLen: 64, blocks: 12, hasPrefixCaching: false });
    core.add(engineRequest({ id: 1, prompt: prompt(10), maxTokens: 30, ignoreEos: true }));
    while (core.hasWork) {
      core.step();
      const { used, reserved, internal, external } = core.kvOccupancy;
      expect(reserved + internal).toBeLessThan(16);
      expect((used + reserved + internal) % 16).toBe(0);
      expect(external).toBe(0);
    }
  });

  test('free blocks that are not adjacent do not help', () => {
    const core = createFakeCore({
      maxModelLen: 128,
      blocks: 8,
      hasPrefixCaching: false,
      kvAllocator: 'reserve-pow2',
    });
    // Runs of 2, 2, 2 and 2 blocks; the first and the third end early and leave 4 blocks in two pieces.
    const lengths = [4, 16, 4, 16];
    for (const [id, maxTokens] of lengths.entries())
      core.add(engineRequest({ id, prompt: prompt(32 - maxTokens, id), maxTokens, ignoreEos: true }));
    for (let step = 0; step < 8; step++) core.step();
    expect(core.gauges.running).toBe(2);
    core.add(engineRequest({ id: 9, prompt: prompt(30), maxTokens: 16, ignoreEos: true }));
    core.step();
    expect(core.gauges).toMatchObject({ running: 2, waiting: 1 });
    expect(core.kvOccupancy.external).toBe(64);
    runToEnd(core);
  });

  test('cache no prefixes: asking for both is refused', () => {
    const both = { model: 'm', kvAllocator: 'reserve-max', enablePrefixCaching: true } as const;
    expect(() => toOpenOptions(both, [])).toThrow(/reserve-max .* leave out --enable-prefix-caching/);
    expect(toOpenOptions({ model: 'm', kvAllocator: 'reserve-max' }, []).hasPrefixCaching).toBe(false);
    expect(toOpenOptions({ model: 'm' }, []).hasPrefixCaching).toBe(true);
  });
});

test('a run of free blocks is the lowest one that is long enough', () => {
  const pool = new BlockPool(10);
  for (const block of [2, 3, 7]) pool.retain(block);
  expect(pool.findRun(2)).toBe(0);
  expect(pool.findRun(3)).toBe(4);
  expect(pool.findRun(4)).toBeUndefined();
  pool.release(3, 'reuse');
  expect(pool.findRun(4)).toBe(3);
});
