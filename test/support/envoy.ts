import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

/** A real Envoy for tests, started from the bootstraps that operators use. */

const root = fileURLToPath(new URL('../..', import.meta.url));

export const envoyMissing =
  'no Envoy found in $ENVOY_BIN, PATH or build/envoy; test/support/install-envoy.sh installs one';

/** $ENVOY_BIN, then PATH, then what `install-envoy.sh` put into build/envoy. */
export function findEnvoy(): string | undefined {
  const inPath = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'envoy'));
  const candidates = [
    process.env['ENVOY_BIN'] ?? '',
    ...inPath,
    join(root, 'build', 'envoy', 'envoy', '_bin', 'envoy'),
  ];
  return candidates.find((path) => path !== '' && isRunnable(path));
}

function isRunnable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    execFileSync(path, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    // Not there, or built for another machine: the next candidate may do.
    return false;
  }
}

export type Bootstrap = Record<string, unknown>;

export interface EnvoyOptions {
  readonly binary: string;
  /** File in config/envoy, without extension. */
  readonly config: 'standalone' | 'override-host';
  readonly extProcPort: number;
  /** Replaces ports 8001, 8002, … of the cluster `engines`, in order. */
  readonly enginePorts?: readonly number[];
  /** Changes the bootstrap further, in place. */
  readonly adjust?: (bootstrap: Bootstrap) => void;
}

export interface RunningEnvoy {
  readonly url: string;
  /** A counter or gauge of the admin page; undefined if Envoy has none of that name. */
  stat(name: string): Promise<number | undefined>;
  close(): Promise<void>;
  /** What it wrote to standard error. */
  log(): string;
}

const startTimeoutMs = 20_000;

export async function startEnvoy(options: EnvoyOptions): Promise<RunningEnvoy> {
  const [listenerPort, adminPort] = await freePorts(2);
  const bootstrap = parse(
    readFileSync(join(root, 'config', 'envoy', `${options.config}.yaml`), 'utf8'),
  ) as Bootstrap;
  const ports = new Map([
    [8081, listenerPort!],
    [19000, adminPort!],
    [9002, options.extProcPort],
    ...(options.enginePorts ?? []).map((port, index): [number, number] => [8001 + index, port]),
  ]);
  replacePorts(bootstrap, ports);
  options.adjust?.(bootstrap);

  const folder = await mkdtemp(join(tmpdir(), 'pointsman-envoy-'));
  const path = join(folder, 'envoy.json');
  await writeFile(path, JSON.stringify(bootstrap));
  const flags = [
    '--config-path',
    path,
    '--log-level',
    'warning',
    '--concurrency',
    '1',
    '--disable-hot-restart',
  ];
  const child = spawn(options.binary, flags, { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    log += chunk;
  });
  const envoy: RunningEnvoy = {
    url: `http://127.0.0.1:${listenerPort}`,
    stat: (name) => readStat(adminPort!, name),
    log: () => log,
    async close() {
      await stop(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await ready(child, adminPort!);
  } catch (error) {
    await envoy.close();
    throw new Error(`Envoy did not start: ${log.slice(-2_000)}`, { cause: error });
  }
  return envoy;
}

/** Sets both body modes of the ext_proc filter. */
export function setBodyMode(bootstrap: Bootstrap, mode: string): void {
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    const object = node as Record<string, unknown>;
    if ('request_body_mode' in object) {
      object['request_body_mode'] = mode;
      object['response_body_mode'] = mode;
      // Only full duplex demands trailers.
      if (mode !== 'FULL_DUPLEX_STREAMED') {
        object['request_trailer_mode'] = 'SKIP';
        object['response_trailer_mode'] = 'SKIP';
      }
    }
    for (const value of Object.values(object)) walk(value);
  };
  walk(bootstrap);
}

/** The HTTP connection manager's configuration, for tests that add filters. */
export function connectionManager(
  bootstrap: Bootstrap,
): Record<string, unknown> & { http_filters: object[] } {
  const { listeners } = bootstrap['static_resources'] as {
    listeners: { filter_chains: { filters: { typed_config: object }[] }[] }[];
  };
  return listeners[0]!.filter_chains[0]!.filters[0]!.typed_config as ReturnType<typeof connectionManager>;
}

function replacePorts(node: unknown, ports: ReadonlyMap<number, number>): void {
  if (typeof node !== 'object' || node === null) return;
  const object = node as Record<string, unknown>;
  const port = object['port_value'];
  if (typeof port === 'number') object['port_value'] = ports.get(port) ?? port;
  for (const value of Object.values(object)) replacePorts(value, ports);
}

async function readStat(adminPort: number, name: string): Promise<number | undefined> {
  const response = await fetch(`http://127.0.0.1:${adminPort}/stats?filter=^${name.replaceAll('.', '\\.')}$`);
  const value = (await response.text()).split(': ')[1];
  return value === undefined ? undefined : Number(value);
}

async function ready(child: ChildProcess, adminPort: number): Promise<void> {
  const deadline = Date.now() + startTimeoutMs;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`exit code ${child.exitCode}`);
    const answer = await fetch(`http://127.0.0.1:${adminPort}/ready`).catch(() => undefined);
    if (answer?.ok) return;
    if (Date.now() > deadline) throw new Error(`not ready after ${startTimeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve) => {
          server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
