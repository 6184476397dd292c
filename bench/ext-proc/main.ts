import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { printComparison } from './comparison.ts';
import { closedLoop, openLoop } from './loops.ts';
import { pinClient } from './pinning.ts';
import { type Scenario, scenariosOf } from './scenario.ts';
import { ServerProcess } from './server-process.ts';
import { TurnMeter, type Turns } from './turn-meter.ts';
import { printWorkerTable, type WorkerRow } from './worker-table.ts';

/**
 * Streams per second through external processing: the limit (framing and codec alone, on our own HTTP/2), and the whole
 * product on either transport; `echo` is TCP alone, with the bytes of the request, and shows the machine. The server runs
 * in its own process, on cores of its own, and its CPU time is measured from outside, so the client costs nothing in it.
 * The half-rate columns come from an open loop: latency counts from when a stream was due.
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
    rate: { type: 'string' },
    profile: { type: 'string' },
    server: { type: 'string', default: fileURLToPath(new URL('./server.js', import.meta.url)) },
    against: { type: 'string' },
    pairs: { type: 'string', default: '9' },
    flag: { type: 'string', multiple: true, default: [] },
    'against-flag': { type: 'string', multiple: true, default: [] },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(`usage: node dist/bench/ext-proc/main.js [--seconds 3] [--connections 4] [--streams 16]
       [--endpoints 16] [--transport echo] [--transport framing] [--transport grpc-js] [--transport fast] [--only NAME ...]
       [--rate STREAMS_PER_SECOND] [--profile FILE.cpuprofile] [--server FILE.js] [--flag=--FLAG_OF_NODE ...]
       [--against FILE.js] [--against-flag=--FLAG_OF_NODE ...] [--pairs 9] [--workers 0 --workers 1 ...]
NAME is one of 2kB, 16kB, 64kB, 400kB, 100 chunks, 500 chunks. --rate takes the place of half of the full rate.
--profile keeps a CPU profile of the last server at full load, for a browser's developer tools; --server runs the
server of another build. --against compares that build (the base) with this one, in turns; --against-flag, or
--flag with --against, compares flags. --workers compares numbers of workers instead.
Both with the transport that is named, or fast.`);
  process.exit(0);
}

const scenarios = scenariosOf(values.only);

interface Row {
  readonly streamsPerSecond: number;
  readonly cpuUsPerStream: number;
  /** The kernel's part of it. */
  readonly kernelUsPerStream: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly half: Half;
  readonly bytesPerIdleStream: number;
  readonly errors: number;
}

/** At half of the full rate, or at the one that was asked for. */
interface Half {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly server: Turns;
  readonly client: Turns;
  readonly errors: number;
}

