import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import type { EngineCore } from '../../src/engine/engine-core.ts';
import { engineOptionsFromFlags } from '../../src/engine/flags/index.ts';
import { type OpenEngineOptions, openEngine } from '../../src/engine/open-engine.ts';
import { toOpenOptions } from '../../src/engine/to-open-options.ts';
import { emulatedLibrary, hasCompiler } from '../native/cuda/emulated-library.ts';
import { engineRequest, runToEnd } from './support/fake-core.ts';

const inRepository = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const model = inRepository('config/models/pointsman-mini');

const options = (changes: Partial<OpenEngineOptions>): OpenEngineOptions => ({
  ...toOpenOptions({ model, numGpuBlocksOverride: 128, threads: 1, maxModelLen: 256 }, []),
  ...changes,
});

function opened<T>(
  changes: Partial<OpenEngineOptions>,
  use: (opened: ReturnType<typeof openEngine>) => T,
): T {
  const result = openEngine(options(changes));
  try {
    return use(result);
  } finally {
    result.core.close();
  }
}

describe('--device on a machine without a GPU', () => {
  const missing = join(tmpdir(), 'no', 'pointsman_cuda.so');

  it('auto: runs on the CPU and says why', () => {
    opened({ device: 'auto', cudaLibrary: missing }, ({ info }) => {
      expect(info).toMatchObject({ device: 'cpu', deviceName: undefined });
      expect(info.deviceFallbackReason).toMatch(
        /the CUDA library is not built: .* run `npm run build -- --cuda`/,
      );
    });
  });

  it('cpu: does not look for a GPU', () => {
    opened({ device: 'cpu', cudaLibrary: missing }, ({ info }) => {
      expect(info).toMatchObject({ device: 'cpu', deviceFallbackReason: undefined });
    });
  });

  it('cuda: fails and says why', () => {
    expect(() => openEngine(options({ device: 'cuda', cudaLibrary: missing }))).toThrow(
      /^--device cuda: the CUDA library is not built/,
    );
    const folder = mkdtempSync(join(tmpdir(), 'pointsman-'));
    const text = join(folder, 'pointsman_cuda.so');
    copyFileSync(inRepository('package.json'), text);
    expect(() => openEngine(options({ device: 'cuda', cudaLibrary: text }))).toThrow(
      /^--device cuda: it cannot be opened: .*invalid ELF header/,
    );
  });

  it('cpu: waits for each step unless told otherwise', () => {
    opened({ device: 'cpu' }, ({ info }) => expect(info.hasAsyncScheduling).toBe(false));
    opened({ device: 'cpu', asyncScheduling: true }, ({ info }) =>
      expect(info.hasAsyncScheduling).toBe(true),
    );
  });

  it('refuses an fp8 cache on the CPU', () => {
    expect(() => openEngine(options({ device: 'cpu', kvCacheDtype: 'F8_E4M3' }))).toThrow(
      /fp8 is for GPUs; on a CPU use int8/,
    );
  });

  it('refuses fp8 weights on the CPU', () => {
    expect(() => openEngine(options({ device: 'cpu', weightDtype: 'F8_E4M3' }))).toThrow(
      /--quantization fp8 is for GPUs; on a CPU use int8/,
    );
    expect(toOpenOptions({ model, quantization: 'fp8' }, []).weightDtype).toBe('F8_E4M3');
    expect(toOpenOptions({ model, quantization: 'int8' }, []).weightDtype).toBe('I8');
  });

  it('is read from the command line', () => {
    expect(engineOptionsFromFlags('m', { device: 'cuda', 'kv-cache-dtype': 'fp8' })).toMatchObject({
      device: 'cuda',
      kvCacheDtype: 'fp8',
    });
    expect(engineOptionsFromFlags('m', { 'async-scheduling': false })).toMatchObject({
      asyncScheduling: false,
    });
    expect(() => engineOptionsFromFlags('m', { device: 'tpu' })).toThrow(
      '--device must be one of auto, cpu, cuda',
    );
  });
});

// The real library, if it is built: without a driver it opens and says so.
const realLibrary = inRepository('build/pointsman_cuda.so');
describe.skipIf(!existsSync(realLibrary) || spawnSync('nvidia-smi').status === 0)(
  'the CUDA library without a driver',
  () => {
    it('loads and names what is missing', () => {
      expect(() => openEngine(options({ device: 'cuda', cudaLibrary: realLibrary }))).toThrow(
        /^--device cuda: this machine has no NVIDIA driver$/,
      );
    });
  },
);

