import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ApproximateIndex } from '../../src/prefix-index/approximate-index.ts';
import type { PrefixHashes } from '../../src/scheduling/inference-request.ts';

/** Hashes of a path in a tree of prompts; many share their low lane, so that look-ups collide. */
const pathIds = new Map<string, number>();
function hashesOf(path: readonly number[]): PrefixHashes {
  const low = new Uint32Array(path.length);
  const high = new Uint32Array(path.length);
  path.forEach((_branch, i) => {
    const prefix = path.slice(0, i + 1).join('/');
    if (!pathIds.has(prefix)) pathIds.set(prefix, pathIds.size + 1);
    low[i] = pathIds.get(prefix)! & 3;
    high[i] = pathIds.get(prefix)!;
  });
  return { count: path.length, low, high, blockTokens: 16 };
}

/** A chain of `length` blocks that shares nothing with those of another number. */
function chain(number: number, length: number): PrefixHashes {
  const low = new Uint32Array(length);
  const high = new Uint32Array(length);
  for (let i = 0; i < length; i++) {
    low[i] = Math.imul(number * 65_536 + i + 1, 0x9e3779b1);
    high[i] = number;
  }
  return { count: length, low, high, blockTokens: 16 };
}

function createIndex(blocksPerEndpoint = 100, maxEndpointSets?: number): ApproximateIndex {
  return new ApproximateIndex({ blockTokens: 16, blocksPerEndpoint, maxEndpointSets });
}

/** The same thing in the plainest way: per slot the block names, newest first, those in use apart. */
class NaiveIndex {
  readonly lists = new Map<number, { capacity: number; used: string[]; free: string[] }>();
  readonly #defaultCapacity: number;

  constructor(defaultCapacity: number) {
    this.#defaultCapacity = defaultCapacity;
  }

  list(slot: number) {
    let list = this.lists.get(slot);
    if (list === undefined) {
      list = { capacity: this.#defaultCapacity, used: [], free: [] };
      this.lists.set(slot, list);
    }
    return list;
  }

  blocks(slot: number): readonly string[] {
    const list = this.lists.get(slot);
    return list === undefined ? [] : [...list.used, ...list.free];
  }

  record(slot: number, path: readonly number[]): void {
    const names = this.#take(slot, path);
    this.list(slot).used.unshift(...names);
    this.#shrink(slot);
  }

  release(slot: number, path: readonly number[]): void {
    const names = this.#take(slot, path);
    this.list(slot).free.unshift(...names);
    this.#shrink(slot);
  }

  setCapacity(slot: number, capacity: number): void {
    this.list(slot).capacity = capacity;
    this.#shrink(slot);
  }

  #take(slot: number, path: readonly number[]): readonly string[] {
    const list = this.list(slot);
    const names = path.map((_branch, i) => path.slice(0, i + 1).join('/')).slice(0, list.capacity);
    list.used = list.used.filter((name) => !names.includes(name));
    list.free = list.free.filter((name) => !names.includes(name));
    return names;
  }

  #shrink(slot: number): void {
    const list = this.list(slot);
    while (list.used.length + list.free.length > list.capacity) {
      (list.free.length > 0 ? list.free : list.used).pop();
    }
  }

  match(slot: number, path: readonly number[]): number {
    const blocks = this.blocks(slot);
    const missing = path.findIndex((_branch, i) => !blocks.includes(path.slice(0, i + 1).join('/')));
    return missing < 0 ? path.length : missing;
  }
}

