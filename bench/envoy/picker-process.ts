import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { packageFolder } from '../../src/commands/package-folder.ts';
import { freePorts } from './run-envoy.ts';

/** What the picker's log says of one request. */
export interface LoggedRequest {
  readonly endpoint: string;
  readonly outcome: string;
  readonly retries: number;
}

export interface PickerPlan {
  readonly endpoints: readonly string[];
  readonly fallbacks: number;
  /** In `requests`, by `x-request-id`. Shared by pickers that take turns. */
  readonly log: Map<string, LoggedRequest>;
}

/** `pointsman epp` as operators run it, on ports that it keeps when it is started again. */
export class PickerProcess {
  readonly extProcPort: number;
  readonly #metricsPort: number;
  readonly #healthPort: number;
  readonly #folder: string;
  readonly #plan: PickerPlan;
  #child: ChildProcess | undefined;
  #errors = '';
  #starts = 0;

  static async reserve(plan: PickerPlan): Promise<PickerProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'pointsman-soak-'));
    return new PickerProcess(plan, folder, await freePorts(3));
  }

  private constructor(plan: PickerPlan, folder: string, ports: readonly number[]) {
    this.#folder = folder;
    [this.extProcPort, this.#metricsPort, this.#healthPort] = ports as [number, number, number];
    this.#plan = plan;
  }

  /** Resolves when it has read the engines and is ready. */
  async start(): Promise<void> {
    const { endpoints, fallbacks, log } = this.#plan;
    const file = join(this.#folder, 'pointsman.json');
    await writeFile(file, JSON.stringify({ extProc: { fallbacks }, log: { format: 'json' } }));
    const flags = [
      ['--config', file],
      ['--ext-proc-port', this.extProcPort],
      ['--health-port', this.#healthPort],
      ['--metrics-port', this.#metricsPort],
      ['--endpoints', endpoints.join(',')],
    ].flat();
    const main = join(packageFolder(), 'dist', 'src', 'commands', 'main.js');
    const child = spawn(process.execPath, [main, 'epp', ...flags.map(String)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    this.#starts++;
    createInterface({ input: child.stderr }).on('line', (line) => this.#read(line, log));
    for (;;) {
      if (child.exitCode !== null) throw new Error(`pointsman epp ended:\n${this.#errors}`);
      const ready = await fetch(`http://127.0.0.1:${this.#metricsPort}/ready`).catch(() => undefined);
      if (ready?.ok && (await this.readyEndpoints()) === endpoints.length) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async kill(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return null;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
    return child.exitCode;
  }

  async close(): Promise<void> {
    await this.kill('SIGKILL');
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** How often it was started. */
  get starts(): number {
    return this.#starts;
  }

  /** Resident memory, MB; undefined while it does not run. */
  residentMb(): number | undefined {
    const path = `/proc/${this.#child?.pid}/status`;
    const status = existsSync(path) ? readFileSync(path, 'utf8') : '';
    const kilobytes = /VmRSS:\s+(\d+)/.exec(status)?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) / 1024;
  }

  async readyEndpoints(): Promise<number> {
    return sum(await this.#samples('llm_d_epp_ready_endpoints'));
  }

  /** Requests in flight, as /metrics tells. */
  async inFlight(): Promise<number> {
    return sum(await this.#samples('llm_d_epp_inflight_requests'));
  }

  async #samples(family: string): Promise<number[]> {
    const text = await (await fetch(`http://127.0.0.1:${this.#metricsPort}/metrics`)).text();
    const lines = text.split('\n').filter((line) => line.startsWith(family));
    if (lines.length === 0) throw new Error(`Expected ${family} in /metrics, found none.`);
    return lines.map((line) => Number(line.slice(line.lastIndexOf(' '))));
  }

  #read(line: string, log: Map<string, LoggedRequest>): void {
    if (!line.startsWith('{')) {
      this.#errors += `${line}\n`;
      return;
    }
    const entry = JSON.parse(line) as Partial<LoggedRequest> & { readonly clientId?: string };
    const { clientId, endpoint, outcome, retries = 0 } = entry;
    if (clientId === undefined || endpoint === undefined || outcome === undefined) return;
    log.set(clientId, { endpoint, outcome, retries });
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
