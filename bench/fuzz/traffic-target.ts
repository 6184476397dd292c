import type { EngineCore } from '../../src/engine/engine-core.ts';
import { openEngine } from '../../src/engine/open-engine.ts';
import { readVocabulary } from '../../src/engine/server/token-vocabulary.ts';
import { toOpenOptions } from '../../src/engine/to-open-options.ts';
import { createByteTokenizer } from '../../src/tokenizer/index.ts';

/** Cores of one small model. */
export interface TrafficTarget {
  readonly vocabSize: number;
  /** Few blocks, small chunks, drafts or two steps in flight, adapters, priorities: all that can go wrong between requests. */
  readonly crowded: EngineCore;
  /** Room for everything, all adapters and nothing cached: what a request answers when nothing else runs. */
  readonly alone: EngineCore;
  /** A PEFT folder for the model. */
  readonly adapter: string;
  close(): void;
}

export const maxModelLen = 96;
export const adapterNames = ['a', 'b', 'c'];

const drafts = {
  method: 'ngram',
  num_speculative_tokens: 3,
  prompt_lookup_min: 1,
  prompt_lookup_max: 3,
};

/** `fixtures` is the repository's `test/fixtures/`. `isAsync`: two steps in flight instead of drafts. */
export function openTrafficTarget(fixtures: string, isAsync: boolean): TrafficTarget {
  const model = `${fixtures}/parity/llama`;
  const base = {
    model,
    threads: 1,
    maxModelLen,
    enableLora: true,
    maxLoras: 2,
    maxCpuLoras: 3,
    prefixHashSeed: 'fuzz',
  };
  const crowded = openEngine(
    toOpenOptions(
      {
        ...base,
        maxCpuLoras: 2,
        // One sequence of full length has 6.
        numGpuBlocksOverride: 14,
        maxNumSeqs: 12,
        maxNumBatchedTokens: 40,
        longPrefillTokenThreshold: 13,
        schedulingPolicy: 'priority',
        ...(isAsync ? { asyncScheduling: true } : { speculativeConfig: drafts }),
      },
      [],
    ),
  );
  const alone = openEngine(toOpenOptions({ ...base, enablePrefixCaching: false }, []));
  const { vocabSize } = crowded.info;
  const vocabulary = readVocabulary(createByteTokenizer(vocabSize));
  for (const { core } of [crowded, alone]) core.useVocabulary(vocabulary);
  const adapter = `${fixtures}/lora/llama-all`;
  for (const name of adapterNames) alone.core.loadAdapter(name, adapter);
  return {
    vocabSize,
    crowded: crowded.core,
    alone: alone.core,
    adapter,
    close: () => {
      crowded.core.close();
      alone.core.close();
    },
  };
}
