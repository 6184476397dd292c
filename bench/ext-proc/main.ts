import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { LoadConnection } from './load-connection.ts';
import { exchange, type Scenario } from './scenario.ts';
import { printWorkerTable, type WorkerRow } from './worker-table.ts';

/**
 * Streams per second through external processing: the limit (framing and codec alone, on our own HTTP/2), and
 * the whole product on either transport. The server runs in its own process and its CPU time is measured from
 * outside, so the client costs nothing in it. The half-rate columns come from an open loop: latency counts from
 * when a stream was due.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '4' },
    streams: { type: 'string', default: '16' },
    endpoints: { type: 'string', default: '16' },
    transport: { type: 'string', multiple: true, default: ['framing', 'grpc-js', 'fast'] },
    only: { type: 'string', multiple: true, default: [] },
    workers: { type: 'string', multiple: true, default: [] },
    profile: { type: 'string' },
    server: { type: 'string', default: fileURLToPath(new URL('./server.js', import.meta.url)) },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(`usage: node dist/bench/ext-proc/main.js [--seconds 3] [--connections 4] [--streams 16]
       [--endpoints 16] [--transport framing] [--transport grpc-js] [--transport fast] [--only NAME ...]
       [--profile FILE.cpuprofile] [--server FILE.js] [--workers 0 --workers 1 ...]
NAME is one of 2kB, 16kB, 64kB, 400kB, 100 chunks, 500 chunks. --profile keeps a CPU profile of the last server
at full load, for a browser's developer tools; --server runs the server of another build. --workers compares numbers of
workers instead, with the transport that is named, or fast.`);
  process.exit(0);
}

const scenarios = [
  exchange('2kB', 2_000, 1),
  exchange('16kB', 16_000, 1),
  exchange('64kB', 64_000, 1),
  exchange('400kB', 400_000, 1),
  exchange('100 chunks', 2_000, 100),
  exchange('500 chunks', 2_000, 500),
].filter(({ name }) => values.only.length === 0 || values.only.includes(name));

interface Usage {
  readonly cpuUs: number;
  /** The kernel's part of it. */
  readonly systemUs: number;
  /** Of all workers. */
  readonly workersUs: number;
  readonly liveBytes: number;
  readonly profile?: object;
}

interface Row {
  readonly streamsPerSecond: number;
  readonly cpuUsPerStream: number;
  /** The kernel's part of it. */
  readonly kernelUsPerStream: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly halfRateP50Ms: number;
  readonly halfRateP99Ms: number;
  readonly bytesPerIdleStream: number;
  readonly errors: number;
}

const durationMs = Number(values.seconds) * 1000;
/** Errors that were told; the others are counted. */
const printed = new Set<string>();
/** Of the server, its start included. */
const warmUpCpuUs = 2.5e6;
console.log(
  `ext-proc: ${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores, Node ${process.version}, ` +
    `${values.connections} connections x ${values.streams} streams, ${values.endpoints} endpoints, default profile`,
);
if (values.workers.length > 0) {
  await printWorkerTable(scenarios, values.workers.map(Number), measureWorkers);
  process.exit(0);
}
console.log(
  '| scenario | transport | streams/s | CPU us/stream | of it kernel | streams/s/core | of the limit | pick p50 ms | p99 | at half rate p50 | p99 | bytes/idle stream | errors |',
);
console.log('|---|---|---|---|---|---|---|---|---|---|---|---|---|');
for (const scenario of scenarios) {
  const perCore = new Map<string, number>();
  for (const transport of values.transport) {
    const row = await measure(scenario, transport);
    const corePerSecond = 1e6 / row.cpuUsPerStream;
    perCore.set(transport, corePerSecond);
    const limit = perCore.get('framing');
    const cells = [
      row.streamsPerSecond.toFixed(0),
      row.cpuUsPerStream.toFixed(1),
      row.kernelUsPerStream.toFixed(1),
      corePerSecond.toFixed(0),
      limit === undefined ? '' : `${((100 * corePerSecond) / limit).toFixed(0)} %`,
      row.p50Ms.toFixed(2),
      row.p99Ms.toFixed(2),
      row.halfRateP50Ms.toFixed(2),
      row.halfRateP99Ms.toFixed(2),
      row.bytesPerIdleStream.toFixed(0),
      String(row.errors),
    ];
    console.log(`| ${scenario.name} | ${transport} | ${cells.join(' | ')} |`);
  }
  const slow = perCore.get('grpc-js');
  const fast = perCore.get('fast');
  if (slow !== undefined && fast !== undefined)
    console.log(`  ${scenario.name}: fast is ${(fast / slow).toFixed(1)} x grpc-js`);
}

