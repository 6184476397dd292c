import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Http2Stream } from '../../src/http2/http2-stream.ts';
import { StreamTable } from '../../src/http2/stream-table.ts';

const streamOf = (id: number) => ({ id }) as Http2Stream;

/** Ids as clients give them, one after the other, and far apart. */
const ids = fc.oneof(
  fc.integer({ min: 0, max: 100 }).map((n) => 2 * n + 1),
  fc.integer({ min: 0, max: 0x3fff_ffff }).map((n) => 2 * n + 1),
  fc.integer({ min: 0, max: 40 }).map((n) => n * 0x0200_0000 + 1),
);

describe('a table of streams', () => {
  it('holds what a Map would', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ id: ids, isRemoved: fc.boolean() }), { maxLength: 400 }), (steps) => {
        const table = new StreamTable();
        const model = new Map<number, Http2Stream>();
        for (const { id, isRemoved } of steps) {
          if (isRemoved) {
            table.remove(id);
            model.delete(id);
          } else if (!model.has(id)) {
            const stream = streamOf(id);
            table.add(stream);
            model.set(id, stream);
          }
          expect(table.find(id)).toBe(model.get(id));
          expect(table.size).toBe(model.size);
        }
        for (const [id, stream] of model) expect(table.find(id)).toBe(stream);
        expect(new Set(table)).toEqual(new Set(model.values()));
      }),
      { numRuns: 500 },
    );
  });

  it('keeps those that are left when half of very many go', () => {
    const table = new StreamTable();
    for (let id = 1; id < 20_000; id += 2) table.add(streamOf(id));
    for (let id = 1; id < 20_000; id += 4) table.remove(id);
    expect(table.size).toBe(5000);
    for (let id = 1; id < 20_000; id += 2) expect(table.find(id)?.id).toBe(id % 4 === 1 ? undefined : id);
  });

  it('is empty when it was cleared', () => {
    const table = new StreamTable();
    for (let id = 1; id < 100; id += 2) table.add(streamOf(id));
    table.clear();
    expect(table.size).toBe(0);
    expect([...table]).toEqual([]);
    expect(table.find(1)).toBeUndefined();
  });
});
