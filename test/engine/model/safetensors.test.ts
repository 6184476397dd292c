import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CheckpointError } from '../../../src/engine/model/checkpoint-error.ts';
import { readHeader, readSafetensors } from '../../../src/engine/model/safetensors.ts';

const scratch = mkdtempSync(join(tmpdir(), 'pointsman-safetensors-'));
afterAll(() => rmSync(scratch, { recursive: true }));
let files = 0;

/** A file with the given header object or text and `dataBytes` zeros. */
function write(header: unknown, dataBytes: number, file = join(scratch, `${files++}.safetensors`)): string {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(file, Buffer.concat([length, text, Buffer.alloc(dataBytes)]));
  return file;
}

const entry = (dtype: string, shape: readonly number[], start: number, end: number) => ({
  dtype,
  shape,
  data_offsets: [start, end],
});

describe('the header of a file', () => {
  it('gives name, dtype, shape and the byte where each tensor starts', () => {
    const header = {
      __metadata__: { format: 'pt' },
      a: entry('F32', [2, 3], 0, 24),
      b: entry('BF16', [4], 24, 32),
    };
    const file = write(header, 32);
    const start = 8 + JSON.stringify(header).length;
    expect(readHeader(file)).toEqual([
      { name: 'a', dtype: 'F32', shape: [2, 3], file: 0, offset: start },
      { name: 'b', dtype: 'BF16', shape: [4], file: 0, offset: start + 24 },
    ]);
  });

  it.each<readonly [RegExp, unknown, number]>([
    [/not valid JSON/, '{"a": ', 0],
    [/expected a JSON object/, '[1]', 0],
    [/unknown dtype 'F31'/, { a: entry('F31', [1], 0, 4) }, 4],
    [/shape should be a list of integers/, { a: { dtype: 'F32', shape: [-1], data_offsets: [0, 4] } }, 4],
    [/data_offsets should be two increasing/, { a: entry('F32', [1], 4, 0) }, 8],
    [/takes 8 bytes, but spans 4/, { a: entry('F32', [2], 0, 4) }, 4],
    [/truncated: a ends at byte/, { a: entry('F32', [2], 0, 8) }, 7],
    [/a and b overlap/, { a: entry('F32', [2], 0, 8), b: entry('F32', [1], 4, 8) }, 8],
  ])('is refused: %s', (message, header, bytes) => {
    expect(() => readHeader(write(header, bytes))).toThrow(message);
    expect(() => readHeader(write(header, bytes))).toThrow(CheckpointError);
  });

  it.each([0, 5, 8])('is refused when the file has %i bytes', (bytes) => {
    const file = join(scratch, `${files++}.safetensors`);
    writeFileSync(file, Buffer.alloc(bytes, 0xff));
    expect(() => readHeader(file)).toThrow(/not a safetensors file, or is truncated/);
  });
});

describe('a folder', () => {
  const folder = (name: string) => {
    const path = join(scratch, name);
    mkdirSync(path);
    return path;
  };

  it('without weights is refused with what to do', () => {
    expect(() => readSafetensors(folder('empty'))).toThrow(/--load-format dummy/);
  });

  it('of shards is read through its index', () => {
    const path = folder('shards');
    write({ a: entry('F32', [1], 0, 4) }, 4, join(path, 'x-1.safetensors'));
    write({ b: entry('F32', [1], 0, 4) }, 4, join(path, 'x-2.safetensors'));
    const index = (map: object) =>
      writeFileSync(join(path, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
    index({ a: 'x-1.safetensors', b: 'x-2.safetensors' });
    const { files: shards, tensors } = readSafetensors(path);
    expect(shards).toHaveLength(2);
    expect([...tensors.values()].map(({ name, file }) => [name, file])).toEqual([
      ['a', 0],
      ['b', 1],
    ]);
    index({ a: 'x-1.safetensors', b: 'x-3.safetensors' });
    expect(() => readSafetensors(path)).toThrow(/x-3\.safetensors, which is missing/);
    index({ a: 'x-1.safetensors', c: 'x-2.safetensors' });
    expect(() => readSafetensors(path)).toThrow(/promises c in x-2\.safetensors/);
    index({ a: '../x-1.safetensors' });
    expect(() => readSafetensors(path)).toThrow(/not a file in the folder/);
  });
});
