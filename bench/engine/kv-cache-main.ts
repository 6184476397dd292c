/**
 * Decoding at long contexts with a KV cache of bfloat16 and of 8 bits: `npm run bench:engine:kv-cache`. Both models
 * are open at once and take turns; the best of several rounds counts. Weights are random.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BatchBuilder } from '../../src/engine/batch.ts';
import { readModelConfig } from '../../src/engine/model/model-files.ts';
import { createModelPlan, kvBlockBytes } from '../../src/engine/model/model-plan.ts';
import { loadNative } from '../../src/engine/native/load.ts';
import type { KvCacheDtype, NativeModel, StepResults } from '../../src/engine/native/native.ts';
import { defaultSamplingParams } from '../../src/engine/sampling-params.ts';
import { Sequence } from '../../src/engine/sequence.ts';
import { createStepResults } from '../../src/engine/step-results.ts';
import { readFlags, refuseFlag } from '../read-flags.ts';
import { threadsFlag } from './flags.ts';
import { configOf, shapes } from './shapes.ts';

const { values: flags } = readFlags(
  {
    command: 'npm run bench:engine:kv-cache',
    what: 'Decoding at long contexts with a KV cache of bfloat16 and of 8 bits.',
  },
  {
    shape: { type: 'string', default: '100m', help: 'Model.' },
    contexts: { type: 'string', default: '1024,4096,8192', help: 'Tokens before the one that is measured.' },
    threads: threadsFlag,
    rounds: { type: 'string', default: '5', help: 'Interleaved rounds; the best counts.' },
  },
);
const dtypes: readonly KvCacheDtype[] = ['BF16', 'I8'];
const chunk = 512;
const stepsPerRound = 8;

interface Contestant {
  readonly model: NativeModel;
  readonly batch: BatchBuilder;
  readonly results: StepResults;
  readonly sequence: Sequence;
  bestMs: number;
}

function main(): void {
  const shape = shapes.find(({ name }) => name === flags.shape);
  if (shape === undefined) refuseFlag(`--shape knows ${shapes.map(({ name }) => name).join(' and ')}`);
  const folder = mkdtempSync(join(tmpdir(), 'pointsman-kv-'));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configOf(shape)));
  const contexts = flags.contexts.split(',').map(Number);
  console.log(`${shape.name}, bfloat16 weights, ${flags.threads} threads, one sequence, ms per token\n`);
  console.log('context   bfloat16      int8   tokens/s   bytes of a block');
  try {
    for (const context of contexts) measure(folder, context);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function measure(folder: string, context: number): void {
  const contestants = dtypes.map((dtype) => open(folder, dtype, context));
  for (let round = 0; round < Number(flags.rounds); round++)
    for (const contestant of contestants) {
      const startMs = performance.now();
      for (let i = 0; i < stepsPerRound; i++) {
        // The last position again and again: the context keeps its length.
        contestant.sequence.computed = context - 1;
        contestant.sequence.scheduled = 1;
        runStep(contestant);
      }
      contestant.bestMs = Math.min(contestant.bestMs, (performance.now() - startMs) / stepsPerRound);
    }
  const [wide, narrow] = contestants.map(({ bestMs }) => bestMs) as [number, number];
  const config = readModelConfig(folder);
  const [wideBytes, narrowBytes] = dtypes.map((dtype) => kvBlockBytes(config, dtype)) as [number, number];
  console.log(
    `${String(context).padStart(7)} ${wide.toFixed(2).padStart(10)} ${narrow.toFixed(2).padStart(9)} ` +
      `${`${(wide / narrow).toFixed(2)}x`.padStart(10)}   ${wideBytes} / ${narrowBytes} = ${(wideBytes / narrowBytes).toFixed(2)}`,
  );
  for (const { model } of contestants) model.close();
}

/** A model whose cache holds the context. */
function open(folder: string, kvCacheDtype: KvCacheDtype, context: number): Contestant {
  const blocks = Math.ceil(context / 16);
  const plan = createModelPlan(folder, {
    blocks,
    threads: Number(flags.threads),
    maxTokens: chunk,
    maxSamples: 1,
    loadFormat: 'dummy',
    kvCacheDtype,
  });
  const model = loadNative().open(plan);
  const limits = {
    maxTokens: chunk,
    maxSequences: 1,
    maxSamples: 1,
    blockSize: 16,
    vocabSize: plan.vocabSize,
    hiddenSize: plan.hiddenSize,
    maxLogprobs: 0,
    eosTokenIds: new Set<number>(),
  };
  const promptTokens = Int32Array.from({ length: context }, (_, i) => 300 + ((i * 7919) % 30_000));
  const sequence = new Sequence({
    request: {
      id: 0,
      promptTokens,
      sampling: { ...defaultSamplingParams, temperature: 0 },
      choices: 1,
      priority: 0,
      cacheSalt: undefined,
    },
    choice: 0,
    arrival: 0,
    seed: 0n,
    structured: undefined,
    adapter: undefined,
  });
  for (let block = 0; block < blocks; block++) sequence.table.push(block);
  const contestant = {
    model,
    batch: new BatchBuilder(limits),
    results: createStepResults(limits),
    sequence,
    bestMs: Number.POSITIVE_INFINITY,
  };
  for (; sequence.computed < context; sequence.computed += sequence.scheduled) {
    sequence.scheduled = Math.min(chunk, context - sequence.computed);
    runStep(contestant);
  }
  return contestant;
}

function runStep({ model, batch, results, sequence }: Contestant): void {
  model.launch(batch.build([sequence]));
  model.wait(results);
}

main();
