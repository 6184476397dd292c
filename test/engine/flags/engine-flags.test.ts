import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  engineFlags,
  engineOptionsFromFlags,
  flagsNotServed,
  flagsWithoutMeaning,
} from '../../../src/engine/flags/index.ts';
import { planKvCache } from '../../../src/engine/kv-cache-size.ts';
import { toOpenOptions } from '../../../src/engine/to-open-options.ts';

describe('flags', () => {
  test('are each declared once, whether served, refused or passed over', () => {
    const names = [
      ...engineFlags.map(({ name }) => name),
      ...flagsWithoutMeaning,
      ...Object.keys(flagsNotServed),
    ];
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });

  test('have kebab-case names, each with a default of its type and a sentence of help', () => {
    for (const flag of engineFlags) {
      expect(flag.name).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect(flag.help).toMatch(/\.$/);
      if (flag.default !== undefined)
        expect(() => engineOptionsFromFlags('m', { [flag.name]: String(flag.default) })).not.toThrow();
    }
    expect(new Set(engineFlags.map(({ name }) => name)).size).toBe(engineFlags.length);
  });

  test('become options; sizes take suffixes, lists take commas', () => {
    expect(
      engineOptionsFromFlags('/m', {
        'max-model-len': '4k',
        'kv-cache-memory-bytes': '2G',
        'served-model-name': 'a,b',
        'enable-prefix-caching': false,
        port: '0',
        'gpu-memory-utilization': '0.5',
      }),
    ).toEqual({
      model: '/m',
      maxModelLen: 4000,
      kvCacheMemoryBytes: 2 ** 31,
      servedModelName: ['a', 'b'],
      enablePrefixCaching: false,
      port: 0,
      gpuMemoryUtilization: 0.5,
    });
  });

  test('with several values may be JSON, as vLLM reads --allowed-origins', () => {
    const list = (value: string) => engineOptionsFromFlags('/m', { 'allowed-origins': value }).allowedOrigins;
    expect(list('["http://one", "http://two"]')).toEqual(['http://one', 'http://two']);
    expect(list('http://one,http://two')).toEqual(['http://one', 'http://two']);
  });

  test('with several values may hold numbers and objects in YAML', () => {
    const values = { 'served-model-name': 7, 'lora-modules': [{ name: 'a', path: '/x' }, 'b=/y'] };
    expect(engineOptionsFromFlags('/m', values)).toEqual({
      model: '/m',
      servedModelName: ['7'],
      loraModules: ['{"name":"a","path":"/x"}', 'b=/y'],
    });
  });

  test('that are wrong are all named at once', () => {
    const wrong = () => engineOptionsFromFlags('/m', { port: 'x', dtype: 'int3', 'max-num-seqs': -1 });
    expect(wrong).toThrow(/--port must be a whole number, got "x"/);
    expect(wrong).toThrow(/--dtype must be one of auto, bfloat16/);
    expect(wrong).toThrow(/--max-num-seqs/);
  });

  test.each([
    ['max-num-seqs', '0', /must be 1 or more, got "0"/],
    ['threads', '0', /must be 1 or more/],
    ['gpu-memory-utilization', '7', /must be at most 1, got "7"/],
    ['port', '70000', /must be at most 65535/],
    ['kv-cache-memory-bytes', '1000T', /or one such as 4k, 512M or 2G, got "1000T"/],
    ['api-key', '', /^--api-key must be texts separated by commas; one of them is empty$/],
    ['api-key', 'one,', /^--api-key must be texts separated by commas; one of them is empty$/],
    ['served-model-name', '[]', /one of them is empty/],
  ])('--%s %s is refused', (name, value, reason) => {
    expect(() => engineOptionsFromFlags('/m', { [name]: value })).toThrow(reason);
  });

  test('come from a YAML file, too; the command line goes before it', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'pointsman-flags-')), 'engine.yaml');
    const read = (yaml: string, values: Record<string, string> = {}) => {
      writeFileSync(file, yaml);
      return engineOptionsFromFlags('/m', { config: file, ...values });
    };
    const yaml =
      'max-model-len: 4k\nport: 9000\nenable_lora: true\nserved-model-name: [a, b]\nenforce-eager: true\n';
    expect(read(yaml, { port: '9001' })).toEqual({
      model: '/m',
      config: file,
      maxModelLen: 4000,
      port: 9001,
      enableLora: true,
      servedModelName: ['a', 'b'],
    });
    expect(() => read('ports: 1')).toThrow(
      /--config .*engine\.yaml cannot be used: it has unknown flags: ports/,
    );
    expect(() => read('- a')).toThrow(/it must hold flags by name/);
    expect(() => read('port: x')).toThrow(/--port must be a whole number/);
    expect(() => engineOptionsFromFlags('/m', { config: '/nowhere' })).toThrow(
      /--config \/nowhere cannot be used/,
    );
  });

  test('of parallelism know 1 only', () => {
    expect(engineOptionsFromFlags('/m', { 'tensor-parallel-size': '1' })).toMatchObject({
      tensorParallelSize: 1,
    });
    expect(() => engineOptionsFromFlags('/m', { 'tensor-parallel-size': '2' })).toThrow(
      /--tensor-parallel-size must be one of 1/,
    );
  });

  test('of vLLM that would be missed are refused with what to do instead', () => {
    expect(() => engineOptionsFromFlags('/m', { kvTransferConfig: '{}', 'root-path': '/x' })).toThrow(
      /--kv-transfer-config: this engine hands no KV blocks to others[\s\S]*--root-path: this engine serves at the root/,
    );
    expect(
      Object.keys(flagsNotServed).filter((name) => engineFlags.some((flag) => flag.name === name)),
    ).toEqual([]);
  });

  test('leave the length of sequences open where they say auto', () => {
    for (const value of ['auto', '-1', -1])
      expect(engineOptionsFromFlags('/m', { 'max-model-len': value })).toEqual({ model: '/m' });
  });

  test('leave defaults that fit together', () => {
    expect(toOpenOptions({ model: '/m' }, [])).toMatchObject({
      blockSize: 16,
      maxNumSeqs: 256,
      maxNumBatchedTokens: 2048,
      hasPrefixCaching: true,
      hasChunkedPrefill: true,
      policy: 'fcfs',
    });
    expect(toOpenOptions({ model: '/m', maxNumBatchedTokens: 64 }, []).maxNumSeqs).toBe(64);
    expect(() => toOpenOptions({ model: '/m', blockSize: 32 }, [])).toThrow(/block_size must be 16/);
  });
});

