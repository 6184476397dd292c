import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rootDigest } from '../../src/engine/block-hash.ts';
import { BlockManager } from '../../src/engine/block-manager.ts';
import type { BlockHolder } from '../../src/engine/block-table.ts';
import { BlockTable } from '../../src/engine/block-table.ts';

const blockSize = 4;

function createManager(blocks: number, hasPrefixCaching = true): BlockManager {
  return new BlockManager({
    blocks,
    blockSize,
    hasPrefixCaching,
    root: rootDigest('test'),
    collectsEvents: true,
  });
}

interface Holder extends BlockHolder {
  computed: number;
  length: number;
}

function holderOf(tokens: readonly number[], extraKeys?: readonly string[]): Holder {
  return {
    tokens: Int32Array.from(tokens),
    length: tokens.length,
    computed: 0,
    extraKeys,
    table: new BlockTable(),
  };
}

/** Allocates and computes all of a holder's tokens, as one step would. */
function compute(manager: BlockManager, holder: Holder): number {
  const shared = manager.match(holder);
  const count = shared.count;
  if (!manager.allocate(holder, holder.length, shared)) throw new Error('no room');
  holder.computed = holder.length;
  manager.commit(holder, holder.computed);
  return count * blockSize;
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe('prefix cache', () => {
  test('a second sequence shares the full blocks that it has in common with an earlier one', () => {
    const manager = createManager(16);
    const first = holderOf(range(0, 14));
    expect(compute(manager, first)).toBe(0);
    const second = holderOf([...range(0, 9), 99, 98, 97, 96]);
    expect(compute(manager, second)).toBe(8);
    expect(second.table.blocks.slice(0, 2)).toEqual(first.table.blocks.slice(0, 2));
    expect(manager.freeBlocks).toBe(16 - 4 - 2);
    manager.checkIntegrity();
  });

  test('a hit leaves at least one token to compute', () => {
    const manager = createManager(16);
    const first = holderOf(range(0, 8));
    compute(manager, first);
    manager.free(first);
    expect(compute(manager, holderOf(range(0, 8)))).toBe(4);
  });

  test('blocks outlive their sequence until they are needed, the end of a chain going first', () => {
    const manager = createManager(4);
    const first = holderOf(range(0, 16));
    compute(manager, first);
    manager.free(first);
    expect(manager.freeBlocks).toBe(4);
    const other = holderOf(range(50, 57));
    compute(manager, other);
    const again = manager.match(holderOf([...range(0, 16), 1]));
    expect(again.count).toBe(2);
    manager.checkIntegrity();
  });

  test('blocks without cached content are reused before cached ones', () => {
    const manager = createManager(4);
    const cached = holderOf(range(0, 8));
    compute(manager, cached);
    const partial = holderOf([70, 71]);
    compute(manager, partial);
    manager.free(cached);
    manager.free(partial);
    for (let i = 0; i < 2; i++) compute(manager, holderOf([80 + i]));
    expect(manager.match(holderOf(range(0, 9))).count).toBe(2);
  });

  test('equal content computed twice is kept once', () => {
    const manager = createManager(16);
    const first = holderOf(range(0, 8));
    const second = holderOf(range(0, 8));
    manager.allocate(first, 8);
    manager.allocate(second, 8);
    expect(manager.freeBlocks).toBe(12);
    for (const holder of [first, second]) {
      holder.computed = 8;
      manager.commit(holder, holder.computed);
    }
    expect(second.table.blocks.slice(0, 2)).toEqual(first.table.blocks.slice(0, 2));
    expect(manager.freeBlocks).toBe(14);
    manager.checkIntegrity();
  });

  test('a cache salt keeps equal prompts apart', () => {
    const manager = createManager(16);
    compute(manager, holderOf(range(0, 9), ['a']));
    expect(manager.match(holderOf(range(0, 9), ['b'])).count).toBe(0);
    expect(manager.match(holderOf(range(0, 9))).count).toBe(0);
    expect(manager.match(holderOf(range(0, 9), ['a'])).count).toBe(2);
  });

  test('a sibling shares its leader’s prompt blocks even without prefix caching', () => {
    const manager = createManager(16, false);
    const leader = holderOf(range(0, 10));
    compute(manager, leader);
    const sibling = holderOf(range(0, 10));
    const shared = manager.match(sibling, leader, 10);
    expect(shared.count).toBe(2);
    expect(manager.allocate(sibling, 10, shared)).toBe(true);
    expect(manager.freeBlocks).toBe(16 - 4);
    manager.free(leader);
    manager.checkIntegrity();
    manager.free(sibling);
    manager.checkIntegrity();
    expect(manager.freeBlocks).toBe(16);
  });

  test('is cleared only while no sequence holds blocks', () => {
    const manager = createManager(16);
    const holder = holderOf(range(0, 9));
    compute(manager, holder);
    expect(manager.clearPrefixes()).toBe(false);
    manager.free(holder);
    expect(manager.clearPrefixes()).toBe(true);
    expect(manager.match(holderOf(range(0, 9))).count).toBe(0);
    expect(manager.drainEvents().at(-1)).toEqual({ type: 'AllBlocksCleared' });
  });
});

describe('KV events', () => {
  test('say what was stored, after which parent, and what was removed', () => {
    const manager = createManager(3);
    const first = holderOf(range(0, 9));
    compute(manager, first);
    const [stored] = manager.drainEvents();
    expect(stored).toMatchObject({ type: 'BlockStored', parentBlockHash: undefined, blockSize: 4 });
    if (stored?.type !== 'BlockStored') throw new Error('unexpected');
    expect(Array.from(stored.tokenIds)).toEqual(range(0, 8));
    expect(stored.blockHashes).toHaveLength(2);

    const longer = holderOf(range(0, 12));
    manager.free(first);
    compute(manager, longer);
    const [more] = manager.drainEvents();
    expect(more).toMatchObject({ type: 'BlockStored', parentBlockHash: stored.blockHashes[1] });

    manager.free(longer);
    compute(manager, holderOf(range(60, 63)));
    const [removed] = manager.drainEvents();
    if (removed?.type !== 'BlockRemoved' || more?.type !== 'BlockStored') throw new Error('unexpected');
    expect(removed.blockHashes).toEqual(more.blockHashes);
    expect(manager.drainEvents()).toEqual([]);
  });

  test('replayed, they list exactly the blocks that can be found', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(5), { minLength: 1, maxLength: 60 }), (prompts) => {
        const manager = createManager(6);
        const known = new Set<string>();
        for (const prompt of prompts) {
          const holder = holderOf([...range(0, 4), ...range(prompt * 10, prompt * 10 + 9)]);
          compute(manager, holder);
          manager.free(holder);
          for (const event of manager.drainEvents()) {
            if (event.type === 'AllBlocksCleared') known.clear();
            else
              for (const hash of event.blockHashes) {
                const key = Buffer.from(hash).toString('hex');
                expect(known.has(key)).toBe(event.type === 'BlockRemoved');
                if (event.type === 'BlockStored') known.add(key);
                else known.delete(key);
              }
          }
          expect(known.size).toBe(manager.cachedBlocks);
        }
      }),
      { numRuns: 40 },
    );
  });
});

