/**
 * What paging saves: `npm run bench:paging`. One engine, one workload, equal KV memory, three ways to hand it out,
 * as in the PagedAttention paper (Kwon et al. 2023, section 6): lengths are log-normal with the means of ShareGPT,
 * all requests wait from the start.
 */
import { mkdirSync } from 'node:fs';
import type { KvAllocator } from '../../src/engine/kv-allocator.ts';
import { openEngine } from '../../src/engine/open-engine.ts';
import { defaultSamplingParams } from '../../src/engine/sampling-params.ts';
import { toOpenOptions } from '../../src/engine/to-open-options.ts';
import { modelsFlag, threadsFlag } from '../engine/flags.ts';
import { randomModel } from '../engine/random-model.ts';
import { shapes } from '../engine/shapes.ts';
import { readFlags } from '../read-flags.ts';
import { type Lengths, logNormalLengths } from './lengths.ts';

const { values: flags } = readFlags(
  { command: 'npm run bench:paging', what: 'KV waste and throughput, paged and reserved, on one engine.' },
  {
    requests: { type: 'string', default: '64', help: 'Requests, all waiting from the start.' },
    'kv-tokens': { type: 'string', default: '16384', help: 'KV memory in tokens.' },
    'max-model-len': { type: 'string', default: '2048', help: 'Longest sequence.' },
    threads: threadsFlag,
    models: modelsFlag,
  },
);
const maxModelLen = Number(flags['max-model-len']);
const kvTokens = Number(flags['kv-tokens']);

interface Outcome {
  readonly tokensPerSecond: number;
  readonly meanRunning: number;
  readonly preemptions: number;
  /** Parts of the KV memory that was taken or stranded, mean over steps while requests waited; they sum to 1. */
  readonly parts: { used: number; reserved: number; internal: number; external: number };
}

function main(): void {
  mkdirSync(flags.models, { recursive: true });
  const model = randomModel(flags.models, shapes[0]!);
  const workload = logNormalLengths({
    count: Number(flags.requests),
    promptMean: 161,
    outputMean: 338,
    longest: maxModelLen - 1,
    seed: 7,
  });
  const outputs = workload.reduce((sum, { output }) => sum + output, 0);
  console.log(
    `${workload.length} requests, ${outputs} output tokens, ${kvTokens} tokens of KV memory, ` +
      `max_model_len ${maxModelLen}, model ${shapes[0]!.name} int8, ${flags.threads} threads\n`,
  );
  console.log(
    'allocator      used  reserved  internal  external    waste   running  preempted   out tok/s   ratio',
  );
  let baseline: number | undefined;
  for (const allocator of ['reserve-max', 'reserve-pow2', 'paged'] as const) {
    const outcome = run(model, allocator, workload);
    baseline ??= outcome.tokensPerSecond;
    const { parts } = outcome;
    const percent = (part: number, width: number) => `${(100 * part).toFixed(1)} %`.padStart(width);
    console.log(
      allocator.padEnd(12) +
        percent(parts.used, 7) +
        [parts.reserved, parts.internal, parts.external].map((part) => percent(part, 10)).join('') +
        percent(1 - parts.used, 9) +
        outcome.meanRunning.toFixed(1).padStart(10) +
        String(outcome.preemptions).padStart(11) +
        outcome.tokensPerSecond.toFixed(0).padStart(12) +
        `${(outcome.tokensPerSecond / baseline).toFixed(2)}x`.padStart(8),
    );
  }
}

function run(model: string, kvAllocator: KvAllocator, workload: readonly Lengths[]): Outcome {
  const { core } = openEngine(
    toOpenOptions(
      {
        model,
        quantization: 'int8',
        threads: Number(flags.threads),
        numGpuBlocksOverride: kvTokens / 16,
        maxModelLen,
        maxNumSeqs: 256,
        enablePrefixCaching: false,
        kvAllocator,
      },
      [],
    ),
  );
  for (const [id, { prompt, output }] of workload.entries())
    core.add({
      id,
      promptTokens: Int32Array.from({ length: prompt }, (_, i) => 300 + ((i * 7919 + id * 104_729) % 31_000)),
      choices: 1,
      priority: 0,
      cacheSalt: undefined,
      sampling: { ...defaultSamplingParams, temperature: 0, maxTokens: output, ignoreEos: true },
    });
  const sums = { used: 0, reserved: 0, internal: 0, external: 0 };
  let samples = 0;
  let running = 0;
  let outputs = 0;
  const startMs = performance.now();
  while (core.hasWork) {
    outputs += core.step().length;
    if (core.gauges.waiting === 0) continue;
    const { used, reserved, internal, external } = core.kvOccupancy;
    const all = used + reserved + internal + external;
    sums.used += used / all;
    sums.reserved += reserved / all;
    sums.internal += internal / all;
    sums.external += external / all;
    running += core.gauges.running;
    samples++;
  }
  const seconds = (performance.now() - startMs) / 1000;
  const { preemptions } = core.gauges;
  core.close();
  return {
    tokensPerSecond: outputs / seconds,
    meanRunning: running / samples,
    preemptions,
    parts: {
      used: sums.used / samples,
      reserved: sums.reserved / samples,
      internal: sums.internal / samples,
      external: sums.external / samples,
    },
  };
}

main();