describe('the KV cache', () => {
  const request = {
    blockBytes: 2 ** 20,
    blockSize: 16,
    modelMaxLen: 4096,
    maxModelLen: undefined,
    numGpuBlocksOverride: undefined,
    kvCacheMemoryBytes: undefined,
    gpuMemoryUtilization: undefined,
    freeBytes: 8 * 2 ** 30,
  };

  test('is sized by blocks, by bytes, by part of the free memory, or carefully', () => {
    expect(planKvCache({ ...request, numGpuBlocksOverride: 300 }).blocks).toBe(300);
    expect(planKvCache({ ...request, kvCacheMemoryBytes: 2 ** 30 }).blocks).toBe(1024);
    expect(planKvCache({ ...request, gpuMemoryUtilization: 0.5 }).blocks).toBe(4096);
    expect(planKvCache(request).blocks).toBe(2048);
    expect(planKvCache({ ...request, blockBytes: 16 }).blocks).toBe(16_384);
  });

  test('shortens the context that the model allows, and refuses one that was asked for', () => {
    expect(planKvCache({ ...request, numGpuBlocksOverride: 10 })).toEqual({ blocks: 10, maxModelLen: 160 });
    expect(() => planKvCache({ ...request, numGpuBlocksOverride: 10, maxModelLen: 200 })).toThrow(
      /room for 160 tokens.*max_model_len 200 needs 13\.0 MiB/,
    );
    expect(() => planKvCache({ ...request, maxModelLen: 5000 })).toThrow(/more than the 4096 tokens/);
    expect(() => planKvCache({ ...request, kvCacheMemoryBytes: 10 })).toThrow(/room for 0 tokens/);
    expect(() => planKvCache({ ...request, kvCacheMemoryBytes: 9 * 2 ** 30 })).toThrow(
      /would take 9216\.0 MiB, and 8192\.0 MiB are free: lower --kv-cache-memory-bytes/,
    );
  });
});
