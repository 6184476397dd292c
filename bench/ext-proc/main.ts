import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { LoadConnection } from './load-connection.ts';
import { exchange, type Scenario } from './scenario.ts';

/**
 * Streams per second through external processing, with the whole product in the path, for both transports.
 * The server runs in its own process; its CPU time is measured from outside, so the client costs nothing in it.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '4' },
    streams: { type: 'string', default: '16' },
    endpoints: { type: 'string', default: '16' },
    transport: { type: 'string', multiple: true, default: ['grpc-js', 'fast'] },
    only: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(`usage: node dist/bench/ext-proc/main.js [--seconds 3] [--connections 4] [--streams 16]
       [--endpoints 16] [--transport grpc-js] [--transport fast] [--only NAME]
NAME is one of 2kB, 16kB, 64kB, 400kB, 100 chunks, 500 chunks.`);
  process.exit(0);
}

const scenarios = [
  exchange('2kB', 2_000, 1),
  exchange('16kB', 16_000, 1),
  exchange('64kB', 64_000, 1),
  exchange('400kB', 400_000, 1),
  exchange('100 chunks', 2_000, 100),
  exchange('500 chunks', 2_000, 500),
].filter(({ name }) => values.only === undefined || name === values.only);

interface Usage {
  readonly cpuUs: number;
  readonly rssBytes: number;
  readonly open: number;
}

interface Row {
  readonly streamsPerSecond: number;
  readonly cpuUsPerStream: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly halfRateP50Ms: number;
  readonly halfRateP99Ms: number;
  readonly bytesPerIdleStream: number;
  readonly errors: number;
}

const durationMs = Number(values.seconds) * 1000;
console.log(
  `ext-proc: ${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores, Node ${process.version}, ` +
    `${values.connections} connections x ${values.streams} streams, ${values.endpoints} endpoints, default profile`,
);
console.log(
  '| scenario | transport | streams/s | CPU us/stream | streams/s/core | pick p50 ms | p99 | at half rate p50 | p99 | bytes/idle stream | errors |',
);
console.log('|---|---|---|---|---|---|---|---|---|---|---|');
const perCore = new Map<string, number>();
for (const scenario of scenarios) {
  for (const transport of values.transport) {
    const row = await measure(scenario, transport);
    const corePerSecond = 1e6 / row.cpuUsPerStream;
    perCore.set(`${scenario.name} ${transport}`, corePerSecond);
    const cells = [
      row.streamsPerSecond.toFixed(0),
      row.cpuUsPerStream.toFixed(1),
      corePerSecond.toFixed(0),
      row.p50Ms.toFixed(2),
      row.p99Ms.toFixed(2),
      row.halfRateP50Ms.toFixed(2),
      row.halfRateP99Ms.toFixed(2),
      row.bytesPerIdleStream.toFixed(0),
      String(row.errors),
    ];
    console.log(`| ${scenario.name} | ${transport} | ${cells.join(' | ')} |`);
  }
  const slow = perCore.get(`${scenario.name} grpc-js`);
  const fast = perCore.get(`${scenario.name} fast`);
  if (slow !== undefined && fast !== undefined)
    console.log(`  ${scenario.name}: fast is ${(fast / slow).toFixed(1)} x grpc-js`);
}

async function measure(scenario: Scenario, transport: string): Promise<Row> {
  const child = fork(fileURLToPath(new URL('./server.js', import.meta.url)), [transport, values.endpoints], {
    execArgv: ['--max-semi-space-size=32'],
  });
  try {
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    await closedLoop(port, scenario, durationMs / 3);
    const before = await usageOf(child);
    const full = await closedLoop(port, scenario, durationMs);
    const after = await usageOf(child);
    const streamsPerSecond = full.finished / (full.elapsedMs / 1000);
    const half = await fixedRate(port, scenario, streamsPerSecond / 2, durationMs);
    return {
      streamsPerSecond,
      cpuUsPerStream: (after.cpuUs - before.cpuUs) / full.finished,
      p50Ms: quantile(full.pickMs, 0.5),
      p99Ms: quantile(full.pickMs, 0.99),
      halfRateP50Ms: quantile(half.pickMs, 0.5),
      halfRateP99Ms: quantile(half.pickMs, 0.99),
      bytesPerIdleStream: await idleBytes(child, port, scenario),
      errors: full.errors + half.errors,
    };
  } finally {
    child.kill();
  }
}

interface Measured {
  finished: number;
  errors: number;
  elapsedMs: number;
  readonly pickMs: number[];
}

async function closedLoop(port: number, scenario: Scenario, forMs: number): Promise<Measured> {
  const result: Measured = { finished: 0, errors: 0, elapsedMs: 0, pickMs: [] };
  const startedMs = performance.now();
  const connections: LoadConnection[] = [];
  for (let i = 0; i < Number(values.connections); i++) {
    const connection: LoadConnection = new LoadConnection(port, scenario, {
      onPicked: (ms) => result.pickMs.push(ms),
      onFinished: () => {
        result.finished++;
        if (performance.now() - startedMs < forMs) connection.start();
      },
      onError: (what) => report(result, what),
    });
    connections.push(connection);
    for (let n = 0; n < Number(values.streams); n++) connection.start();
  }
  await until(() => performance.now() - startedMs >= forMs && connections.every(({ open }) => open === 0));
  result.elapsedMs = performance.now() - startedMs;
  for (const connection of connections) connection.close();
  return result;
}

/** Intended start times are fixed in advance: what starts late still counts from when it was due. */
async function fixedRate(
  port: number,
  scenario: Scenario,
  perSecond: number,
  forMs: number,
): Promise<Measured> {
  const result: Measured = { finished: 0, errors: 0, elapsedMs: forMs, pickMs: [] };
  const startedMs = performance.now();
  let started = 0;
  const due: number[] = [];
  const connections = Array.from(
    { length: Number(values.connections) },
    () =>
      new LoadConnection(port, scenario, {
        onPicked: (ms) => result.pickMs.push(ms + (due.shift() ?? 0)),
        onFinished: () => result.finished++,
        onError: (what) => report(result, what),
      }),
  );
  while (performance.now() - startedMs < forMs) {
    const elapsedMs = performance.now() - startedMs;
    const wanted = (elapsedMs / 1000) * perSecond;
    while (started < wanted) {
      due.push(elapsedMs - (started / perSecond) * 1000);
      connections[started++ % connections.length]!.start();
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => connections.every(({ open }) => open === 0));
  for (const connection of connections) connection.close();
  return result;
}

/** Memory that one stream holds between its request and its response. */
async function idleBytes(child: ChildProcess, port: number, { name, phases }: Scenario): Promise<number> {
  const count = 5000;
  const hold: Scenario = { name, phases: [phases[0]!, { bytes: Buffer.alloc(0), replies: 1 }] };
  if (phases[0]!.bytes.length > 20_000) return Number.NaN;
  const before = await usageOf(child);
  let picked = 0;
  const connection = new LoadConnection(port, hold, {
    onPicked: () => picked++,
    onFinished: () => {},
    onError: () => {},
  });
  for (let i = 0; i < count; i++) {
    connection.start();
    if (i % 100 === 99) await until(() => picked > i - 100);
  }
  await until(() => picked === count);
  const after = await usageOf(child);
  connection.close();
  return Math.max(0, after.rssBytes - before.rssBytes) / count;
}

const printed = new Set<string>();
function report(result: Measured, what: string): void {
  result.errors++;
  if (!printed.has(what)) console.error(`error: ${what}`);
  printed.add(what);
}

async function usageOf(child: ChildProcess): Promise<Usage> {
  child.send('usage');
  const [usage] = (await once(child, 'message')) as [Usage];
  return usage;
}

async function until(isTrue: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 30_000;
  while (!isTrue()) {
    if (performance.now() > deadlineMs) throw new Error('the server does not answer');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function quantile(samples: number[], q: number): number {
  if (samples.length === 0) return Number.NaN;
  samples.sort((a, b) => a - b);
  return samples[Math.min(samples.length - 1, Math.floor(q * samples.length))]!;
}
