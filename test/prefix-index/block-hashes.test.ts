import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashBlocks } from '../../src/prefix-index/block-hashes.ts';

const options = { blockTokens: 4, maxTokens: 1_000_000 };
const keysOf = (seed: string, parts: readonly Uint8Array[], given = options): string[] => {
  const { low, high, count } = hashBlocks(seed, parts, given);
  return Array.from({ length: count }, (_, i) => `${high[i]}:${low[i]}`);
};

describe('hashes of blocks', () => {
  it('are one for each full block', () => {
    for (const [bytes, blocks] of [
      [0, 0],
      [15, 0],
      [16, 1],
      [31, 1],
      [32, 2],
    ] as const) {
      expect(keysOf('m', [Buffer.alloc(bytes)])).toHaveLength(blocks);
    }
  });

  it('stop at the number of tokens asked for', () => {
    expect(keysOf('m', [Buffer.alloc(1600)], { blockTokens: 4, maxTokens: 43 })).toHaveLength(10);
  });

  it('do not depend on where the text is cut, nor on its alignment in memory', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.array(fc.nat(300), { maxLength: 6 }),
        fc.integer({ min: 1, max: 9 }),
        fc.nat(7),
        (bytes, cuts, blockTokens, offset) => {
          const shifted = Buffer.concat([Buffer.alloc(offset), bytes]).subarray(offset);
          const at = [0, ...cuts.filter((cut) => cut <= bytes.length).sort((a, b) => a - b), bytes.length];
          const parts = at.slice(1).map((end, i) => shifted.subarray(at[i], end));
          const given = { blockTokens, maxTokens: 10_000 };
          expect(keysOf('m', parts, given)).toEqual(keysOf('m', [bytes], given));
        },
      ),
    );
  });

  it('agree exactly as far as the texts agree', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 64, maxLength: 200 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (bytes, where, flip) => {
          const at = where % (bytes.length - (bytes.length % 16));
          const other = Uint8Array.from(bytes);
          other[at] = other[at]! ^ flip;
          const left = keysOf('m', [bytes]);
          const right = keysOf('m', [other]);
          const common = Math.floor(at / 16);
          expect(left.slice(0, common)).toEqual(right.slice(0, common));
          for (let i = common; i < left.length; i++) expect(left[i]).not.toBe(right[i]);
        },
      ),
    );
  });

  it('differ between seeds and between block sizes', () => {
    const text = [Buffer.from('the same text for all of them, long enough for two blocks')];
    const all = [
      keysOf('model-a', text)[0],
      keysOf('model-b', text)[0],
      keysOf('', text)[0],
      keysOf('model-a', text, { blockTokens: 5, maxTokens: 100 })[0],
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  it('flip half of their bits when one bit of the text flips', () => {
    const bytes = Buffer.alloc(16, 'abcd');
    const base = hashBlocks('m', [bytes], options);
    let flipped = 0;
    for (let bit = 0; bit < 128; bit++) {
      const other = Buffer.from(bytes);
      other[bit >> 3] = other[bit >> 3]! ^ (1 << (bit & 7));
      const hashes = hashBlocks('m', [other], options);
      flipped += bitCount(hashes.low[0]! ^ base.low[0]!) + bitCount(hashes.high[0]! ^ base.high[0]!);
    }
    expect(flipped / 128).toBeGreaterThan(30);
    expect(flipped / 128).toBeLessThan(34);
  });

  it('do not collide in either lane more than chance has it, on texts that differ little', () => {
    const lows = new Set<number>();
    const highs = new Set<number>();
    const texts = 200_000;
    const bytes = Buffer.alloc(16);
    for (let i = 0; i < texts; i++) {
      bytes.writeUInt32LE(i, 4 * (i & 3));
      bytes.writeInt32LE(Math.imul(i, 0x10001), 4 * ((i + 1) & 3));
      const { low, high } = hashBlocks('m', [bytes], options);
      lows.add(low[0]!);
      highs.add(high[0]!);
    }
    // 200,000 random values of 32 bits have 4.7 collisions on average.
    expect(texts - lows.size).toBeLessThan(20);
    expect(texts - highs.size).toBeLessThan(20);
  });
});

function bitCount(value: number): number {
  let count = 0;
  for (let rest = value; rest !== 0; rest &= rest - 1) count++;
  return count;
}
