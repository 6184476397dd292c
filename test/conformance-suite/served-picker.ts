import { startPickerService } from '../../src/commands/picker-service.ts';
import { loadConfiguration } from '../../src/configuration/index.ts';
import { EchoBackends, hostAndPort, Session, type SessionOptions } from '../../src/conformance/index.ts';
import type { RunningServer } from '../../src/protocol/running-server.ts';
import { silentLog } from '../../src/telemetry/index.ts';
import { serveOnLoopback } from '../support/serve-ext-proc.ts';

export const model = 'conformance';
const loopbacks = ['127.0.0.2', '127.0.0.3', '127.0.0.4'];

/** Where the next backends are tried; far enough from those of other test processes. */
let nextPort = 21_000 + (process.pid % 20_000);

/** Echo backends on free ports of loopback addresses: three hosts, each with as many ports. */
export async function openBackends(
  ports = 1,
): Promise<{ backends: EchoBackends; endpoints: readonly string[] }> {
  const backends = new EchoBackends(model);
  for (;;) {
    const port = nextPort;
    nextPort += 7;
    const endpoints = loopbacks.flatMap((host) =>
      Array.from({ length: ports }, (_, rank) => `${host}:${port + rank}`),
    );
    if ((await backends.open(endpoints)).length === 0) return { backends, endpoints };
    await backends.close();
  }
}

export function sessionWith(
  address: string,
  options: Pick<SessionOptions, 'backends' | 'endpoints'> & Partial<SessionOptions>,
): Session {
  return new Session({
    target: { ...hostAndPort(address), usesTls: false },
    health: undefined,
    timeoutMs: 5000,
    warmUpMs: 10_000,
    model,
    areEndpointsCertain: true,
    namesFallbacks: false,
    sheds: undefined,
    ...options,
  });
}

/** Our own picker as it is shipped: pool, scraper, default profile, ext-proc. */
export async function servePicker(options: {
  readonly endpoints: readonly string[];
  readonly transport: 'fast' | 'grpc-js';
  readonly isEncrypted: boolean;
  readonly fallbacks?: number;
  readonly workers?: number;
  readonly flowControl?: object;
}): Promise<RunningServer> {
  const { endpoints, transport, isEncrypted, fallbacks = 0, workers = 0, flowControl = {} } = options;
  const overrides = [
    { path: ['pool', 'endpoints'], value: endpoints.map((address) => ({ address })), flag: 'test' },
    ...Object.entries(flowControl).map(([key, value]) => ({
      path: ['flowControl', key],
      value: value as unknown,
      flag: 'test',
    })),
  ];
  const loaded = await loadConfiguration({ overrides });
  const service = await startPickerService({ loaded, log: silentLog });
  const server = await serveOnLoopback({
    workers,
    picker: service.picker,
    log: silentLog,
    tls: { mode: isEncrypted ? 'self-signed' : 'off' },
    limits: { maxBodyBytes: 8 << 20, blockTokens: 64, maxPrefixTokens: 4096 },
    isServing: service.isServing,
    fallbacks,
    transport,
  });
  return {
    ...server,
    close: async (deadlineMs) => {
      await server.close(deadlineMs);
      await service.close();
    },
  };
}
