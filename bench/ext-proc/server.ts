import { Session } from 'node:inspector/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { prepareV8 } from '../../src/commands/v8-settings.ts';
import { loadConfiguration } from '../../src/configuration/index.ts';
import { createEndpointPicker } from '../../src/endpoint-picker/endpoint-picker.ts';
import { serveExtProc, serveExtProcByWorkers } from '../../src/ext-proc/index.ts';
import { InferencePool } from '../../src/pool/inference-pool.ts';
import { ApproximateIndex } from '../../src/prefix-index/approximate-index.ts';
import { createProfile } from '../../src/scheduling/profile.ts';
import { createMetrics, observers, requestLog, silentLog } from '../../src/telemetry/index.ts';
import { childProcessorUs } from './child-processor-time.ts';
import { serveEcho } from './echo-server.ts';
import { serveFraming } from './framing-server.ts';
import { createProduct } from './product.ts';
import { TurnMeter } from './turn-meter.ts';

/**
 * The server half of the benchmark, as a process of its own: the product's default profile over a pool whose
 * endpoints answered their scrape, or the framing alone. Tells its port, and its CPU time and memory when asked. With
 * workers they serve the streams, and their CPU time is told, too.
 */
const [transport = 'fast', endpoints = '16', workers = '0'] = process.argv.slice(2);

async function serveProduct(): Promise<{ readonly port: number }> {
  const { limits, ...product } = await createProduct(
    {
      loadConfiguration,
      ApproximateIndex,
      InferencePool,
      createProfile,
      createEndpointPicker,
      createMetrics,
      observers,
      requestLog,
      silentLog,
    },
    Number(endpoints),
  );
  const where = { host: '127.0.0.1', port: 0, ...product };
  const settings = {
    tls: { mode: 'off' },
    transport: transport === 'grpc-js' ? 'grpc-js' : 'fast',
    limits,
  } as const;
  if (Number(workers) === 0) return serveExtProc({ ...where, ...settings, isServing: () => true });
  const rules = { objectives: {}, modelRewrites: [], tenantHeader: undefined };
  return serveExtProcByWorkers({
    ...where,
    workers: Number(workers),
    settings: {
      ...settings,
      fallbacks: 0,
      explains: false,
      tellsScores: false,
      log: { level: 'silent', format: 'json' },
      orphanDeadlineMs: 0,
    },
    state: () => ({ isServing: true, rules }),
    onStateChange: () => {},
  });
}

function serve(): Promise<{ readonly port: number }> {
  if (transport === 'echo') return serveEcho();
  return transport === 'framing' ? serveFraming() : serveProduct();
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') collect();
}

prepareV8();
const { port } = await serve();
const session = new Session();
const meter = new TurnMeter();
process.send?.({ port });
process.on('message', async (question) => {
  if (question === 'live bytes') collectGarbage();
  if (question === 'profile') {
    session.connect();
    await session.post('Profiler.enable');
    await session.post('Profiler.setSamplingInterval', { interval: 200 });
    await session.post('Profiler.start');
  }
  if (question === 'meter') meter.begin();
  const turns = question === 'metered' ? await meter.end() : undefined;
  const profile = question === 'profiled' ? (await session.post('Profiler.stop')).profile : undefined;
  const { user, system } = process.cpuUsage();
  const { heapUsed, external } = process.memoryUsage();
  process.send?.({
    cpuUs: user + system,
    systemUs: system,
    workersUs: Number(workers) === 0 ? 0 : childProcessorUs(),
    liveBytes: heapUsed + external,
    profile,
    turns,
  });
});
process.on('disconnect', () => process.exit(0));