describe.skipIf(!hasCompiler)('an engine on the emulated GPU', () => {
  let cudaLibrary: string;
  beforeAll(async () => {
    cudaLibrary = await emulatedLibrary();
  }, 600_000);

  it('plans its memory from the GPU and tells what it runs on', () => {
    opened(
      { device: 'auto', cudaLibrary, numGpuBlocksOverride: undefined, gpuMemoryUtilization: 0.9 },
      ({ info }) => {
        expect(info).toMatchObject({
          device: 'cuda',
          deviceName: 'emulated on the CPU',
          deviceFallbackReason: undefined,
        });
        const { weights, kvCache, scratch } = info.memory;
        expect(kvCache).toBe(info.blocks * 6 * 2 * 16 * 2 * 64 * 2);
        expect(weights + kvCache + scratch).toBeLessThan(0.9 * 2 ** 30);
      },
    );
    const blocksWith = (weightDtype: 'BF16' | 'F8_E4M3') =>
      opened(
        { device: 'cuda', cudaLibrary, numGpuBlocksOverride: undefined, maxModelLen: 16, weightDtype },
        ({ info }) => info.blocks,
      );
    expect(blocksWith('F8_E4M3')).toBeGreaterThan(blocksWith('BF16'));
    const tooMuch = {
      device: 'cuda' as const,
      cudaLibrary,
      numGpuBlocksOverride: undefined,
      gpuMemoryUtilization: 0.1,
    };
    expect(() => openEngine(options(tooMuch))).toThrow(
      /nothing is left for the KV cache .* raise --gpu-memory-utilization/,
    );
  });

  it('leaves to the CPU what the GPU cannot run, with auto, and refuses it otherwise', () => {
    opened({ device: 'auto', cudaLibrary, weightDtype: 'F32' }, ({ info }) => {
      expect(info.device).toBe('cpu');
      expect(info.deviceFallbackReason).toMatch(/cannot run this model: it holds weights as bfloat16/);
    });
    expect(() => openEngine(options({ device: 'cuda', cudaLibrary, weightDtype: 'F32' }))).toThrow(
      /^--device cuda: the CUDA backend cannot run this model: .*, or use --device cpu$/,
    );
  });

  it('has two steps in flight unless told otherwise, and writes what it writes with one, bit for bit', () => {
    const [one, two] = [false, undefined].map((asyncScheduling) =>
      opened({ device: 'cuda', cudaLibrary, asyncScheduling, hasPrefixCaching: false }, ({ core, info }) => ({
        isAsync: info.hasAsyncScheduling,
        tokens: answers(core, 4),
      })),
    );
    expect(one!.isAsync).toBe(false);
    expect(two!.isAsync).toBe(true);
    expect(two!.tokens).toEqual(one!.tokens);
  }, 300_000);

  it('writes what the CPU writes, greedily, in a batch that joins, ends and is preempted', () => {
    const [expected, found] = (['cpu', 'cuda'] as const).map((device) =>
      opened({ device, cudaLibrary, numGpuBlocksOverride: 24 }, ({ core }) => answers(core)),
    );
    expect(found!.size).toBe(expected!.size);
    for (const [id, tokens] of expected!) {
      const other = found!.get(id)!;
      expect(other).toHaveLength(tokens.length);
      const at = tokens.findIndex(({ tokenId }, i) => other[i]!.tokenId !== tokenId);
      // Where they part, the CPU found the two tokens all but equally likely.
      if (at >= 0) expect(tokens[at]!.margin).toBeLessThan(0.05);
    }
    const parted = [...expected!].filter(([id, tokens]) =>
      tokens.some(({ tokenId }, i) => found!.get(id)![i]!.tokenId !== tokenId),
    );
    expect(parted.length).toBeLessThan(expected!.size / 4);
  }, 300_000);
});

interface Token {
  readonly tokenId: number;
  /** Log-probability of the best over that of the second best. */
  readonly margin: number;
}

function answers(core: EngineCore, requests = 10): Map<number, Token[]> {
  for (let id = 0; id < requests; id++) {
    const prompt = Array.from({ length: 4 + id * 9 }, (_, i) => 3 + ((id * 31 + i * i * 7) % 1500));
    core.add(engineRequest({ id, prompt, maxTokens: 8, ignoreEos: true, temperature: 0, logprobs: 2 }));
  }
  const all = new Map<number, Token[]>();
  for (const { requestId, tokenId, logprobs } of runToEnd(core)) {
    const [best, second] = logprobs!.topLogprobs;
    const margin = best! - second!;
    all.set(requestId, [...(all.get(requestId) ?? []), { tokenId, margin }]);
  }
  return all;
}
