/**
 * Our engine beside llama.cpp on the same weights: `npm run bench:engine`. Runs are interleaved, the best of
 * several rounds counts. The first call makes the models (1.4 GB) in a folder outside the repository.
 */
import { mkdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { readFlags, refuseFlag } from '../read-flags.ts';
import { modelsFlag, peersFlag, threadsFlag } from './flags.ts';
import { type GgufType, writeGguf } from './gguf-writer.ts';
import { installCommand, LlamaCpp } from './llama-cpp.ts';
import { OurEngine } from './our-engine.ts';
import { randomModel } from './random-model.ts';
import { measureRoofline, type Roofline } from './roofline.ts';
import { type Shape, shapes } from './shapes.ts';

const { values: flags } = readFlags(
  {
    command: 'npm run bench:engine',
    what: 'Our engine beside llama.cpp on the same weights: prefill, decoding, the machine’s limits.',
  },
  {
    shapes: { type: 'string', default: shapes.map(({ name }) => name).join(','), help: 'Models.' },
    types: { type: 'string', default: 'bfloat16,int8', help: 'Types of weights.' },
    threads: threadsFlag,
    rounds: { type: 'string', default: '5', help: 'Interleaved rounds; the best counts.' },
    models: modelsFlag,
    peers: peersFlag,
    'only-models': { type: 'boolean', default: false, help: 'Make the models and measure nothing.' },
  },
);
const threads = Number(flags.threads);
const rounds = Number(flags.rounds);
const prefillTokens = 512;
const promptTokens = 128;
const decodeSteps = 32;
const batches = [1, 16];

type WeightType = 'bfloat16' | 'int8';
const peerTypes: Readonly<Record<WeightType, GgufType>> = { bfloat16: 'bf16', int8: 'q8_0' };
const peerNames: Readonly<Record<WeightType, string>> = { bfloat16: 'bf16', int8: 'Q8_0' };

/** Tokens per second: prefill, then decoding of each batch. */
type Rates = number[];

async function main(): Promise<void> {
  mkdirSync(flags.models, { recursive: true });
  const chosen = flags.shapes.split(',').map((name) => {
    const shape = shapes.find((candidate) => candidate.name === name);
    if (shape === undefined)
      refuseFlag(`--shapes knows ${shapes.map((s) => s.name).join(' and ')}, not ${name}`);
    return shape;
  });
  const types = flags.types.split(',').map((type) => {
    if (type !== 'bfloat16' && type !== 'int8') refuseFlag(`--types knows bfloat16 and int8, not ${type}`);
    return type;
  });
  const peer = LlamaCpp.find(flags.peers, threads);
  for (const shape of chosen) {
    const folder = randomModel(flags.models, shape);
    console.log(`model ${folder}`);
    if (peer !== undefined) for (const type of types) writeGguf(folder, shape, peerTypes[type]);
  }
  if (flags['only-models']) return;
  const roofline = measureRoofline(flags.models, threads);
  printMachine(roofline);
  if (peer === undefined)
    console.log(
      `llama.cpp is not in ${flags.peers}; to compare with it:\n  ${installCommand(flags.peers)}\n`,
    );
  console.log(
    `${'shape'.padEnd(11)} ${'weights'.padEnd(8)} ${'what'.padEnd(22)} ${'ours tok/s'.padStart(10)} ` +
      `${'llama.cpp'.padStart(10)} ${'ratio'.padStart(6)}  of the machine's limit`,
  );
  for (const shape of chosen) for (const type of types) await compare(shape, type, peer, roofline);
}

async function compare(
  shape: Shape,
  type: WeightType,
  peer: LlamaCpp | undefined,
  roofline: Roofline,
): Promise<void> {
  const folder = randomModel(flags.models, shape);
  const gguf = peer === undefined ? undefined : writeGguf(folder, shape, peerTypes[type]);
  const ours = new OurEngine({
    model: folder,
    threads,
    maxModelLen: 1024,
    maxNumSeqs: 64,
    kvCacheMemoryBytes: 2 ** 30,
    ...(type === 'int8' ? { quantization: 'int8' } : {}),
  });
  const measureOurs = (): Rates => [
    ours.prefill(prefillTokens),
    ...batches.map((batch) => ours.decode(batch, promptTokens, decodeSteps).tokensPerSecond),
  ];
  measureOurs();
  let best: Rates = [];
  let bestPeer: Rates = [];
  for (let round = 0; round < rounds; round++) {
    best = better(best, measureOurs());
    if (peer === undefined || gguf === undefined) continue;
    bestPeer = better(bestPeer, [
      await peer.prefill(gguf, prefillTokens),
      ...(await peer.decode(gguf, batches, promptTokens, decodeSteps)),
    ]);
  }
  ours.close();
  const bounds = boundsOf(shape, type, roofline);
  const what = [`prefill ${prefillTokens}`, ...batches.map((batch) => `decode, batch ${batch}`)];
  for (const [i, name] of what.entries()) {
    const rate = best[i]!;
    const other = bestPeer[i];
    const cells = [
      shape.name.padEnd(11),
      (type === 'int8' ? 'int8' : 'bf16').padEnd(8),
      name.padEnd(22),
      rate.toFixed(1).padStart(10),
      (other === undefined ? '-' : `${other.toFixed(1)}`).padStart(10),
      (other === undefined ? '-' : `${(rate / other).toFixed(2)}x`).padStart(6),
      ` ${((100 * rate) / bounds[i]!.rate).toFixed(0)} % of ${bounds[i]!.by}`,
    ];
    console.log(cells.join(' ') + (i === 0 && other !== undefined ? `  (against ${peerNames[type]})` : ''));
  }
}

function better(a: Rates, b: Rates): Rates {
  return b.map((rate, i) => Math.max(rate, a[i] ?? 0));
}

/** At most this many tokens per second: by products for prompts, by reading the weights for single tokens. */
function boundsOf(
  shape: Shape,
  type: WeightType,
  roofline: Roofline,
): readonly { rate: number; by: string }[] {
  const { hiddenSize: hidden, headDim, heads, kvHeads, intermediateSize, layers, vocabSize } = shape;
  const perLayer = hidden * (2 * heads + 2 * kvHeads) * headDim + 3 * hidden * intermediateSize;
  const body = layers * perLayer;
  const head = vocabSize * hidden;
  const bytes = (body + head) * (type === 'int8' ? 34 / 32 : 2);
  const peak = (type === 'int8' ? roofline.int8GOPs : roofline.bfloat16GFLOPs) ?? roofline.float32GFLOPs;
  const products = peak === undefined ? Number.NaN : (peak * 1e9) / (2 * body);
  return [
    { rate: products, by: 'peak products' },
    ...batches.map((batch) => {
      const byMemory = (batch * roofline.readGBs * 1e9) / bytes;
      const byProducts = peak === undefined ? Number.POSITIVE_INFINITY : (peak * 1e9) / (2 * (body + head));
      return byMemory < byProducts
        ? { rate: byMemory, by: 'reading the weights' }
        : { rate: byProducts, by: 'peak products' };
    }),
  ];
}

function printMachine(roofline: Roofline): void {
  const peaks = [
    `${roofline.readGBs.toFixed(0)} GB/s read`,
    roofline.float32GFLOPs && `${roofline.float32GFLOPs} GFLOP/s float32`,
    roofline.bfloat16GFLOPs && `${roofline.bfloat16GFLOPs} bfloat16`,
    roofline.int8GOPs && `${roofline.int8GOPs} GOP/s int8`,
  ].filter(Boolean);
  console.log(`\n${cpus()[0]?.model ?? 'processor'}, ${threads} threads: ${peaks.join(', ')}`);
  console.log(
    `best of ${rounds} interleaved rounds; decoding ${decodeSteps} tokens after ${promptTokens} of prompt\n`,
  );
}

await main();