async function measureWorkers(scenario: Scenario, workers: number): Promise<WorkerRow> {
  const transport = values.transport.length === 1 ? values.transport[0]! : 'fast';
  const child = fork(values.server, [transport, values.endpoints, String(workers)]);
  try {
    const port = await warmedUp(child, scenario, workers);
    const before = await ask(child, 'usage');
    const { finished, elapsedMs, pickMs, errors } = await closedLoop(port, scenario, durationMs);
    const after = await ask(child, 'usage');
    return {
      streamsPerSecond: finished / (elapsedMs / 1000),
      ownerUs: (after.cpuUs - before.cpuUs) / finished,
      workersUs: (after.workersUs - before.workersUs) / finished,
      p50Ms: quantile(pickMs, 0.5),
      p99Ms: quantile(pickMs, 0.99),
      errors,
    };
  } finally {
    child.kill();
  }
}

/**
 * Loads the server until its code is compiled, each worker's too; gives its port. By CPU time and not by the clock:
 * on a shared machine a second may be little work, and code still cold.
 */
async function warmedUp(child: ChildProcess, scenario: Scenario, workers: number): Promise<number> {
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  let usage: Usage;
  do {
    await closedLoop(port, scenario, 250);
    usage = await ask(child, 'usage');
  } while (usage.cpuUs < warmUpCpuUs || usage.workersUs < workers * warmUpCpuUs);
  return port;
}

async function measure(scenario: Scenario, transport: string): Promise<Row> {
  const child = fork(values.server, [transport, values.endpoints]);
  try {
    const port = await warmedUp(child, scenario, 0);
    const before = await ask(child, values.profile === undefined ? 'usage' : 'profile');
    const full = await closedLoop(port, scenario, durationMs);
    const after = await ask(child, values.profile === undefined ? 'usage' : 'profiled');
    if (values.profile !== undefined) writeFileSync(values.profile, JSON.stringify(after.profile));
    const streamsPerSecond = full.finished / (full.elapsedMs / 1000);
    const half = await openLoop(port, scenario, streamsPerSecond / 2, durationMs);
    return {
      streamsPerSecond,
      cpuUsPerStream: (after.cpuUs - before.cpuUs) / full.finished,
      kernelUsPerStream: (after.systemUs - before.systemUs) / full.finished,
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
        const nowMs = performance.now();
        if (nowMs - startedMs < forMs) connection.start(nowMs);
      },
      onError: (what) => report(result, what),
    });
    connections.push(connection);
    for (let n = 0; n < Number(values.streams); n++) connection.start(performance.now());
    connection.flush();
  }
  await until(() => performance.now() - startedMs >= forMs && connections.every(({ open }) => open === 0));
  result.elapsedMs = performance.now() - startedMs;
  for (const connection of connections) connection.close();
  return result;
}

/** Intended start times are fixed in advance: what starts late still counts from when it was due. */
async function openLoop(
  port: number,
  scenario: Scenario,
  perSecond: number,
  forMs: number,
): Promise<Measured> {
  const result: Measured = { finished: 0, errors: 0, elapsedMs: forMs, pickMs: [] };
  const connections = Array.from(
    { length: Number(values.connections) },
    () =>
      new LoadConnection(port, scenario, {
        onPicked: (ms) => result.pickMs.push(ms),
        onFinished: () => result.finished++,
        onError: (what) => report(result, what),
      }),
  );
  const intervalMs = 1000 / perSecond;
  const startedMs = performance.now();
  for (let started = 0; ; ) {
    const elapsedMs = performance.now() - startedMs;
    if (elapsedMs >= forMs) break;
    for (; started * intervalMs <= elapsedMs; started++)
      connections[started % connections.length]!.start(startedMs + started * intervalMs);
    for (const connection of connections) connection.flush();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => connections.every(({ open }) => open === 0));
  for (const connection of connections) connection.close();
  return result;
}

/** Live memory that one stream holds between its request and its response. */
async function idleBytes(child: ChildProcess, port: number, { name, phases }: Scenario): Promise<number> {
  const request = phases[0]!;
  const count = Math.min(5000, Math.ceil(2e8 / request.bytes.length));
  const hold: Scenario = { name, phases: [request, { bytes: Buffer.alloc(0), replies: 1 }] };
  const before = await ask(child, 'live bytes');
  let answered = 0;
  const connection = new LoadConnection(port, hold, {
    onPicked: () => answered++,
    onFinished: () => {},
    onError: (what) => console.error(`error: ${what}`),
  });
  for (let i = 0; i < count; i++) {
    connection.start(performance.now());
    connection.flush();
    if (i % 10 === 9) await until(() => answered > i - 10);
  }
  await until(() => answered === count);
  const after = await ask(child, 'live bytes');
  connection.close();
  return Math.max(0, after.liveBytes - before.liveBytes) / count;
}

function report(result: Measured, what: string): void {
  result.errors++;
  if (!printed.has(what)) console.error(`error: ${what}`);
  printed.add(what);
}

async function ask(
  child: ChildProcess,
  question: 'usage' | 'live bytes' | 'profile' | 'profiled',
): Promise<Usage> {
  child.send(question);
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
