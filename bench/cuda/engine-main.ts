/**
 * The whole engine on a GPU, without HTTP: does it write what the CPU writes, how fast is it with random weights, and
 * does it stay sane under a mixed load. Run by `bench/cuda/run`, a piece at a time; prints Markdown.
 */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { agreement } from './agreement.ts';
import { GpuEngine } from './gpu-engine.ts';
import { mixedLoad } from './mixed-load.ts';
import { gpuShapes } from './shapes.ts';
import { workload256 } from './workload.ts';

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: 'agreement,steps,workload' },
    minutes: { type: 'string', default: '5' },
    prompts: { type: 'string', default: '200' },
    library: { type: 'string' },
    /** `plain`: neither cuBLASLt nor products of warpgroups; `own`: without the former. */
    kernels: { type: 'string', default: 'best' },
    shapes: { type: 'string', default: gpuShapes.map(({ name }) => name).join(',') },
  },
});
const wanted = new Set(flags.only.split(','));
const { library } = flags;
const kernels = flags.kernels === 'best' ? undefined : flags.kernels;

function main(): void {
  if (wanted.has('agreement')) compareWithCpu();
  for (const shape of gpuShapes.filter(({ name }) => flags.shapes.split(',').includes(name)))
    if (wanted.has('steps')) timeSteps(shape);
  if (wanted.has('workload')) timeWorkload();
  if (wanted.has('mixed')) runMixedLoad(Number(flags.minutes));
}

function compareWithCpu(): void {
  // This file is in bench/cuda, or in dist/bench/cuda when compiled.
  const root = new URL(import.meta.url.includes('/dist/') ? '../../../' : '../../', import.meta.url);
  const model = fileURLToPath(new URL('config/models/pointsman-mini', root));
  const options = { threads: availableParallelism() };
  const result = agreement(model, Number(flags.prompts), options, { library, kernels });
  const { prompts, parted, unexplained, alone } = result;
  console.log(
    `Greedy output of ${prompts} prompts beside the CPU's: ${prompts - parted - unexplained} equal, ${parted} part where ` +
      `the CPU's two best tokens are within 0.05 nats, ${unexplained} elsewhere. In a batch as alone: ${alone}.\n`,
  );
  if (unexplained > 0) process.exitCode = 1;
}

function timeSteps(shape: (typeof gpuShapes)[number]): void {
  const engine = new GpuEngine(shape, { maxNumBatchedTokens: 8192, maxNumSeqs: 256, library, kernels });
  const median = (measure: () => number) =>
    [measure(), measure(), measure()].sort((a, b) => a - b)[1]!.toFixed(0);
  console.log(`| ${shape.name} on ${engine.deviceName} | tok/s, median of 3 |\n|---|--:|`);
  engine.prefill(2048);
  for (const tokens of [512, 2048, 8192])
    console.log(`| prefill of ${tokens} | ${median(() => engine.prefill(tokens))} |`);
  for (const batch of [1, 8, 64, 256])
    console.log(`| decode, batch ${batch}, context 1024 | ${median(() => engine.decode(batch, 1024, 64))} |`);
  console.log('');
  engine.core.close();
}

function timeWorkload(): void {
  const shape = gpuShapes[0]!;
  const engine = new GpuEngine(shape, { maxNumBatchedTokens: 16_384, maxNumSeqs: 256, library, kernels });
  const { seconds, outputTokens } = workload256(engine);
  const rate = (outputTokens / seconds).toFixed(0);
  console.log(
    `256 requests, ${shape.name}: ${outputTokens} tokens in ${seconds.toFixed(2)} s, ${rate} tok/s.\n`,
  );
  engine.core.close();
}

function runMixedLoad(minutes: number): void {
  const sizes = { maxNumBatchedTokens: 4096, maxNumSeqs: 64, blocks: 2700, hasPrefixCaching: true };
  const engine = new GpuEngine(gpuShapes[0]!, { ...sizes, library, kernels });
  mixedLoad(engine, minutes);
  engine.core.close();
}

main();
