import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';

const body = Buffer.from(JSON.stringify({ model: 'm', prompt: 'one and another '.repeat(100) }));
const prompt = [body.subarray(20)];
const options = { blockTokens: 16, maxTokens: 1000 };

/** What a process finds that has just started. */
async function freshProcess() {
  vi.resetModules();
  const { scanJson } = await import('../../src/protocol/json-scan.ts');
  const { hashBlocks } = await import('../../src/prefix-index/block-hashes.ts');
  return { scanJson, hashBlocks, ...(await import('../../src/simd/index.ts')) };
}

describe('SIMD code that cannot be had', () => {
  afterEach(() => vi.unstubAllGlobals());

  it('is replaced by JavaScript with the same results, and a reason', async () => {
    const having = await freshProcess();
    expect(having.simdFault()).toBeUndefined();
    vi.stubGlobal('WebAssembly', undefined);
    const lacking = await freshProcess();
    expect(lacking.scanJson(body)).toEqual(having.scanJson(body));
    expect(lacking.hashBlocks('m', prompt, options)).toEqual(having.hashBlocks('m', prompt, options));
    expect(lacking.simdCode()).toBeUndefined();
    expect(lacking.simdFault()).toBe('this Node runs without WebAssembly');
  });

  it('is named with what to do where it was not built', async () => {
    const { loadSimdCode } = await freshProcess();
    expect(loadSimdCode('/nowhere/simd.wasm').fault).toBe(
      '/nowhere/simd.wasm does not exist; run `npm run build`',
    );
  });

  it('is named with the reason where it is no module', async () => {
    const { loadSimdCode } = await freshProcess();
    const file = join(mkdtempSync(join(tmpdir(), 'pointsman-simd-')), 'simd.wasm');
    writeFileSync(file, 'not a module');
    const { code, fault } = loadSimdCode(file);
    expect(code).toBeUndefined();
    expect(fault).toMatch(/^.*simd\.wasm does not load: .*magic/);
  });
});
