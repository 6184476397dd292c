import { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Bootstrap,
  type BootstrapName,
  clusterOf,
  firstToReportServed,
  setBodyMode,
} from './bootstrap.ts';
import { EngineProcess } from './engines.ts';
import { type InstalledEnvoy, minorOf } from './installed-envoys.ts';
import { type LoggedRequest, PickerProcess } from './picker-process.ts';
import { type RunningEnvoy, startEnvoy } from './run-envoy.ts';
import { type SoakResult, send, soakBody } from './soak-request.ts';

/**
 * Clients → real Envoy → `pointsman epp` → echo engines, all as processes, under load. Every request is judged:
 * the engine that answered must be the one that was picked, by the header that reached it and by the picker's own
 * log, and every byte must be the one that was sent.
 */

export interface SoakPlan {
  readonly envoy: InstalledEnvoy;
  readonly config: BootstrapName;
  readonly mode: 'FULL_DUPLEX_STREAMED' | 'BUFFERED';
  readonly clients: number;
  /** How long load is kept up where `disturb` is not given, milliseconds. */
  readonly durationMs: number;
  readonly pickers?: number;
  /** What is broken while load goes on; the load ends with it. */
  readonly disturb?: (stage: Stage) => Promise<void>;
  readonly random: () => number;
}

/** What a disturbance can lay hands on. */
export interface Stage {
  readonly pickers: readonly PickerProcess[];
  readonly engines: readonly EngineProcess[];
  /** Requests that overlap `task` may be refused or cut, none other. Corrupt answers are never excused. */
  excuse(task: () => Promise<void>): Promise<void>;
  /** Resolves when a request has been answered well. */
  answered(): Promise<void>;
}

export interface SoakReport {
  readonly requests: number;
  readonly perSecond: number;
  readonly streamed: number;
  readonly megabytes: number;
  readonly retried: number;
  /** Answered by another engine than the picked one, without a retry that the picker knows of. */
  readonly mismatches: readonly string[];
  readonly corrupt: readonly string[];
  /** Refused or cut outside of any excuse. */
  readonly failures: readonly string[];
  /** Within excuses, by status; 0 = cut within the answer. */
  readonly excused: ReadonlyMap<number, number>;
  readonly leftInFlight: number;
  /** Resident memory of the first picker: medians of the second and the last quarter, MB; NaN if it was replaced. */
  readonly memoryMb: readonly [second: number, last: number];
}

const engineCount = 3;
/** What Envoy says when a picker or an engine is gone; 0 = it broke off within an answer. */
const clearErrors: ReadonlySet<number> = new Set([0, 500, 502, 503]);
/** Above the largest body, which BUFFERED must hold. */
const bufferedBytes = 4 * 1024 * 1024;

export async function runSoak(plan: SoakPlan): Promise<SoakReport> {
  const log = new Map<string, LoggedRequest>();
  const engines = Array.from({ length: engineCount }, () => new EngineProcess());
  const pickers: PickerProcess[] = [];
  let envoy: RunningEnvoy | undefined;
  try {
    await Promise.all(engines.map((engine) => engine.start()));
    const endpoints = engines.map(({ address }) => address);
    const fallbacks = plan.config === 'override-host' ? 2 : 0;
    for (let i = 0; i < (plan.pickers ?? 1); i++)
      pickers.push(await PickerProcess.reserve({ endpoints, fallbacks, log }));
    await Promise.all(pickers.map((picker) => picker.start()));
    envoy = await startEnvoy({
      envoy: plan.envoy,
      config: plan.config,
      extProcPorts: pickers.map(({ extProcPort }) => extProcPort),
      enginePorts: engines.map(({ port }) => port),
      adjust: (bootstrap) => adjust(bootstrap, plan),
    });
    return await new Soak(plan, { engines, pickers, log, url: envoy.url }).run();
  } finally {
    await envoy?.close();
    await Promise.all(pickers.map((picker) => picker.close()));
    await Promise.all(engines.map((engine) => engine.kill()));
  }
}

function adjust(bootstrap: Bootstrap, { mode, config }: SoakPlan): void {
  setBodyMode(bootstrap, mode);
  if (mode !== 'BUFFERED') return;
  const { listeners } = bootstrap['static_resources'] as { listeners: Record<string, unknown>[] };
  const engines: object = clusterOf(bootstrap, config === 'standalone' ? 'picked' : 'engines');
  for (const holder of [listeners[0]!, engines])
    Object.assign(holder, { per_connection_buffer_limit_bytes: bufferedBytes });
}

interface Parts {
  readonly engines: readonly EngineProcess[];
  readonly pickers: readonly PickerProcess[];
  readonly log: ReadonlyMap<string, LoggedRequest>;
  readonly url: string;
}

interface Finished {
  readonly result: SoakResult;
  readonly isExcused: boolean;
}

/** One run: owns the load, and judges it. */
class Soak implements Stage {
  readonly pickers: readonly PickerProcess[];
  readonly engines: readonly EngineProcess[];
  readonly #plan: SoakPlan;
  readonly #parts: Parts;
  readonly #finished: Finished[] = [];
  readonly #memoryMb: number[] = [];
  /** Counts up with each excuse that begins; a request is excused if one was open or began while it ran. */
  #excuses = 0;
  #openExcuses = 0;
  #isOver = false;
  #serial = 0;
  #streamed = 0;
  #bytes = 0;

