import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { fileKinds, fuzzFiles } from '../../../bench/fuzz/fuzz-files.ts';
import { loadNative } from '../../../src/engine/native/load.ts';

const fixtures = fileURLToPath(new URL('../../fixtures/', import.meta.url));

describe('2,000 mutated files each work or are refused with a clear message', () => {
  it.each(fileKinds)('%s', { timeout: 120_000 }, (kind) => {
    const native = loadNative();
    const { outcomes, failures } = fuzzFiles({ kind, seed: 1, from: 0, to: 2_000, native, fixtures });
    expect(failures.map(({ index, faults }) => `${index}: ${faults.join('; ')}`)).toEqual([]);
    expect(outcomes.get('refused')).toBeGreaterThan(500);
    expect(outcomes.get('read')).toBeGreaterThan(20);
  });
});
