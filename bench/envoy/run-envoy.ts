import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Bootstrap,
  type BootstrapName,
  bootstrapFor,
  clusterOf,
  replacePorts,
  setEndpoints,
} from './bootstrap.ts';
import type { InstalledEnvoy } from './installed-envoys.ts';

/** A real Envoy, started from the bootstraps that operators use. */

export interface EnvoyOptions {
  readonly envoy: InstalledEnvoy;
  readonly config: BootstrapName;
  /** One endpoint picker, or several to balance over. */
  readonly extProcPorts: readonly number[];
  /** Of the cluster `engines`, where the bootstrap has it. */
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
  const { envoy: installed, config, extProcPorts, enginePorts } = options;
  const [listenerPort, adminPort] = await freePorts(2);
  const bootstrap = bootstrapFor(config, installed);
  replacePorts(
    bootstrap,
    new Map([
      [8081, listenerPort!],
      [19000, adminPort!],
    ]),
  );
  setEndpoints(clusterOf(bootstrap, 'endpoint-picker'), extProcPorts);
  if (config === 'override-host') setEndpoints(clusterOf(bootstrap, 'engines'), enginePorts ?? []);
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
  const child = spawn(installed.binary, flags, { stdio: ['ignore', 'ignore', 'pipe'] });
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

/** Ports of 127.0.0.1 that nobody listens on. */
export async function freePorts(count: number): Promise<number[]> {
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