  constructor(plan: SoakPlan, parts: Parts) {
    this.#plan = plan;
    this.#parts = parts;
    this.pickers = parts.pickers;
    this.engines = parts.engines;
  }

  async run(): Promise<SoakReport> {
    const { clients, durationMs, disturb } = this.#plan;
    const agent = new Agent({ keepAlive: true, maxSockets: clients });
    const startedMs = performance.now();
    const load = Array.from({ length: clients }, () => this.#client(agent));
    const sampler = setInterval(() => this.#sampleMemory(), 250);
    try {
      await (disturb?.(this) ?? delay(durationMs));
    } finally {
      this.#isOver = true;
      await Promise.all(load);
      clearInterval(sampler);
      agent.destroy();
    }
    const elapsedMs = performance.now() - startedMs;
    const leftInFlight = await this.#leftInFlight();
    return this.#report(elapsedMs, leftInFlight);
  }

  async excuse(task: () => Promise<void>): Promise<void> {
    this.#excuses++;
    this.#openExcuses++;
    try {
      await task();
    } finally {
      this.#openExcuses--;
    }
  }

  async answered(): Promise<void> {
    const agent = new Agent();
    for (;;) {
      const body = soakBody(-1, () => 0);
      const { kind } = await send({ url: this.#parts.url, agent, body, isStreaming: false });
      if (kind === 'answered') return;
      await delay(10);
    }
  }

  async #client(agent: Agent): Promise<void> {
    while (!this.#isOver) {
      const { random } = this.#plan;
      const body = soakBody(this.#serial++, random);
      const isStreaming = random() < 0.5;
      const before = this.#excuses;
      const wasOpen = this.#openExcuses > 0;
      const result = await send({ url: this.#parts.url, agent, body, isStreaming });
      this.#finished.push({ result, isExcused: wasOpen || this.#excuses > before });
      this.#bytes += body.length;
      if (isStreaming) this.#streamed++;
      // Refusals come at once: do not turn them into a flood.
      if (result.kind !== 'answered') await delay(20);
    }
  }

  #sampleMemory(): void {
    const [picker] = this.pickers;
    // Between a kill and the next start there is no process.
    const megabytes = picker?.residentMb();
    if (megabytes !== undefined) this.#memoryMb.push(megabytes);
  }

  async #leftInFlight(): Promise<number> {
    let left = Number.NaN;
    for (let round = 0; round < 100 && left !== 0; round++) {
      const counts = await Promise.all(this.pickers.map((picker) => picker.inFlight()));
      left = counts.reduce((total, count) => total + count, 0);
      if (left > 0) await delay(50);
    }
    return left;
  }

  #report(elapsedMs: number, leftInFlight: number): SoakReport {
    const mismatches: string[] = [];
    const corrupt: string[] = [];
    const failures: string[] = [];
    const excused = new Map<number, number>();
    let retried = 0;
    for (const { result, isExcused } of this.#finished) {
      if (result.kind === 'corrupt') corrupt.push(result.reason);
      else if (result.kind === 'answered') {
        const verdict = this.#judge(result.echo);
        if (verdict === 'retried') retried++;
        else if (verdict !== 'picked') mismatches.push(verdict);
      } else {
        const status = result.kind === 'cut' ? 0 : result.status;
        const isClear = clearErrors.has(status);
        if (isExcused && isClear) excused.set(status, (excused.get(status) ?? 0) + 1);
        else
          failures.push(
            result.kind === 'cut' ? `cut: ${result.reason}` : `${status}: ${result.text.slice(0, 120)}`,
          );
      }
    }
    return {
      requests: this.#finished.length,
      perSecond: this.#finished.length / (elapsedMs / 1000),
      streamed: this.#streamed,
      megabytes: this.#bytes / 1e6,
      retried,
      mismatches,
      corrupt,
      failures,
      excused,
      leftInFlight,
      memoryMb: [this.#medianMemory(0.25, 0.5), this.#medianMemory(0.75, 1)],
    };
  }

  /** By the header that arrived, and by the picker's log where that outlived the picker. */
  #judge({
    engine,
    destination = '',
    requestId = '',
  }: Extract<SoakResult, { kind: 'answered' }>['echo']): string {
    const list = destination.split(',');
    const rank = list.indexOf(engine);
    if (rank < 0) return `${engine} answered, picked was ${destination || 'nothing'}`;
    const logged = this.#parts.log.get(requestId);
    const tells = rank === 0 || minorOf(this.#plan.envoy) >= firstToReportServed;
    if (logged !== undefined && tells && logged.endpoint !== engine)
      return `${engine} answered, the picker noted ${logged.endpoint}`;
    return rank === 0 ? 'picked' : 'retried';
  }

  #medianMemory(from: number, to: number): number {
    const samples = (this.pickers[0]?.starts ?? 0) > 1 ? [] : this.#memoryMb;
    const part = samples.slice(Math.floor(samples.length * from), Math.ceil(samples.length * to));
    return part.sort((a, b) => a - b)[part.length >> 1] ?? Number.NaN;
  }
}
