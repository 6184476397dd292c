import type { Socket } from 'node:net';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import type * as Picker from '../../src/endpoint-picker/endpoint-picker.ts';
import type * as Server from '../../src/ext-proc/server.ts';
import type * as Pool from '../../src/pool/inference-pool.ts';
import type * as Index from '../../src/prefix-index/approximate-index.ts';
import type * as Profile from '../../src/scheduling/profile.ts';
import type * as Telemetry from '../../src/telemetry/index.ts';
import { MemoryClient, prepare } from './memory-client.ts';
import { type Build, createProduct } from './product.ts';
import { scenariosOf } from './scenario.ts';

/**
 * Two builds in one process, in turns of less than a millisecond, without a network: what a change to our own code does,
 * also on a machine that is busy, since both meet the same and the quickest turns of each are compared.
 */
const { values } = parseArgs({
  options: {
    against: { type: 'string' },
    only: { type: 'string', multiple: true, default: [] },
    rounds: { type: 'string', default: '3000' },
    streams: { type: 'string', default: '4' },
    endpoints: { type: 'string', default: '16' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help || values.against === undefined) {
  console.log(`usage: node dist/bench/ext-proc/in-memory.js --against OTHER/dist [--only 2kB ...] [--rounds 3000]
       [--streams 4] [--endpoints 16]
The tenth, quarter and half of all turns of each build, microseconds per stream without the kernel.`);
  process.exit(values.help ? 0 : 2);
}

setFlagsFromString('--no-allocation-site-pretenuring');
const own = fileURLToPath(new URL('../..', import.meta.url));
const scenarios = scenariosOf(values.only);
const sockets = [await connect(resolve(values.against)), await connect(own)] as const;
const streams = Number(values.streams);

console.log(
  '| scenario | base us/stream p10 | p25 | p50 | changed p10 | p25 | p50 | ratio p10 | p25 | p50 |',
);
console.log('|---|---|---|---|---|---|---|---|---|---|');
for (const scenario of scenarios) {
  const prepared = prepare(scenario, streams);
  const costs: [number[], number[]] = [[], []];
  const warmRounds = Number(values.rounds) / 2;
  for (let round = -warmRounds; round < Number(values.rounds); round++) {
    for (const at of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const socket = sockets[at];
      socket.spentUs = 0;
      socket.exchange(prepared);
      if (round >= 0) costs[at].push(socket.spentUs / streams);
    }
    if (round % 8 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const quantiles = costs.map((each) => {
    each.sort((a, b) => a - b);
    return [0.1, 0.25, 0.5].map((q) => each[Math.floor(q * each.length)]!);
  });
  const [base, changed] = quantiles as [number[], number[]];
  const ratios = changed.map((cost, at) => (cost / base[at]!).toFixed(3));
  const cells = [
    ...base.map((cost) => cost.toFixed(1)),
    ...changed.map((cost) => cost.toFixed(1)),
    ...ratios,
  ];
  console.log(`| ${scenario.name} | ${cells.join(' | ')} |`);
}
for (const [at, { bytesBack, writes }] of sockets.entries())
  console.error(`${at === 0 ? 'base' : 'changed'}: ${bytesBack} bytes back in ${writes} writes`);
process.exit(0);

/** A connection to the whole product of that build. */
async function connect(dist: string): Promise<MemoryClient> {
  const load = async <T>(path: string): Promise<T> =>
    (await import(pathToFileURL(resolve(dist, 'src', path)).href)) as T;
  const build = {
    ...(await load<Pick<Build, 'loadConfiguration'>>('configuration/index.js')),
    ...(await load<typeof Index>('prefix-index/approximate-index.js')),
    ...(await load<typeof Pool>('pool/inference-pool.js')),
    ...(await load<typeof Profile>('scheduling/profile.js')),
    ...(await load<typeof Picker>('endpoint-picker/endpoint-picker.js')),
    ...(await load<typeof Telemetry>('telemetry/index.js')),
  };
  const { createTransport } = await load<typeof Server>('ext-proc/server.js');
  const transport = await createTransport({
    ...(await createProduct(build, Number(values.endpoints))),
    tls: { mode: 'off' },
    isServing: () => true,
  });
  const socket = new MemoryClient();
  transport.accept(socket as unknown as Socket);
  socket.begin();
  return socket;
}
