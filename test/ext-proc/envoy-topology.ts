import { createHash } from 'node:crypto';
import {
  type Bootstrap,
  type BootstrapName,
  connectionManager,
  setBodyMode,
} from '../../bench/envoy/bootstrap.ts';
import type { InstalledEnvoy } from '../../bench/envoy/installed-envoys.ts';
import { type RunningEnvoy, startEnvoy } from '../../bench/envoy/run-envoy.ts';
import type { RunningServer } from '../../src/protocol/running-server.ts';
import { silentLog } from '../../src/telemetry/index.ts';
import { serveOnLoopback } from '../support/serve-ext-proc.ts';
import { type Echo, type EchoEngine, startEchoEngine } from './echo-engine.ts';
import { type FakePicker, fakePicker } from './fakes.ts';

/** Client → Envoy → endpoint picker, and Envoy → two engines. */
export interface Topology {
  readonly engines: readonly EchoEngine[];
  readonly picker: FakePicker;
  readonly extProc: RunningServer;
  readonly envoy: RunningEnvoy;
  close(): Promise<void>;
}

export interface TopologyOptions {
  readonly envoy: InstalledEnvoy;
  readonly config?: BootstrapName;
  readonly mode?: string;
  readonly maxBodyBytes?: number;
  readonly fallbacks?: number;
  readonly workers?: number;
  /** What is picked in place of the two engines. */
  readonly addresses?: readonly string[];
  readonly adjust?: (bootstrap: Bootstrap) => void;
}

export async function startTopology({
  envoy: installed,
  config = 'standalone',
  mode = 'FULL_DUPLEX_STREAMED',
  maxBodyBytes = 16_000_000,
  fallbacks = 0,
  workers = 0,
  addresses,
  adjust = () => {},
}: TopologyOptions): Promise<Topology> {
  const engines = await Promise.all([startEchoEngine(), startEchoEngine()]);
  const picker = fakePicker(addresses ?? engines.map(({ address }) => address));
  const extProc = await serveOnLoopback({
    workers,
    picker,
    log: silentLog,
    tls: { mode: 'self-signed' },
    limits: { maxBodyBytes, blockTokens: 16, maxPrefixTokens: 4096 },
    isServing: () => true,
    fallbacks,
  });
  const envoy = await startEnvoy({
    envoy: installed,
    config,
    extProcPorts: [extProc.port],
    enginePorts: engines.map(({ port }) => port),
    adjust: (bootstrap) => {
      setBodyMode(bootstrap, mode);
      connectionManager(bootstrap).http_filters.unshift(subsetFrom('x-test-subset'));
      adjust(bootstrap);
    },
  });
  return {
    engines,
    picker,
    extProc,
    envoy,
    async close() {
      await envoy.close();
      await extProc.close(0);
      await Promise.all(engines.map((engine) => engine.close()));
    },
  };
}

/** Stands in for a data plane that knows which endpoints a route may use: they are named in a header. */
export const subsetFrom = (header: string) => ({
  name: 'envoy.filters.http.header_to_metadata',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config',
    request_rules: [
      {
        header,
        on_header_present: {
          metadata_namespace: 'envoy.lb.subset_hint',
          key: 'x-gateway-destination-endpoint-subset',
          type: 'STRING',
        },
      },
    ],
  },
});

export const chat = (content: string) =>
  JSON.stringify({ model: 'm', messages: [{ role: 'user', content }] });
export const sha256 = (body: string) => createHash('sha256').update(body).digest('hex');

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** What reached the engine; empty if none was reached. */
  readonly echo: Echo;
}

export async function post(
  { envoy }: Topology,
  body: string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(`${envoy.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });
  const text = await response.text();
  const echo = text.startsWith('{"echo"') ? (JSON.parse(text) as { echo: Echo }).echo : ({} as Echo);
  return { status: response.status, headers: response.headers, text, echo };
}
