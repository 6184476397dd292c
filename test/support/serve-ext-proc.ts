import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { EndpointPicker } from '../../src/endpoint-picker/index.ts';
import { type ExtProcOptions, serveExtProc, serveExtProcByWorkers } from '../../src/ext-proc/index.ts';
import type { RunningServer } from '../../src/protocol/running-server.ts';
import { createStreamTally } from '../../src/telemetry/index.ts';

/** The program of workers, which is run as it is shipped. */
export const workerFile = join(
  import.meta.dirname,
  '..',
  '..',
  'dist',
  'src',
  'ext-proc',
  'workers',
  'worker-main.js',
);

export interface ServedOptions extends Omit<ExtProcOptions, 'host' | 'port' | 'picker' | 'rules'> {
  readonly picker: EndpointPicker;
  /** 0: in the process of the test. */
  readonly workers?: number;
  /** The program of workers, if it is not ours. */
  readonly file?: string;
}

/** External processing on a free port of the loopback, in this process or in workers. */
export async function serveOnLoopback({
  workers = 0,
  file = workerFile,
  ...options
}: ServedOptions): Promise<RunningServer> {
  const where = { host: '127.0.0.1', port: 0 };
  if (workers === 0) return serveExtProc({ ...options, ...where });
  if (!existsSync(workerFile)) throw new Error('dist/ is missing; run `npm run build` first');
  const {
    picker,
    log,
    tls,
    limits,
    isServing,
    fallbacks = 0,
    explains = false,
    tellsScores = false,
    transport = 'fast',
  } = options;
  let told = isServing();
  let changed = (): void => {};
  const watch = setInterval(() => {
    if (isServing() !== told) changed();
    told = isServing();
  }, 5);
  const server = await serveExtProcByWorkers({
    ...where,
    workers,
    picker,
    log,
    streams: createStreamTally(),
    settings: {
      transport,
      tls,
      limits,
      fallbacks,
      explains,
      tellsScores,
      log: { level: 'silent', format: 'json' },
      orphanDeadlineMs: 0,
    },
    state: () => ({
      isServing: isServing(),
      rules: { objectives: {}, modelRewrites: [], tenantHeader: undefined },
    }),
    onStateChange: (listener) => {
      changed = listener;
    },
    file,
  });
  return {
    ...server,
    close: async (deadlineMs) => {
      clearInterval(watch);
      await server.close(deadlineMs);
    },
  };
}
