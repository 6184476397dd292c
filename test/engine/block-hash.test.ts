import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { BlockHasher, rootDigest } from '../../src/engine/block-hash.ts';

const sha256 = (hex: string) => createHash('sha256').update(Buffer.from(hex, 'hex')).digest('hex');
const hex = (digest: Uint8Array | string) =>
  (typeof digest === 'string' ? Buffer.from(digest, 'latin1') : Buffer.from(digest)).toString('hex');

test('the root is the hash of the seed as a CBOR text string', () => {
  // CBOR of "42" is 62 34 32.
  expect(hex(rootDigest('42'))).toBe(sha256('623432'));
});

test('a block is hashed as the canonical CBOR of [parent, tokens, null]', () => {
  const parent = rootDigest('42');
  const digest = new BlockHasher(4).digest(parent, Int32Array.of(9, 23, 24, 500), 0, undefined);
  expect(hex(digest)).toBe(sha256(`835820${hex(parent)}84 09 17 1818 1901f4 f6`.replaceAll(' ', '')));
});

test('tokens above 65535 and a cache salt are encoded in their shortest form', () => {
  const parent = rootDigest('');
  const digest = new BlockHasher(2).digest(parent, Int32Array.of(0, 65536, 151643), 1, ['salt']);
  expect(hex(digest)).toBe(
    sha256(`835820${hex(parent)}82 1a00010000 1a0002505b 81 6473616c74`.replaceAll(' ', '')),
  );
});

test('blocks of 32 tokens get a two-byte array head', () => {
  const parent = rootDigest('x');
  const digest = new BlockHasher(32).digest(parent, new Int32Array(32), 0, undefined);
  expect(hex(digest)).toBe(sha256(`835820${hex(parent)}9820${'00'.repeat(32)}f6`));
});
