import { mkdirSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { loadNative } from '../../src/engine/native/load.ts';
import { simdCode, simdFault } from '../../src/simd/index.ts';
import { fileKinds, fuzzFiles } from './fuzz-files.ts';
import { type FuzzFailure, fuzzHttp2 } from './fuzz-http2.ts';
import { fuzzProtobuf } from './fuzz-protobuf.ts';
import { fuzzRequests } from './fuzz-requests.ts';
import { fuzzScans } from './fuzz-scans.ts';
import { fuzzTraffic } from './fuzz-traffic.ts';
import { openRequestTarget } from './request-target.ts';
import { openTrafficTarget } from './traffic-target.ts';

/**
 * Random and mutated input for what reads bytes from elsewhere: whole HTTP/2 conversations against a connection,
 * frames against both codecs of ext-proc, bodies against SIMD code and what it does in JavaScript, files of models of each kind against their readers, request bodies
 * against the engine's endpoints, requests in any order through its core. A case is named by the seed and its number.
 */
const { values } = parseArgs({
  options: {
    http2: { type: 'string', default: '0' },
    protobuf: { type: 'string', default: '0' },
    files: { type: 'string', default: '0' },
    requests: { type: 'string', default: '0' },
    scans: { type: 'string', default: '0' },
    traffic: { type: 'string', default: '0' },
    'async-scheduling': { type: 'boolean', default: false },
    kind: { type: 'string', multiple: true, default: [...fileKinds] },
    from: { type: 'string', default: '0' },
    seed: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(`usage: npm run fuzz -- [--http2 1000000] [--protobuf 100000] [--scans 300000] [--files 50000 [--kind gguf]...] [--requests 50000] [--traffic 100000 [--async-scheduling]] [--seed S] [--from CASE]
Cases that fail are written to build/fuzz/, and the exit code is 1.`);
  process.exit(0);
}

const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
const from = Number(values.from);
const folder = 'build/fuzz';
const slices = 10;
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
/** Printed in full; the rest is only counted. */
const shownFailures = 5;

console.log(`seed ${seed}, Node ${process.version}`);
let failed =
  (await fuzz('http2', Number(values.http2), fuzzHttp2)) +
  (await fuzz('protobuf', Number(values.protobuf), async (options) => fuzzProtobuf(options)));
if (Number(values.scans) > 0) {
  const code = simdCode();
  if (code === undefined) throw new Error(`no SIMD code: ${simdFault()}`);
  failed += await fuzz('scans', Number(values.scans), async (options) => fuzzScans({ ...options, code }));
}
for (const kind of fileKinds.filter((each) => values.kind.includes(each)))
  failed += await fuzz(kind, Number(values.files), async (options) =>
    fuzzFiles({ ...options, kind, native: loadNative(), fixtures: resolve('test/fixtures') }),
  );
if (Number(values.requests) > 0) {
  const target = await openRequestTarget({ model: 'config/models/pointsman-mini', hasTokenizerThread: true });
  failed += await fuzz('requests', Number(values.requests), (options) =>
    fuzzRequests({ ...options, target }),
  );
  await target.close();
}
if (Number(values.traffic) > 0) {
  const target = openTrafficTarget(resolve('test/fixtures'), values['async-scheduling']);
  failed += await fuzz('traffic', Number(values.traffic), async (options) =>
    fuzzTraffic({ ...options, target }),
  );
  target.close();
}
process.exitCode = failed === 0 ? 0 : 1;

async function fuzz(
  name: string,
  count: number,
  run: (options: { seed: number; from: number; to: number }) => ReturnType<typeof fuzzHttp2>,
): Promise<number> {
  if (count === 0) return 0;
  const totals = new Map<string, number>();
  let failed = 0;
  console.log(`\n${name}: ${count} cases from ${from}; ${memory()} at the start`);
  for (let slice = 0; slice < slices; slice++) {
    const begin = from + Math.floor((count * slice) / slices);
    const end = from + Math.floor((count * (slice + 1)) / slices);
    const { outcomes, failures } = await run({ seed, from: begin, to: end });
    for (const [outcome, cases] of outcomes) totals.set(outcome, (totals.get(outcome) ?? 0) + cases);
    for (const failure of failures) report(name, failure, failed++);
    console.log(`  ${String(end - from).padStart(8)} cases, ${failed} failed, ${memory()}`);
  }
  for (const [outcome, cases] of [...totals].toSorted(([, a], [, b]) => b - a)) {
    console.log(`  ${String(cases).padStart(8)}  ${outcome}`);
  }
  const timers = process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
  console.log(
    `  ${failed} failed; ${timers} timers and ${process.getActiveResourcesInfo().length} handles are left`,
  );
  return failed;
}

function report(name: string, failure: FuzzFailure, earlier: number): void {
  mkdirSync(folder, { recursive: true });
  const file = `${folder}/${name}-${failure.seed}-${failure.index}.json`;
  writeFileSync(file, `${JSON.stringify(failure, null, 1)}\n`);
  if (earlier < shownFailures) console.log(`  case ${failure.index}: ${failure.faults.join('; ')} (${file})`);
}

/** What is held, not what waits to be collected. */
function memory(): string {
  collectGarbage();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  return `RSS ${mib(rss)}, heap ${mib(heapUsed)}, buffers ${mib(arrayBuffers)} MiB`;
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
