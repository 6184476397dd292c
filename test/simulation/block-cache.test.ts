import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockCache } from '../../src/simulation/block-cache.ts';

const capacity = 6;

/** The same cache, slow and plain: evictable blocks in an array, oldest first. */
class PlainCache {
  readonly references = new Map<number, number>();
  evictable: number[] = [];

  matchLength(blocks: readonly number[]): number {
    const missing = blocks.findIndex(
      (block) => !this.references.has(block) && !this.evictable.includes(block),
    );
    return missing < 0 ? blocks.length : missing;
  }

  unreferencedCount(blocks: readonly number[]): number {
    return blocks.filter((block) => !this.references.has(block)).length;
  }

  reference(blocks: readonly number[]): void {
    for (const block of blocks) {
      if (!this.references.has(block) && !this.evictable.includes(block)) {
        if (this.references.size + this.evictable.length === capacity) this.evictable.shift();
      }
      this.evictable = this.evictable.filter((other) => other !== block);
      this.references.set(block, (this.references.get(block) ?? 0) + 1);
    }
  }

  release(blocks: readonly number[]): void {
    for (const block of blocks.toReversed()) {
      const left = this.references.get(block)! - 1;
      if (left > 0) this.references.set(block, left);
      else {
        this.references.delete(block);
        this.evictable.push(block);
      }
    }
  }
}

describe('BlockCache', () => {
  it('agrees with a plain model over any history', () => {
    // Prompts are chains: 0, 1, 2, ... of one of three trees, so that they share prefixes.
    const prompt = fc
      .tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 1, max: 3 }))
      .map(([tree, length]) => Array.from({ length }, (_, i) => 10 * tree + i));
    const operation = fc.oneof(
      prompt.map((blocks) => ({ kind: 'reference' as const, blocks })),
      fc.constant({ kind: 'release' as const }),
      fc.integer({ min: 0, max: capacity }).map((most) => ({ kind: 'shrink' as const, most })),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const cache = new BlockCache(capacity);
        const plain = new PlainCache();
        const held: number[][] = [];
        for (const step of operations) {
          if (step.kind === 'reference') {
            const blocks = Int32Array.from(step.blocks);
            const needed = cache.unreferencedCount(blocks);
            expect(needed).toBe(plain.unreferencedCount(step.blocks));
            expect(cache.matchLength(blocks)).toBe(plain.matchLength(step.blocks));
            if (cache.referencedBlocks + needed > capacity) continue;
            cache.reference(blocks);
            plain.reference(step.blocks);
            held.push(step.blocks);
          } else if (step.kind === 'release') {
            const blocks = held.shift();
            if (blocks === undefined) continue;
            cache.release(Int32Array.from(blocks));
            plain.release(blocks);
          } else {
            cache.shrinkTo(step.most);
            while (plain.evictable.length > 0 && plain.references.size + plain.evictable.length > step.most)
              plain.evictable.shift();
          }
          cache.checkIntegrity();
          expect(cache.referencedBlocks).toBe(plain.references.size);
          expect(cache.evictableBlocks).toBe(plain.evictable.length);
        }
      }),
    );
  });

  it('evicts the tail of a prefix before its head', () => {
    const cache = new BlockCache(4);
    cache.reference(Int32Array.of(1, 2, 3, 4));
    cache.release(Int32Array.of(1, 2, 3, 4));
    cache.shrinkTo(2);
    expect(cache.matchLength(Int32Array.of(1, 2, 3, 4))).toBe(2);
  });

  it('tells what it stores and evicts, and everything when it is cleared', () => {
    const cache = new BlockCache(2);
    const events: string[] = [];
    cache.listener = {
      stored: (block) => events.push(`+${block}`),
      removed: (block) => events.push(`-${block}`),
    };
    cache.reference(Int32Array.of(1, 2));
    cache.release(Int32Array.of(1, 2));
    cache.reference(Int32Array.of(3));
    cache.clear();
    expect(events.slice(0, 4)).toEqual(['+1', '+2', '-2', '+3']);
    expect(events.slice(4).sort()).toEqual(['-1', '-3']);
    expect(cache.matchLength(Int32Array.of(1))).toBe(0);
  });

  it('refuses to release what is not referenced', () => {
    const cache = new BlockCache(2);
    expect(() => cache.release(Int32Array.of(7))).toThrow('block 7 is not referenced');
  });
});
