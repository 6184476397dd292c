import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';

const main = fileURLToPath(new URL('../../src/commands/main.js', import.meta.url));
const readyWithinMs = 60_000;

export interface RunningProcess {
  /** `http://host:port`. */
  readonly url: string;
  readonly address: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** One engine with the bundled model on one thread. */
export function startEngine(model: string, args: readonly string[]): Promise<RunningProcess> {
  return start(['engine', model, '--port', '0', '--threads', '1', '--log-format', 'json', ...args]);
}

/** The gateway with this configuration in front of the engines, ready to serve. */
export async function startGateway(
  yaml: string,
  engines: readonly RunningProcess[],
): Promise<RunningProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'pointsman-live-'));
  const file = join(folder, 'pointsman.yaml');
  writeFileSync(file, `${yaml}\n`);
  const endpoints = engines.map(({ address }) => address).join(',');
  const ports = ['--port', '0', '--metrics-port', '0', '--log-level', 'info', '--log-format', 'json'];
  const gateway = await start(['gateway', '-c', file, '--endpoints', endpoints, ...ports]);
  rmSync(folder, { recursive: true });
  await untilAllReady(gateway.url, engines.length);
  return gateway;
}

async function untilAllReady(url: string, engines: number): Promise<void> {
  const deadline = performance.now() + readyWithinMs;
  const pattern = new RegExp(`^llm_d_epp_ready_endpoints\\{[^}]*\\} ${engines}$`, 'm');
  while (performance.now() < deadline) {
    const { body } = await request(`${url}/metrics`);
    if (pattern.test(await body.text())) return;
    await delay(50);
  }
  throw new Error(`${url} does not have ${engines} ready engines after ${readyWithinMs / 1000} s`);
}

async function start(args: readonly string[]): Promise<RunningProcess> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const address = await addressOf(child, args[0]!);
  return {
    address,
    pid: child.pid!,
    url: `http://${address}`,
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const closed = once(child, 'close');
      child.kill('SIGTERM');
      // A second signal ends at once what is still in progress.
      const again = setTimeout(() => child.kill('SIGTERM'), 2000);
      await closed;
      clearTimeout(again);
    },
  };
}

/** Engines tell their parent by message, the gateway in its log. */
function addressOf(child: ChildProcess, what: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let printed = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      if (printed.length > 100_000) return;
      printed += text;
      const found = /"address":"([^"]+)","msg":"gateway is listening"/.exec(printed);
      if (found !== null) resolve(found[1]!);
    });
    child.on('message', (message: { kind?: string; address?: string }) => {
      if (message.kind === 'listening' && message.address !== undefined) resolve(message.address);
    });
    child.once('close', (code) => reject(new Error(`${what} ended with code ${code}:\n${printed}`)));
  });
}

export interface PrefixCounters {
  readonly queries: number;
  readonly hits: number;
}

/** Prompt tokens that the engines have looked up in their prefix caches, and found, since they started. */
export async function prefixCounters(engines: readonly RunningProcess[]): Promise<PrefixCounters> {
  let queries = 0;
  let hits = 0;
  for (const { url } of engines) {
    const { body } = await request(`${url}/metrics`);
    const text = await body.text();
    queries += counter(text, 'vllm:prefix_cache_queries_total');
    hits += counter(text, 'vllm:prefix_cache_hits_total');
  }
  return { queries, hits };
}

function counter(text: string, name: string): number {
  const found = new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'm').exec(text);
  if (found === null) throw new Error(`the engine has no ${name}`);
  return Number(found[1]);
}