test('whatever is allocated, computed, shared and freed, every block is accounted for once', () => {
  const operation = fc.record({
    kind: fc.constantFrom('add', 'grow', 'fork', 'free'),
    pick: fc.nat(100),
    tokens: fc.array(fc.nat(2), { minLength: 1, maxLength: 30 }),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 80 }), fc.boolean(), (operations, hasPrefixCaching) => {
      const manager = createManager(12, hasPrefixCaching);
      const live: Holder[] = [];
      for (const { kind, pick, tokens } of operations) {
        const existing = live[pick % Math.max(1, live.length)];
        if (kind === 'free' && existing !== undefined) {
          manager.free(existing);
          live.splice(live.indexOf(existing), 1);
        } else if (kind === 'grow' && existing !== undefined && existing.length < existing.tokens.length) {
          const length = existing.length + 1;
          if (manager.allocate(existing, length)) {
            existing.length = length;
            existing.computed = length;
            manager.commit(existing, existing.computed);
          }
        } else {
          const source = kind === 'fork' && existing !== undefined ? existing : undefined;
          const own = Array.from(source?.tokens.subarray(0, source.length) ?? tokens);
          const holder = holderOf([...own, ...new Array<number>(8).fill(1)]);
          holder.length = own.length;
          const shared = manager.match(holder, source, source?.length ?? 0);
          if (manager.allocate(holder, holder.length, shared)) {
            holder.computed = holder.length;
            manager.commit(holder, holder.computed);
            live.push(holder);
          }
        }
        manager.checkIntegrity();
      }
      for (const holder of live) manager.free(holder);
      manager.checkIntegrity();
      expect(manager.freeBlocks).toBe(12);
    }),
    { numRuns: 300 },
  );
});
