import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTrace, shippedTracePath } from '../../src/simulation/trace-file.ts';

describe('trace files', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'traces-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const written = (name: string, content: string | Buffer): string => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };

  it.each([
    ['conversation', 12_031, 12_035, 343],
    ['synthetic', 3993, 15_325, 149],
    ['azureCode', 8819, 2048, 28],
    ['azureConversation', 19_366, 1155, 211],
  ] as const)(
    'ships the %s trace with the statistics of its README',
    (name, count, promptMean, outputMean) => {
      const entries = readTrace(shippedTracePath(name));
      const mean = (values: readonly number[]) =>
        values.reduce((sum, value) => sum + value, 0) / values.length;
      expect(entries.length).toBe(count);
      expect(Math.round(mean(entries.map((entry) => entry.promptTokens)))).toBe(promptMean);
      expect(Math.abs(mean(entries.map((entry) => entry.outputTokens)) - outputMean)).toBeLessThan(1);
    },
  );

  it('reads JSON Lines, plain or gzip, in order of time', () => {
    const text =
      '{"timestamp":9,"input_length":600,"output_length":0,"hash_ids":[4,5]}\n{"timestamp":2,"input_length":3,"output_length":8,"hash_ids":[4]}\n';
    const expected = [
      { timestampMs: 2, promptTokens: 3, outputTokens: 8, blockIds: [4] },
      { timestampMs: 9, promptTokens: 600, outputTokens: 1, blockIds: [4, 5] },
    ];
    expect(readTrace(written('a.jsonl', text))).toEqual(expected);
    expect(readTrace(written('a.jsonl.gz', gzipSync(text)))).toEqual(expected);
  });

  it('keeps the stamps of CSV traces to a tenth of a microsecond', () => {
    const path = written(
      'a.csv',
      'TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.0319600,1,2\r\n',
    );
    const [first, second] = readTrace(path);
    expect(second!.timestampMs - first!.timestampMs).toBeCloseTo(52, 3);
    expect(first).toMatchObject({ promptTokens: 4808, outputTokens: 10, blockIds: undefined });
  });

  it('names the line that is wrong', () => {
    const path = written(
      'bad.jsonl',
      '{"timestamp":1,"input_length":5,"output_length":5}\n{"timestamp":"x"}\n',
    );
    expect(() => readTrace(path)).toThrow(/line 2: expected a line \{"timestamp"/);
    expect(() => readTrace(written('empty.jsonl', ''))).toThrow('expected at least one request');
  });
});
