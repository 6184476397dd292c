import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PrefixTable } from '../../src/engine/prefix-table.ts';

/** Eight words whose low bits collide often: `key % 4` picks the slot. */
const words = (key: number) => Int32Array.from({ length: 8 }, (_, i) => (i === 0 ? key % 4 : key));

test('finds exactly what was inserted and not removed, even when all keys share a few slots', () => {
  const blocks = 16;
  const steps = fc.array(fc.record({ block: fc.nat(blocks - 1), key: fc.nat(30) }), { maxLength: 200 });
  fc.assert(
    fc.property(steps, (operations) => {
      const table = new PrefixTable(blocks);
      const model = new Map<number, number>();
      for (const { block, key } of operations) {
        if (table.has(block)) {
          table.remove(block);
          for (const [known, owner] of model) if (owner === block) model.delete(known);
        } else if (!model.has(key)) {
          table.insert(block, words(key), 0);
          model.set(key, block);
        }
        table.checkIntegrity();
        for (let known = 0; known <= 30; known++) expect(table.find(words(known), 0)).toBe(model.get(known));
      }
    }),
    { numRuns: 60 },
  );
});

test('forgets everything when cleared', () => {
  const table = new PrefixTable(2);
  table.insert(1, words(5), 0);
  table.clear();
  expect(table.find(words(5), 0)).toBeUndefined();
  expect(table.size).toBe(0);
  table.checkIntegrity();
});
