/**
 * The engine as it is served: `npm run bench:engine:serving`. Streams over HTTP beside node-llama-cpp in process,
 * the share of TypeScript in a step, the time from start to ready, and what a busy core beside it costs.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { readFlags } from '../read-flags.ts';
import { modelsFlag, peersFlag, threadsFlag } from './flags.ts';
import { writeGguf } from './gguf-writer.ts';
import { installCommand } from './llama-cpp.ts';
import { nodeLlamaCppTokens } from './node-llama-cpp.ts';
import { OurEngine } from './our-engine.ts';
import { randomModel } from './random-model.ts';
import { startEngine, streamTokens } from './serving.ts';
import { shapes } from './shapes.ts';

const { values: flags } = readFlags(
  {
    command: 'npm run bench:engine:serving',
    what: 'The engine as it is served: streams beside node-llama-cpp, TypeScript’s share, start, a busy core.',
  },
  {
    threads: threadsFlag,
    rounds: { type: 'string', default: '3', help: 'Rounds; the best counts.' },
    only: { type: 'string', default: 'streams,share,start,busy', help: 'Which of the four.' },
    models: modelsFlag,
    peers: peersFlag,
  },
);
const threads = Number(flags.threads);
const rounds = Number(flags.rounds);
const wanted = new Set(flags.only.split(','));
const small = shapes[0]!;
const large = shapes[1]!;
const load = { streams: 16, promptTokens: 128, outputTokens: 64 };

async function main(): Promise<void> {
  mkdirSync(flags.models, { recursive: true });
  if (wanted.has('streams')) await compareStreams();
  if (wanted.has('share')) measureShare();
  if (wanted.has('start')) await measureStart();
  if (wanted.has('busy')) await measureBusy();
}

async function compareStreams(): Promise<void> {
  const folder = randomModel(flags.models, small);
  const gguf = writeGguf(folder, small, 'q8_0');
  const engine = await startEngine(folder, ['--quantization', 'int8', '--threads', flags.threads]);
  await streamTokens(engine.url, load);
  let ours = 0;
  let theirs: number | undefined;
  for (let round = 0; round < rounds; round++) {
    ours = Math.max(ours, await streamTokens(engine.url, load));
    const rate = await nodeLlamaCppTokens(flags.peers, gguf, threads, load);
    if (rate !== undefined) theirs = Math.max(theirs ?? 0, rate);
  }
  await engine.stop();
  const what = `${load.streams} streams of ${load.promptTokens} + ${load.outputTokens} tokens, ${small.name} int8`;
  console.log(`${what}, best of ${rounds}: ours over HTTP ${ours.toFixed(0)} tok/s`);
  if (theirs === undefined)
    console.log(
      `  node-llama-cpp is not in ${flags.peers}; to compare with it:\n  ${installCommand(flags.peers)}`,
    );
  else
    console.log(
      `  node-llama-cpp in process, Q8_0: ${theirs.toFixed(0)} tok/s, ratio ${(ours / theirs).toFixed(1)}x`,
    );
}

function measureShare(): void {
  const ours = new OurEngine({
    model: randomModel(flags.models, small),
    quantization: 'int8',
    threads,
    maxModelLen: 1024,
    maxNumSeqs: 64,
    kvCacheMemoryBytes: 2 ** 29,
    enablePrefixCaching: true,
  });
  ours.decode(32, 128, 64);
  const shares = Array.from({ length: rounds }, () => ours.decode(32, 128, 64).typeScriptShare);
  ours.close();
  console.log(
    `scheduler and TypeScript, batch 32, ${small.name} int8, prefix caching on: ` +
      `${(100 * Math.min(...shares)).toFixed(2)} to ${(100 * Math.max(...shares)).toFixed(2)} % of a step`,
  );
}

async function measureStart(): Promise<void> {
  const folder = randomModel(flags.models, large);
  for (const quantization of [[], ['--quantization', 'int8']]) {
    const times: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const engine = await startEngine(folder, [
        ...quantization,
        '--threads',
        flags.threads,
        '--max-model-len',
        '4096',
      ]);
      times.push(engine.readyMs / 1000);
      await engine.stop();
    }
    console.log(
      `start to ready, ${large.name} ${quantization[1] ?? 'bf16'}, page cache warm: ` +
        `${Math.min(...times).toFixed(2)} s, best of ${rounds} (${times.map((time) => time.toFixed(2)).join(', ')})`,
    );
  }
}

async function measureBusy(): Promise<void> {
  const engine = await startEngine(randomModel(flags.models, small), [
    ...['--quantization', 'int8', '--threads', flags.threads],
  ]);
  await streamTokens(engine.url, load);
  let alone = 0;
  let beside = 0;
  for (let round = 0; round < rounds; round++) {
    alone = Math.max(alone, await streamTokens(engine.url, load));
    const busy = await startBusyCore();
    beside = Math.max(beside, await streamTokens(engine.url, load));
    busy.kill('SIGKILL');
  }
  await engine.stop();
  const processors = availableParallelism();
  console.log(
    `one busy core beside ${threads} threads, ${load.streams} streams: ${alone.toFixed(0)} alone, ` +
      `${beside.toFixed(0)} tok/s beside it, ${(100 * (beside / alone)).toFixed(0)} %; ` +
      `in proportion to ${processors - 1} of ${processors} processors: ${((100 * (processors - 1)) / processors).toFixed(0)} %`,
  );
}

/** A process that spins; resolves when it does. */
function startBusyCore(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['-e', 'process.stdout.write("on"); for (;;) {}']);
  return new Promise((resolve) => child.stdout.once('data', () => resolve(child)));
}

await main();
