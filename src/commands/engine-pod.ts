import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../telemetry/index.ts';
import { CommandError, exitCodes } from './exit-codes.ts';

export interface EnginePodOptions {
  /** `engine-1`; the endpoint's name in the pool. */
  readonly name: string;
  /** The program and its arguments, up to where the engine's flags begin. */
  readonly command: readonly [string, ...string[]];
  readonly args: readonly string[];
  readonly host: string;
  /** 0 = any free one; kept over restarts. */
  readonly port: number;
  readonly log: Log;
  readonly restartDelayMs?: number;
}

/** What an engine tells its parent once it serves. */
export interface EngineListening {
  readonly kind: 'listening';
  readonly address: string;
}

const longestDelayMs = 10_000;
/** An engine that has run this long has not failed at starting; its next delay is short again. */
const steadyAfterMs = 60_000;

/**
 * One engine as a child process, started again when it dies:
 *
 *   start → running ─ dies → waiting (0.5 s, 1 s, 2 s … 10 s) → start
 *               └─ stop() → SIGTERM → (deadline) SIGKILL → stopped
 *
 * The child has a process group of its own, so that Ctrl-C in a terminal reaches us alone and requests can
 * drain; it ends by itself when the channel to us closes.
 */
export class EnginePod {
  readonly name: string;
  readonly #options: EnginePodOptions;
  readonly #lastLines: string[] = [];
  #child: ChildProcess | undefined;
  #address: string | undefined;
  #isStopping = false;
  #failures = 0;
  readonly #stopping = new AbortController();

  constructor(options: EnginePodOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** `host:port`; known once started. */
  get address(): string {
    if (this.#address === undefined) throw new Error(`${this.name} has not been started`);
    return this.#address;
  }

  get processId(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when the engine serves. Rejects with its last words if it dies before that. */
  async start(): Promise<void> {
    const child = this.#spawn();
    const { promise, resolve, reject } = withResolvers<void>();
    child.on('message', (message: EngineListening) => {
      if (message.kind !== 'listening') return;
      this.#address = message.address;
      resolve();
    });
    child.once('error', (error) => reject(new CommandError(error.message)));
    child.once('close', (code, signal) => {
      const message = `${this.name} ended with ${signal ?? `code ${code}`}: ${this.#lastWords()}`;
      reject(new CommandError(message, code === exitCodes.usage ? code : exitCodes.failure));
    });
    await promise;
    this.#restartWhenDead(child, Date.now());
  }

  /** Asks the engine to end, and ends it when it has not by the deadline. */
  async stop(deadlineMs: number): Promise<void> {
    this.#isStopping = true;
    this.#stopping.abort();
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
    await closed;
    clearTimeout(timer);
  }

  #spawn(): ChildProcess {
    const { command, args, host, port } = this.#options;
    const [program, ...first] = command;
    const ownPort = this.#address === undefined ? port : Number(this.#address.split(':').at(-1));
    const child = spawn(program, [...first, ...args, '--host', host, '--port', String(ownPort)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      detached: true,
    });
    this.#child = child;
    this.#lastLines.length = 0;
    createInterface({ input: child.stderr! }).on('line', (line) => this.#relay(line));
    return child;
  }

  #restartWhenDead(child: ChildProcess, startedMs: number): void {
    const onClose = async (code: number | null, signal: string | null) => {
      if (this.#isStopping) return;
      if (Date.now() - startedMs > steadyAfterMs) this.#failures = 0;
      const { log, restartDelayMs = 500 } = this.#options;
      const delayMs = Math.min(longestDelayMs, restartDelayMs * 2 ** this.#failures++);
      log.error(
        { pod: this.name, code, signal, lastWords: this.#lastWords(), delayMs },
        'engine ended unexpectedly; it is started again',
      );
      await delay(delayMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
      if (this.#isStopping) return;
      await this.start().then(
        () => log.info({ pod: this.name, address: this.address }, 'engine serves again'),
        () => onClose(this.#child?.exitCode ?? null, this.#child?.signalCode ?? null),
      );
    };
    if (child.exitCode !== null || child.signalCode !== null) void onClose(child.exitCode, child.signalCode);
    else child.once('close', onClose);
  }

  /** The engine's log lines become ours; what it says in plain text is kept as its last words. */
  #relay(line: string): void {
    const { log } = this.#options;
    const record = parseRecord(line);
    if (record === undefined) {
      this.#lastLines.push(line);
      if (this.#lastLines.length > 20) this.#lastLines.shift();
      log.debug({ pod: this.name, line }, 'engine');
      return;
    }
    const { level, time: _time, msg, ...fields } = record;
    if (level === 'error') log.error({ pod: this.name, ...fields }, String(msg));
    else if (level === 'warn') log.warn({ pod: this.name, ...fields }, String(msg));
    else log.debug({ pod: this.name, ...fields }, String(msg));
  }

  #lastWords(): string {
    return (
      this.#lastLines.find((line) => line.startsWith('pointsman: '))?.slice(11) ?? this.#lastLines.join('\n')
    );
  }
}

function parseRecord(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** `Promise.withResolvers`, which Node 20 lacks. */
function withResolvers<T>() {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