const durationMs = Number(values.seconds) * 1000;
const connections = Number(values.connections);
const streams = Number(values.streams);
const soleTransport = values.transport.length === 1 ? values.transport[0]! : 'fast';
/** Of the machine: asked before this process is bound to one. */
const coreCount = availableParallelism();
const cores = values.workers.length > 0 ? undefined : pinClient();
console.log(
  `ext-proc: ${cpus()[0]?.model ?? 'unknown CPU'}, ${coreCount} cores, Node ${process.version}, ` +
    `${connections} connections x ${streams} streams, ${values.endpoints} endpoints, default profile\n` +
    (cores === undefined
      ? 'server and client share the cores'
      : `server on core ${cores.server}, client on core ${cores.client}`),
);
if (values.workers.length > 0) {
  await printWorkerTable(scenarios, values.workers.map(Number), measureWorkers);
  process.exit(0);
}
if (values.against !== undefined || values['against-flag'].length > 0) {
  console.log('| scenario | base, CPU us/stream | changed | ratio, median | quartiles | pairs |');
  console.log('|---|---|---|---|---|---|');
  for (const scenario of scenarios) await compare(scenario);
  process.exit(0);
}
console.log(
  '| scenario | transport | streams/s | CPU us/stream | of it kernel | streams/s/core | of the limit | pick p50 ms | p99 | at half rate p50 | p99 | bytes/idle stream | errors |',
);
console.log('|---|---|---|---|---|---|---|---|---|---|---|---|---|');
const halves: { readonly name: string; readonly half: Half }[] = [];
for (const scenario of scenarios) {
  const perCore = new Map<string, number>();
  for (const transport of values.transport) {
    const row = await measure(scenario, transport);
    halves.push({ name: `${scenario.name} | ${transport}`, half: row.half });
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
      row.half.p50Ms.toFixed(2),
      row.half.p99Ms.toFixed(2),
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
printWhatBounds();

/** Where the tail at half rate comes from: the server, the client that measures it, or the machine under both. */
function printWhatBounds(): void {
  console.log(
    '\n| at half rate | transport | p99 ms | p99.9 | server: GC pauses/s | longest ms | GC share | longest turn ms | without a core ms/s | client: longest pause | longest turn | without a core ms/s |',
  );
  console.log('|---|---|---|---|---|---|---|---|---|---|---|---|');
  for (const { name, half } of halves) {
    const { server, client } = half;
    const cells = [
      half.p99Ms.toFixed(2),
      half.p999Ms.toFixed(2),
      ((1000 * server.pauses) / server.elapsedMs).toFixed(1),
      server.longestPauseMs.toFixed(2),
      `${((100 * server.pauseMs) / server.elapsedMs).toFixed(1)} %`,
      server.longestTurnMs.toFixed(2),
      ((1000 * server.withoutCoreMs) / server.elapsedMs).toFixed(1),
      client.longestPauseMs.toFixed(2),
      client.longestTurnMs.toFixed(2),
      ((1000 * client.withoutCoreMs) / client.elapsedMs).toFixed(1),
    ];
    console.log(`| ${name} | ${cells.join(' | ')} |`);
  }
}

function start(
  transport: string,
  { workers = 0, file = values.server, flags = values.flag } = {},
): Promise<ServerProcess> {
  const { endpoints } = values;
  return ServerProcess.start({ file, transport, endpoints, workers, cores: cores?.server, flags });
}

async function compare(scenario: Scenario): Promise<void> {
  const load = { scenario, connections };
  const against = { file: values.against ?? values.server, flags: values['against-flag'] };
  const servers = [await start(soleTransport, against), await start(soleTransport)] as const;
  try {
    for (const server of servers) await server.warmUp(load, streams, 0);
    await printComparison(load, streams, servers, Number(values.pairs));
  } finally {
    for (const server of servers) server.stop();
  }
}

async function measureWorkers(scenario: Scenario, workers: number): Promise<WorkerRow> {
  const server = await start(soleTransport, { workers });
  const load = { scenario, connections, port: server.port };
  try {
    await server.warmUp(load, streams, workers);
    const before = await server.ask('usage');
    const { finished, elapsedMs, pickMs, errors } = await closedLoop(load, streams, durationMs);
    const after = await server.ask('usage');
    return {
      streamsPerSecond: finished / (elapsedMs / 1000),
      ownerUs: (after.cpuUs - before.cpuUs) / finished,
      workersUs: (after.workersUs - before.workersUs) / finished,
      p50Ms: pickMs.quantile(0.5),
      p99Ms: pickMs.quantile(0.99),
      errors,
    };
  } finally {
    server.stop();
  }
}

async function measure(scenario: Scenario, transport: string): Promise<Row> {
  const server = await start(transport);
  const isEcho = transport === 'echo';
  const load = { scenario, connections, port: server.port, isEcho };
  try {
    await server.warmUp(load, streams, 0);
    const before = await server.ask(values.profile === undefined ? 'usage' : 'profile');
    const full = await closedLoop(load, streams, durationMs);
    const after = await server.ask(values.profile === undefined ? 'usage' : 'profiled');
    if (values.profile !== undefined) writeFileSync(values.profile, JSON.stringify(after.profile));
    const streamsPerSecond = full.finished / (full.elapsedMs / 1000);
    const half = await measureHalf(server, load, Number(values.rate ?? streamsPerSecond / 2));
    return {
      streamsPerSecond,
      cpuUsPerStream: (after.cpuUs - before.cpuUs) / full.finished,
      kernelUsPerStream: (after.systemUs - before.systemUs) / full.finished,
      p50Ms: full.pickMs.quantile(0.5),
      p99Ms: full.pickMs.quantile(0.99),
      half,
      bytesPerIdleStream: isEcho ? 0 : await server.idleBytes(scenario),
      errors: full.errors + half.errors,
    };
  } finally {
    server.stop();
  }
}

async function measureHalf(
  server: ServerProcess,
  load: Parameters<typeof openLoop>[0],
  perSecond: number,
): Promise<Half> {
  const meter = new TurnMeter();
  let metering: Promise<unknown> | undefined;
  const { pickMs, errors } = await openLoop(load, perSecond, durationMs, () => {
    meter.begin();
    metering = server.ask('meter');
  });
  await metering;
  const client = await meter.end();
  const { turns } = await server.ask('metered');
  if (turns === undefined) throw new Error('the server has not measured its turns');
  return {
    p50Ms: pickMs.quantile(0.5),
    p99Ms: pickMs.quantile(0.99),
    p999Ms: pickMs.quantile(0.999),
    server: turns,
    client,
    errors,
  };
}
