import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashBlocks } from '../../src/prefix-index/block-hashes.ts';
import { hashRun } from '../../src/prefix-index/hash-run.ts';
import { scanJsonPlainly } from '../../src/protocol/json-reference.ts';
import { scanJson } from '../../src/protocol/json-scan.ts';
import { loadSimdCode, type SimdCode } from '../../src/simd/index.ts';

/** With memory of its own, as small as it begins. */
function freshCode(): SimdCode {
  const { code, fault } = loadSimdCode();
  if (code === undefined) throw new Error(fault);
  return code;
}

const code = freshCode();

describe('the scan in SIMD code', () => {
  it('finds what JavaScript finds in any JSON value, wherever it lies in memory', () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.constantFrom('', ' ', '\t'),
        fc.nat(40),
        fc.nat(20),
        (value, indent, offset, repeats) => {
          const text = JSON.stringify(
            { first: value, filler: 'é'.repeat(repeats * 9), last: [value] },
            null,
            indent,
          );
          const body = Buffer.from(`${'x'.repeat(offset)}${text}`).subarray(offset);
          const found = code.scanJson(body, 256);
          const { start, end, longestString, members } = scanJsonPlainly(body);
          expect(found).toMatchObject({ start, end, longestString, members: members.size });
          expect(scanJson(body)).toEqual(scanJsonPlainly(body));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('refuses every text that is cut short or has one byte more behind it', () => {
    const body = Buffer.from(
      '{"a":["\\u00e9\\"\\\\\\/\\b\\f\\n\\r\\t",-1.5e+7,true,{"b":null}],"c":"0123456789abcdef0123456789"}',
    );
    expect(code.scanJson(body, 256)).toMatchObject({ start: 0, end: body.length });
    for (let end = 0; end < body.length; end++) {
      expect(code.scanJson(body.subarray(0, end), 256), `${end} bytes`).toBeUndefined();
    }
    for (let byte = 0; byte < 256; byte++) {
      const isSpace = [0x20, 0x0a, 0x0d, 0x09].includes(byte);
      const longer = Buffer.concat([body, Buffer.from([byte])]);
      expect(code.scanJson(longer, 256) !== undefined, `byte ${byte}`).toBe(isSpace);
    }
  });

  it('does not see what an earlier and longer body has left in memory', () => {
    code.scanJson(Buffer.from(`"${'a'.repeat(400)}"`), 256);
    for (let length = 0; length < 200; length++) {
      expect(code.scanJson(Buffer.from(`"${'a'.repeat(length)}`), 256), `${length}`).toBeUndefined();
    }
  });

  it('makes room for large bodies, and leaves those above 16 MiB to JavaScript', () => {
    const large = freshCode();
    const bodyOf = (bytes: number) => Buffer.from(JSON.stringify({ model: 'm', prompt: 'x'.repeat(bytes) }));
    for (const bytes of [10, 1 << 20, 5 << 20, 300, 15 << 20]) {
      const body = bodyOf(bytes);
      expect(large.scanJson(body, 256)).toMatchObject({ end: body.length, longestString: bytes + 2 });
    }
    const tooLarge = bodyOf(16 << 20);
    expect(large.scanJson(tooLarge, 256)).toBeUndefined();
    expect(scanJson(tooLarge).members.get('prompt')?.end).toBe(tooLarge.length - 1);
  });

  it('leaves objects of more members than it has room for, and greater depths, to JavaScript', () => {
    const membersOf = (count: number) =>
      Buffer.from(JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, i]))));
    expect(code.scanJson(membersOf(512), 256)?.members).toBe(512);
    expect(code.scanJson(membersOf(513), 256)).toBeUndefined();
    expect(scanJson(membersOf(100_000)).members.size).toBe(100_000);
    const deep = (depth: number) => Buffer.from('['.repeat(depth) + ']'.repeat(depth));
    expect(code.scanJson(deep(1024), 1024)).toMatchObject({ end: 2048 });
    expect(code.scanJson(deep(1025), 1024)).toBeUndefined();
    expect(code.scanJson(deep(1025), 1025)).toBeUndefined();
    expect(scanJson(deep(1025), { maxDepth: 2000 }).end).toBe(2050);
    expect(code.scanJson(Buffer.from('[]'), -1)).toBeUndefined();
  });
});

describe('the hashes in SIMD code', () => {
  const lanes = (length: number) => ({ low: new Uint32Array(length), high: new Uint32Array(length) });

  it('are those of JavaScript, for blocks of whole groups of four words', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 3000 }),
        fc.integer({ min: 1, max: 20 }),
        fc.nat(9),
        fc.integer(),
        (bytes, groups, offset, seed) => {
          const from = Math.min(offset, bytes.length);
          const blockWords = 4 * groups;
          const blocks = Math.floor((bytes.length - from) / (4 * blockWords));
          const plain = { chain: { low: seed, high: ~seed }, ...lanes(blocks + 2) };
          const simd = { chain: { low: seed, high: ~seed }, ...lanes(blocks + 2) };
          hashRun(bytes, from, blocks, blockWords, plain.chain, plain.low, plain.high, 1);
          const isDone = code.hashBlocks(bytes, from, blocks, blockWords, simd.chain, simd.low, simd.high, 1);
          expect(isDone).toBe(true);
          expect(simd).toEqual(plain);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('go on over what is copied at once, in long prompts and in long blocks', () => {
    const bytes = Buffer.from(Array.from({ length: 700_001 }, (_, i) => (i * 2654435761) >>> 13));
    for (const blockTokens of [4, 16, 256, 4096, 32_768, 65_536]) {
      const given = { blockTokens, maxTokens: 1_000_000 };
      const plain = hashBlocks('m', [bytes], given, hashRun);
      expect(plain.count).toBe(Math.floor(700_001 / (4 * blockTokens)));
      expect(hashBlocks('m', [bytes], given)).toEqual(plain);
    }
  });

  it('are left to JavaScript where a block is no group of four words, or too long', () => {
    const none = lanes(0);
    const chain = { low: 0, high: 0 };
    expect(code.hashBlocks(new Uint8Array(0), 0, 0, 6, chain, none.low, none.high, 0)).toBe(false);
    expect(code.hashBlocks(new Uint8Array(0), 0, 0, 40_000, chain, none.low, none.high, 0)).toBe(false);
  });
});
