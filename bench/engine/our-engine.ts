import type { EngineCore } from '../../src/engine/engine-core.ts';
import type { EngineOptions } from '../../src/engine/engine-options.ts';
import { loadNative } from '../../src/engine/native/load.ts';
import type { NativeModule } from '../../src/engine/native/native.ts';
import { openEngine } from '../../src/engine/open-engine.ts';
import { defaultSamplingParams } from '../../src/engine/sampling-params.ts';
import type { EngineRequest } from '../../src/engine/sequence.ts';
import { toOpenOptions } from '../../src/engine/to-open-options.ts';

/** Of a run of decode steps. */
export interface DecodeTimes {
  readonly tokensPerSecond: number;
  /** Part of the time outside the native step: scheduling, laying out the batch, reading the results. */
  readonly typeScriptShare: number;
}

/** Our engine in this process, without HTTP: the scheduler, the batch and the native step. */
export class OurEngine {
  readonly #core: EngineCore;
  readonly #vocabSize: number;
  readonly isa: string;
  #nativeMs = 0;
  #requests = 0;

  constructor(options: EngineOptions) {
    const opened = openEngine(
      {
        ...toOpenOptions({ device: 'cpu', ...options }, []),
        hasPrefixCaching: options.enablePrefixCaching ?? false,
      },
      this.#timed(loadNative()),
    );
    this.#core = opened.core;
    this.#vocabSize = opened.info.vocabSize;
    this.isa = opened.info.isa;
  }

  /** Tokens per second of one prompt, up to its first output token. */
  prefill(tokens: number): number {
    const startMs = performance.now();
    this.#add(tokens, 1);
    while (this.#core.hasWork) this.#core.step();
    return (1000 * tokens) / (performance.now() - startMs);
  }

  /** Decodes `steps` tokens of each of `batch` sequences that have a prompt of `promptTokens`. */
  decode(batch: number, promptTokens: number, steps: number): DecodeTimes {
    for (let i = 0; i < batch; i++) this.#add(promptTokens, steps + 1);
    for (let begun = 0; begun < batch; ) begun += this.#core.step().filter(({ first }) => first).length;
    this.#nativeMs = 0;
    const startMs = performance.now();
    let outputs = 0;
    while (this.#core.hasWork) outputs += this.#core.step().length;
    const totalMs = performance.now() - startMs;
    return {
      tokensPerSecond: (1000 * outputs) / totalMs,
      typeScriptShare: 1 - this.#nativeMs / totalMs,
    };
  }

  close(): void {
    this.#core.close();
  }

  #add(promptTokens: number, maxTokens: number): void {
    const id = this.#requests++;
    const request: EngineRequest = {
      id,
      promptTokens: Int32Array.from(
        { length: promptTokens },
        (_, i) => 300 + ((i * 7919 + id * 104_729) % (this.#vocabSize - 300)),
      ),
      choices: 1,
      priority: 0,
      cacheSalt: undefined,
      sampling: { ...defaultSamplingParams, temperature: 0, maxTokens, ignoreEos: true },
    };
    this.#core.add(request);
  }

  /** The addon, with the time of native steps added up. */
  #timed(native: NativeModule): NativeModule {
    return {
      cpuInfo: () => native.cpuInfo(),
      openBackend: (path) => native.openBackend(path),
      open: (plan) => {
        const model = native.open(plan);
        const timed = (call: () => void) => {
          const startMs = performance.now();
          call();
          this.#nativeMs += performance.now() - startMs;
        };
        return {
          launch: (batch, keepsLogits) => timed(() => model.launch(batch, keepsLogits)),
          wait: (results, logits) => timed(() => model.wait(results, logits)),
          step: (batch, logits) => timed(() => model.step(batch, logits)),
          loadAdapter: (slot, adapter) => model.loadAdapter(slot, adapter),
          unloadAdapter: (slot) => model.unloadAdapter(slot),
          memory: () => model.memory(),
          close: () => model.close(),
        };
      },
    };
  }
}
