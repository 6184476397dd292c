import { rootDigest } from '../../../src/engine/block-hash.ts';
import { EngineCore } from '../../../src/engine/engine-core.ts';
import type { EngineCoreOptions } from '../../../src/engine/engine-core-options.ts';
import { AdapterSlots } from '../../../src/engine/lora/index.ts';
import type { AdapterSource } from '../../../src/engine/native/native.ts';
import type { SamplingParams } from '../../../src/engine/sampling-params.ts';
import { defaultSamplingParams } from '../../../src/engine/sampling-params.ts';
import type { EngineRequest } from '../../../src/engine/sequence.ts';
import type { StepOutput } from '../../../src/engine/step-output.ts';
import { FakeModel, fakeHiddenSize } from './fake-model.ts';

/** End of text of the fake model. */
export const fakeEos = 0;

/** An engine core over the fake model; a clock that ticks one millisecond per look. */
export function createFakeCore(options: Partial<EngineCoreOptions> = {}): EngineCore {
  const { blocks = 64, blockSize = 16, vocabSize = 97 } = options;
  let nowMs = 0;
  return new EngineCore({
    model: new FakeModel({ blocks, blockSize, vocabSize }),
    vocabSize,
    hiddenSize: fakeHiddenSize,
    maxModelLen: 512,
    blocks,
    blockSize,
    maxNumSeqs: 16,
    maxNumBatchedTokens: 64,
    longPrefillTokenThreshold: 0,
    hasChunkedPrefill: true,
    hasPrefixCaching: true,
    prefixRoot: rootDigest('test'),
    collectsKvEvents: false,
    policy: 'fcfs',
    kvAllocator: 'paged',
    maxLogprobs: 5,
    eosTokenIds: [fakeEos],
    seed: 0,
    now: () => nowMs++,
    ...options,
  });
}

export interface RequestFields extends Partial<SamplingParams> {
  readonly id: number;
  readonly prompt: readonly number[];
  readonly choices?: number;
  readonly priority?: number;
  readonly cacheSalt?: string;
  readonly adapter?: string;
}

/** Adapters of the fake model: the path is a number, which changes every logit. */
export function fakeAdapters(maxLoras: number, slots = maxLoras): EngineCoreOptions['lora'] {
  const read = (path: string): AdapterSource => {
    if (!Number.isInteger(Number(path))) throw new Error(`${path} holds no adapter`);
    const place = { file: 0, aOffset: 0, bOffset: 0, dtype: 'F32', scale: 1 } as const;
    return { files: [path], pairs: [{ role: 'q_proj', layer: 0, rank: Number(path), ...place }] };
  };
  return { maxLoras, slots: new AdapterSlots(slots, read) };
}

/** A greedy request unless told otherwise. */
export function engineRequest(fields: RequestFields): EngineRequest {
  const { id, prompt, choices = 1, priority = 0, cacheSalt, adapter, ...sampling } = fields;
  return {
    id,
    promptTokens: prompt,
    choices,
    priority,
    cacheSalt,
    adapter,
    sampling: { ...defaultSamplingParams, temperature: 0, ...sampling },
  };
}

/** Steps until nothing is left to do, checking integrity after each step. */
export function runToEnd(core: EngineCore): StepOutput[] {
  const outputs: StepOutput[] = [];
  for (let steps = 0; core.hasWork; steps++) {
    if (steps > 100_000) throw new Error('the engine makes no progress');
    outputs.push(...core.step());
    core.checkIntegrity();
  }
  return outputs;
}

/** Tokens per `request/choice`, in order. */
export function tokensByChoice(outputs: readonly StepOutput[]): Map<string, number[]> {
  const tokens = new Map<string, number[]>();
  for (const { requestId, choice, tokenId } of outputs) {
    const key = `${requestId}/${choice}`;
    const list = tokens.get(key) ?? [];
    list.push(tokenId);
    tokens.set(key, list);
  }
  return tokens;
}
