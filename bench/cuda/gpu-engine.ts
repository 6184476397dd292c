import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EngineCore } from '../../src/engine/engine-core.ts';
import { openEngine } from '../../src/engine/open-engine.ts';
import { defaultSamplingParams } from '../../src/engine/sampling-params.ts';
import { toOpenOptions } from '../../src/engine/to-open-options.ts';
import { configOf, type Shape } from '../engine/shapes.ts';

export interface Sizes {
  readonly maxNumBatchedTokens: number;
  readonly maxNumSeqs: number;
  /** As many as fit, unless given. */
  readonly blocks?: number;
  readonly hasPrefixCaching?: boolean;
  /** Instead of the package's own. */
  readonly library?: string | undefined;
  /** Of the library, if not the best ones. */
  readonly kernels?: string | undefined;
}

const maxModelLen = 40_960;

/** The engine without HTTP on a GPU, with random weights of a shape. */
export class GpuEngine {
  readonly core: EngineCore;
  readonly deviceName: string | undefined;
  readonly #vocabSize: number;
  #requests = 0;

  constructor(shape: Shape, sizes: Sizes) {
    const model = join(tmpdir(), 'pointsman-bench-cuda', shape.name);
    mkdirSync(model, { recursive: true });
    const config = { ...configOf(shape), max_position_embeddings: maxModelLen };
    writeFileSync(join(model, 'config.json'), JSON.stringify(config));
    const options = toOpenOptions(
      {
        model,
        device: 'cuda',
        loadFormat: 'dummy',
        threads: availableParallelism(),
        maxNumBatchedTokens: sizes.maxNumBatchedTokens,
        maxNumSeqs: sizes.maxNumSeqs,
        enablePrefixCaching: sizes.hasPrefixCaching ?? false,
        ...(sizes.blocks === undefined ? {} : { numGpuBlocksOverride: sizes.blocks }),
      },
      [],
    );
    const opened = openEngine({
      ...options,
      ...(sizes.library === undefined ? {} : { cudaLibrary: sizes.library }),
      cudaKernels: sizes.kernels,
    });
    this.core = opened.core;
    this.deviceName = opened.info.deviceName;
    this.#vocabSize = opened.info.vocabSize;
  }

  /** Tokens of request `seed` from `start` on. */
  tokens(seed: number, length: number, start = 0): Int32Array {
    const usable = this.#vocabSize - 300;
    return Int32Array.from({ length }, (_, i) => 300 + (((start + i) * 7919 + seed * 104_729) % usable));
  }

  /** Adds a greedy request that ends at `maxTokens`; returns its id. */
  add(promptTokens: Int32Array, maxTokens: number): number {
    const id = this.#requests++;
    const sampling = { ...defaultSamplingParams, temperature: 0, maxTokens, ignoreEos: true };
    this.core.add({ id, promptTokens, choices: 1, priority: 0, cacheSalt: undefined, sampling });
    return id;
  }

  /** Steps until nothing is left; the number of tokens. */
  drain(): number {
    let tokens = 0;
    while (this.core.hasWork) tokens += this.core.step().length;
    return tokens;
  }

  /** Tokens per second of one prompt, up to its first output token. */
  prefill(tokens: number): number {
    this.add(this.tokens(this.#requests, tokens), 1);
    const startMs = performance.now();
    this.drain();
    return (1000 * tokens) / (performance.now() - startMs);
  }

  /** Tokens per second of decoding `steps` tokens of `batch` sequences with prompts of `promptTokens`. */
  decode(batch: number, promptTokens: number, steps: number): number {
    for (let i = 0; i < batch; i++) this.add(this.tokens(this.#requests, promptTokens), steps + 1);
    for (let begun = 0; begun < batch; ) begun += this.core.step().filter(({ first }) => first).length;
    const startMs = performance.now();
    const outputs = this.drain();
    return (1000 * outputs) / (performance.now() - startMs);
  }
}
