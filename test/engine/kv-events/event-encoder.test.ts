import { describe, expect, test } from 'vitest';
import { EventEncoder } from '../../../src/engine/kv-events/event-encoder.ts';
import type { KvEvent } from '../../../src/engine/kv-events/kv-event.ts';
import { MessagePackWriter } from '../../../src/engine/kv-events/message-pack.ts';
import { readMessagePack } from './support/message-pack-reader.ts';

const digest = (last8: string) => Uint8Array.from(Buffer.from(`${'ab'.repeat(24)}${last8}`, 'hex'));
const stored: KvEvent = {
  type: 'BlockStored',
  blockHashes: [digest('ffffffffffffffff'), digest('0000000000000005')],
  parentBlockHash: undefined,
  tokenIds: Int32Array.of(1, 200, 70_000, 151_643),
  blockSize: 2,
  extraKeys: undefined,
};
const nowMs = 1_789_095_808_880;

describe('a batch of events', () => {
  test('is an array of arrays, with hashes as unsigned 64-bit numbers', () => {
    const encoder = new EventEncoder({ encoding: 'array', hashes: 'int' });
    const removed: KvEvent = { type: 'BlockRemoved', blockHashes: [digest('0020000000000001')] };
    const batch = encoder.encode([stored, removed, { type: 'AllBlocksCleared' }], nowMs);
    expect(readMessagePack(batch)).toEqual([
      1_789_095_808.88,
      [
        ['BlockStored', [0xffff_ffff_ffff_ffffn, 5], null, [1, 200, 70_000, 151_643], 2, null, 'GPU'],
        // 2^53 + 1, which no JavaScript number is.
        ['BlockRemoved', [9_007_199_254_740_993n], 'GPU'],
        ['AllBlocksCleared'],
      ],
      0,
    ]);
  });

  test('has events as maps when asked for, and hashes as whole digests', () => {
    const encoder = new EventEncoder({ encoding: 'map', hashes: 'bytes' });
    const parentBlockHash = digest('0000000000000009');
    const batch = encoder.encode([{ ...stored, parentBlockHash }, { type: 'AllBlocksCleared' }], nowMs);
    expect(readMessagePack(batch)).toEqual([
      1_789_095_808.88,
      [
        {
          type: 'BlockStored',
          block_hashes: stored.blockHashes.map((hash) => Buffer.from(hash)),
          parent_block_hash: Buffer.from(parentBlockHash),
          token_ids: [1, 200, 70_000, 151_643],
          block_size: 2,
          lora_id: null,
          medium: 'GPU',
          group_idx: 0,
          kv_cache_spec_kind: 'full_attention',
        },
        { type: 'AllBlocksCleared' },
      ],
      0,
    ]);
  });

  test('names the extra keys of the first block, which its hash includes', () => {
    const encoder = new EventEncoder({ encoding: 'array', hashes: 'int' });
    const [, [event]] = readMessagePack(encoder.encode([{ ...stored, extraKeys: ['salt'] }], nowMs)) as [
      number,
      unknown[][],
    ];
    expect(event!.slice(5)).toEqual([null, 'GPU', null, [['salt'], null]]);
    const adapted = { ...stored, extraKeys: ['sql', 'salt'], adapterKey: 'sql' };
    const [, [other]] = readMessagePack(encoder.encode([adapted], nowMs)) as [number, unknown[][]];
    expect(other!.slice(5)).toEqual([null, 'GPU', 'sql', [['sql', 'salt'], ['sql']]]);
  });
});

test('every MessagePack head has its shortest form, at both ends of its range', () => {
  const sizes = [0, 1, 15, 16, 31, 32, 127, 128, 255, 256, 65_535, 65_536];
  const out = new MessagePackWriter().arrayHead(3 * sizes.length);
  for (const size of sizes) {
    out.unsigned(size).text('x'.repeat(size)).bytes(Buffer.alloc(size));
  }
  const whole = readMessagePack(out.take()) as unknown[];
  expect(whole).toEqual(sizes.flatMap((size) => [size, 'x'.repeat(size), Buffer.alloc(size)]));
  const lengths = [127, 128, 256, 65_536].map(
    (value) => new MessagePackWriter().unsigned(value).take().length,
  );
  expect(lengths).toEqual([1, 2, 3, 5]);
});