describe('approximate prefix index', () => {
  it('takes back what was recorded, but not what was there before, nor elsewhere', () => {
    const index = createIndex();
    index.record(0, hashesOf([1, 2]));
    index.record(0, hashesOf([1, 2, 3, 4]));
    index.record(1, hashesOf([1, 2, 3, 4]));
    index.forget(0, hashesOf([1, 2, 3, 4]), 2, 0);
    index.forget(7, hashesOf([1, 2, 3, 4]), 0, 0);
    const match = index.match(hashesOf([1, 2, 3, 4]));
    expect([match.cachedBlocks(0), match.cachedBlocks(1)]).toEqual([2, 4]);
    index.forget(1, hashesOf([1, 2, 3, 4]), 0, 0);
    expect(index.stats()).toMatchObject({ blocks: 2, residencies: 2 });
  });

  it('finds nothing before something was recorded', () => {
    const match = createIndex().match(chain(1, 8));
    expect(match.cachedBlocks(0)).toBe(0);
    expect(match.cachedBlocks(7)).toBe(0);
  });

  it('tells for each endpoint how many leading blocks it holds', () => {
    const index = createIndex();
    index.record(0, hashesOf([1, 2, 3, 4]));
    index.record(1, hashesOf([1, 2, 9]));
    const match = index.match(hashesOf([1, 2, 3, 4, 5]));
    expect([0, 1, 2].map((slot) => match.cachedBlocks(slot))).toEqual([4, 2, 0]);
  });

  it('counts contiguous blocks only: a block after a missing one is of no use', () => {
    const index = createIndex();
    index.record(0, hashesOf([1, 2]));
    const { low, high } = hashesOf([1, 2]);
    const withForeignRoot = { count: 2, low: low.slice(), high: high.slice(), blockTokens: 16 };
    withForeignRoot.high[0] = 999_999;
    expect(index.match(withForeignRoot).cachedBlocks(0)).toBe(0);
  });

  it('evicts the end of the least recently used prompt first, never its root', () => {
    const index = createIndex(8);
    index.record(0, chain(1, 4));
    index.record(0, chain(2, 4));
    index.record(0, chain(3, 2));
    expect(index.match(chain(1, 4)).cachedBlocks(0)).toBe(2);
    expect(index.match(chain(2, 4)).cachedBlocks(0)).toBe(4);
    expect(index.match(chain(3, 2)).cachedBlocks(0)).toBe(2);
  });

  it('evicts no block of a request that runs while there are others, however long ago that began', () => {
    const index = createIndex(8);
    index.record(0, chain(1, 4));
    index.record(0, chain(2, 4));
    index.release(0, chain(2, 4), 0);
    index.record(0, chain(3, 2));
    const cached = () => [1, 2, 3].map((number) => index.match(chain(number, 4)).cachedBlocks(0));
    expect(cached()).toEqual([4, 2, 2]);
    index.release(0, chain(1, 4), 0);
    index.record(0, chain(4, 2));
    expect(cached()).toEqual([4, 0, 2]);
  });

  it('evicts nothing of what another request that runs shares with one that has ended', () => {
    const index = createIndex(8);
    index.record(0, chain(1, 5));
    index.record(0, chain(1, 4));
    index.release(0, chain(1, 5), 4);
    index.record(0, chain(2, 4));
    expect([1, 2].map((number) => index.match(chain(number, 5)).cachedBlocks(0))).toEqual([4, 4]);
    index.release(0, chain(1, 4), 0);
    index.record(0, chain(3, 2));
    expect([1, 2, 3].map((number) => index.match(chain(number, 5)).cachedBlocks(0))).toEqual([2, 4, 2]);
  });

  it('evicts in the order in which requests have ended, not in which they began', () => {
    const index = createIndex(8);
    index.record(0, chain(1, 4));
    index.record(0, chain(2, 4));
    index.release(0, chain(2, 4), 0);
    index.release(0, chain(1, 4), 0);
    index.record(0, chain(3, 4));
    expect([1, 2, 3].map((number) => index.match(chain(number, 4)).cachedBlocks(0))).toEqual([4, 0, 4]);
  });

  it('may evict again what a request that was not served after all had found', () => {
    const index = createIndex(8);
    index.record(0, chain(1, 4));
    index.release(0, chain(1, 4), 0);
    index.record(0, chain(1, 6));
    index.forget(0, chain(1, 6), 4, 0);
    index.record(0, chain(2, 4));
    index.record(0, chain(3, 2));
    expect([1, 2, 3].map((number) => index.match(chain(number, 6)).cachedBlocks(0))).toEqual([2, 4, 2]);
  });

  it('keeps the start of a prompt that is longer than the capacity', () => {
    const index = createIndex(5);
    index.record(0, chain(1, 9));
    expect(index.match(chain(1, 9)).cachedBlocks(0)).toBe(5);
  });

  it('starts a reused slot empty, even while the entries of the one before are still being cleared', () => {
    const index = createIndex(100_000);
    for (let i = 0; i < 20; i++) index.record(3, chain(i, 500));
    index.removeEndpoint(3);
    expect(index.match(chain(5, 500)).cachedBlocks(3)).toBe(0);
    index.record(3, chain(50, 2));
    expect(index.match(chain(5, 500)).cachedBlocks(3)).toBe(0);
    expect(index.match(chain(50, 2)).cachedBlocks(3)).toBe(2);
    for (let i = 0; i < 20; i++) index.record(3, chain(50, 2));
    expect(index.stats().residencies).toBe(2);
    expect(index.stats().blocks).toBe(2);
  });

  it('frees sets of endpoints with the last block that refers to them', () => {
    const index = createIndex(64);
    for (let round = 0; round < 50; round++) {
      for (let slot = 0; slot < 40; slot++) index.record(slot, chain((round * slot) % 7, 10 + (slot % 9)));
    }
    expect(index.stats().endpointSets).toBeLessThanOrEqual(index.stats().blocks);
    for (let slot = 0; slot < 40; slot++) index.removeEndpoint(slot);
    expect(index.stats()).toMatchObject({ blocks: 0, residencies: 0, endpointSets: 0 });
  });

  it('forgets new combinations, and nothing else, when the cap of sets is reached', () => {
    const index = createIndex(100, 2);
    index.record(0, chain(1, 4));
    index.record(1, chain(2, 4));
    index.record(1, chain(1, 4));
    const match = index.match(chain(1, 4));
    expect([match.cachedBlocks(0), match.cachedBlocks(1)]).toEqual([4, 0]);
    expect(index.match(chain(2, 4)).cachedBlocks(1)).toBe(4);
  });

  it('finds and keeps prompts that are longer than a page of its tables, in their order', () => {
    const index = createIndex(25_000);
    const [long, other] = [chain(1, 10_000), chain(2, 7_000)];
    for (const each of [long, other, long, other, long]) index.record(0, each);
    expect(index.match(long).cachedBlocks(0)).toBe(10_000);
    expect(index.match(other).cachedBlocks(0)).toBe(7_000);
    expect(index.counts()).toMatchObject({ admissions: 17_000, evictions: 0 });
    // The oldest go first: the tail of the prompt that was used before the last.
    index.setCapacity(0, 16_900);
    expect(index.match(other).cachedBlocks(0)).toBe(6_900);
    expect(index.match(long).cachedBlocks(0)).toBe(10_000);
  });

  it('keeps its own capacity where engines are not followed', () => {
    const options = { blockTokens: 16, blocksPerEndpoint: 6 };
    const [following, fixed] = [
      new ApproximateIndex(options),
      new ApproximateIndex({ ...options, followsEngines: false }),
    ];
    for (const index of [following, fixed]) {
      index.setCapacity(0, 3);
      index.record(0, chain(1, 8));
    }
    expect(following.match(chain(1, 8)).cachedBlocks(0)).toBe(3);
    expect(fixed.match(chain(1, 8)).cachedBlocks(0)).toBe(6);
  });

  it('takes at most 64 bytes for each block and endpoint, at any size', () => {
    const index = createIndex(1_000_000);
    let next = 0;
    for (const residencies of [50_000, 120_000, 250_000, 400_000]) {
      while (index.stats().residencies < residencies) index.record(next % 8, chain(next++, 250));
      const { bytes, residencies: held } = index.stats();
      expect(bytes / held).toBeLessThan(64);
    }
  });

  const shortPath = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 6 });
  /** One of two long prompts, of which any length is left and one block may be another. */
  const longPath = fc
    .record({ prompt: fc.nat(1), length: fc.integer({ min: 1, max: 60 }), fork: fc.nat(80) })
    .map(({ prompt, length, fork }) =>
      Array.from({ length }, (_, i) => (i === 0 ? prompt : i === fork ? 1 : 0)),
    );

  it.each([
    ['of short prompts', shortPath, 9, 12],
    ['of long prompts that are there in order', longPath, 75, 90],
  ])('agrees with the naive index after any sequence of calls %s', (_name, path, capacity, mostBlocks) => {
    const slot = fc.oneof(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 30, max: 70 }));
    const call = fc.oneof(
      { weight: 10, arbitrary: fc.record({ kind: fc.constant('record' as const), slot, path }) },
      { weight: 8, arbitrary: fc.record({ kind: fc.constant('release' as const), slot, path }) },
      {
        weight: 1,
        arbitrary: fc.record({
          kind: fc.constant('capacity' as const),
          slot,
          blocks: fc.integer({ min: 0, max: mostBlocks }),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), slot }) },
    );
    fc.assert(
      fc.property(fc.array(call, { maxLength: 60 }), fc.array(path, { maxLength: 4 }), (calls, probes) => {
        const index = createIndex(capacity);
        const naive = new NaiveIndex(capacity);
        const seen: (readonly number[])[] = [...probes];
        let matchedBlocks = 0;
        for (const step of calls) {
          if (step.kind === 'record' || step.kind === 'release') {
            index[step.kind](step.slot, hashesOf(step.path), 0);
            naive[step.kind](step.slot, step.path);
            seen.push(step.path);
          } else if (step.kind === 'capacity') {
            index.setCapacity(step.slot, step.blocks);
            naive.setCapacity(step.slot, step.blocks);
          } else {
            index.removeEndpoint(step.slot);
            naive.lists.delete(step.slot);
          }
        }
        for (const probe of seen) {
          const match = index.match(hashesOf(probe));
          const slots = [...naive.lists.keys(), 5, 71];
          expect(slots.map((s) => match.cachedBlocks(s))).toEqual(slots.map((s) => naive.match(s, probe)));
          matchedBlocks += Math.max(...slots.map((s) => naive.match(s, probe)));
        }
        const residencies = [...naive.lists.keys()].reduce((sum, key) => sum + naive.blocks(key).length, 0);
        expect(index.stats().residencies).toBe(residencies);
        const distinct = new Set([...naive.lists.keys()].flatMap((key) => naive.blocks(key)));
        expect(index.stats().blocks).toBe(distinct.size);
        const { lookups, admissions, evictions, ...counts } = index.counts();
        expect([lookups, counts.matchedBlocks]).toEqual([seen.length, matchedBlocks]);
        expect(admissions - evictions).toBe(residencies);
        expect(evictions).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 300 },
    );
  });
});

it('one lookup in 64 is timed, the first among them', () => {
  let nowMs = 0;
  const told: number[] = [];
  const timer = { clock: () => nowMs++, onLookup: (durationMs: number) => void told.push(durationMs) };
  const index = new ApproximateIndex({ blockTokens: 16, blocksPerEndpoint: 9, timer });
  for (let i = 0; i < 129; i++) index.match(chain(1, 3));
  expect(told).toEqual([1, 1, 1]);
});

it('admissions and evictions are of pairs of a block and an endpoint, and what is known is not admitted', () => {
  const index = createIndex(3);
  index.record(0, chain(1, 3));
  index.record(1, chain(1, 3));
  index.record(0, chain(1, 3));
  expect(index.counts()).toMatchObject({ admissions: 6, evictions: 0 });
  index.record(0, chain(2, 2));
  index.removeEndpoint(1);
  expect(index.counts()).toMatchObject({ admissions: 8, evictions: 5 });
});
