import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { EndpointPicker } from '../../endpoint-picker/index.ts';
import type { RunningServer } from '../../protocol/running-server.ts';
import type { Log, StreamMetrics } from '../../telemetry/index.ts';
import { CertificateFiles } from '../certificate-files.ts';
import { runningServer } from '../listen.ts';
import type { WorkerSettings, WorkerState } from './worker-messages.ts';
import { type WorkerEnd, WorkerProcess } from './worker-process.ts';

export interface WorkerDoorOptions {
  readonly host: string;
  readonly port: number;
  /** At least one. */
  readonly workers: number;
  readonly picker: Pick<EndpointPicker, 'submit'>;
  readonly log: Log;
  readonly streams: Pick<StreamMetrics, 'add'>;
  readonly settings: WorkerSettings;
  readonly state: () => WorkerState;
  /** Calls back when `state` has changed. */
  readonly onStateChange: (changed: () => void) => void;
  /** The program that workers run. */
  readonly file?: string;
}

/** Restarts wait for 100 ms, twice as long after each failure in a row. */
const firstRestartMs = 100;
const longestRestartMs = 10_000;
/** A worker that has run for so long has not failed at its start. */
const soundAfterMs = 10_000;
const tickMs = 1000;
/** A worker reports every second. After so much silence others come first, and after so much it must be hanging. */
const quietTicks = 3;
const mostSilentTicks = 20;
const mostUnsentBytes = 64 << 20;
/** Connections that may wait for a worker while none is there. */
const mostWaiting = 1024;
/** After the deadline, for the last words of a worker. */
const lastWordsMs = 2000;

interface Place {
  readonly number: number;
  worker: WorkerProcess | undefined;
  failures: number;
  startedMs: number;
  restart: NodeJS.Timeout | undefined;
}

/**
 * External processing in several processes. This one accepts the connections and gives each to the worker with the
 * fewest; a worker serves all streams of its connections, and has their requests placed here.
 *
 *   data plane ── connection ──▶ WorkerDoor ── the socket ──▶ worker: HTTP/2, protobuf, JSON, hashes
 *                                    picker ◀── the link ───▶   │
 */
class WorkerDoor {
  readonly #options: WorkerDoorOptions;
  readonly #file: string;
  readonly #server: Server;
  readonly #places: readonly Place[];
  readonly #ticking: NodeJS.Timeout;
  #waiting: Socket[] = [];
  #isOpen = false;
  #isClosing = false;
  #onEnd = (): void => {};
  #onStarted: (failure: string | undefined) => void = () => {};

  constructor(options: WorkerDoorOptions) {
    this.#options = options;
    this.#file = options.file ?? fileURLToPath(new URL('./worker-main.js', import.meta.url));
    this.#server = createServer({ pauseOnConnect: true }, (socket) => this.#accept(socket));
    this.#places = Array.from({ length: options.workers }, (_, at) => ({
      number: at + 1,
      worker: undefined,
      failures: 0,
      startedMs: 0,
      restart: undefined,
    }));
    this.#ticking = setInterval(() => this.#tick(), tickMs);
    this.#ticking.unref();
    options.onStateChange(() => this.#update());
    process.once('exit', this.#onProcessExit);
  }

  /** All workers are ready and the port is bound; rejects, with nothing left running, if that cannot be. */
  async open(): Promise<number> {
    try {
      await this.#startAll();
      this.#isOpen = true;
      return await this.#listen();
    } catch (error) {
      await this.close(0);
      throw error;
    }
  }

  async close(deadlineMs: number): Promise<void> {
    this.#isClosing = true;
    this.#server.close();
    for (const socket of this.#waiting.splice(0)) socket.destroy();
    for (const { restart, worker } of this.#places) {
      clearTimeout(restart);
      worker?.drain(deadlineMs);
    }
    const late = new AbortController();
    void this.#killLate(deadlineMs + lastWordsMs, late.signal);
    await new Promise<void>((resolve) => {
      this.#onEnd = () => {
        if (this.#places.every(({ worker }) => worker === undefined)) resolve();
      };
      this.#onEnd();
    });
    late.abort();
    clearInterval(this.#ticking);
    process.off('exit', this.#onProcessExit);
  }

  async #killLate(afterMs: number, signal: AbortSignal): Promise<void> {
    await delay(afterMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
    for (const { worker } of this.#places) worker?.kill('it did not end at the deadline');
  }

  #startAll(): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#onStarted = (failure) => {
        if (failure !== undefined) reject(new Error(failure));
        else if (this.#places.every(({ worker }) => worker?.isReady)) resolve();
      };
      for (const place of this.#places) this.#start(place);
    }).finally(() => {
      this.#onStarted = () => {};
    });
  }

  #listen(): Promise<number> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) =>
        reject(new Error(`Cannot listen on ${host}:${port}.`, { cause })),
      );
      this.#server.listen(port, host, () => {
        const bound = this.#server.address();
        resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
      });
    });
  }

  #start(place: Place): void {
    const { settings, state, picker, streams, log } = this.#options;
    place.startedMs = performance.now();
    const worker = new WorkerProcess({
      file: this.#file,
      settings,
      state: state(),
      picker,
      streams,
      onReady: () => {
        // What has changed while it started.
        worker.update(state());
        log.debug({ worker: place.number, pid: worker.pid }, 'ext-proc worker ready');
        this.#onStarted(undefined);
        for (const socket of this.#waiting.splice(0)) this.#accept(socket);
      },
      onEnd: (end) => this.#onWorkerEnd(place, worker, end),
    });
    place.worker = worker;
  }

  #onWorkerEnd(place: Place, { pid }: WorkerProcess, { reason, lostRequests }: WorkerEnd): void {
    place.worker = undefined;
    const fields = { worker: place.number, pid, reason, lostRequests };
    if (this.#isClosing) {
      if (lostRequests > 0) this.#options.log.warn(fields, 'ext-proc worker ended with requests open');
      this.#onEnd();
      return;
    }
    if (!this.#isOpen) {
      this.#onStarted(`ext-proc worker ${place.number} did not start: ${reason}`);
      return;
    }
    const wasSound = performance.now() - place.startedMs > soundAfterMs;
    const restartMs = wasSound
      ? firstRestartMs
      : Math.min(longestRestartMs, firstRestartMs * 2 ** place.failures);
    place.failures = wasSound ? 1 : place.failures + 1;
    this.#options.log.error(
      { ...fields, restartMs },
      'ext-proc worker ended; its streams are lost; another is started',
    );
    place.restart = setTimeout(() => this.#start(place), restartMs);
  }

  /** To a worker that is heard of, with the fewest connections, and of those with the fewest requests. */
  #accept(socket: Socket): void {
    let best: WorkerProcess | undefined;
    for (const { worker } of this.#places) {
      if (worker?.isReady !== true) continue;
      if (best === undefined || isBetter(worker, best)) best = worker;
    }
    if (best !== undefined) best.accept(socket);
    else if (this.#waiting.length < mostWaiting && !this.#isClosing) this.#waiting.push(socket);
    else socket.destroy();
  }

  #update(): void {
    const state = this.#options.state();
    for (const { worker } of this.#places) worker?.update(state);
  }

  #tick(): void {
    for (const { worker } of this.#places) {
      if (worker === undefined) continue;
      worker.tick();
      if (worker.silentTicks > mostSilentTicks) worker.kill('it was silent for too long');
      else if (worker.unsentBytes > mostUnsentBytes) worker.kill('it did not read what it was told');
    }
  }

  /** A process that is told twice to stop ends at once, and its workers with it; else they finish their streams. */
  readonly #onProcessExit = (code: number): void => {
    if (code < 128) return;
    for (const { worker } of this.#places) worker?.kill('the process has ended');
  };
}

function isBetter(one: WorkerProcess, other: WorkerProcess): boolean {
  const isQuiet = one.silentTicks >= quietTicks;
  if (isQuiet !== other.silentTicks >= quietTicks) return !isQuiet;
  const connections = one.openConnections - other.openConnections;
  return connections < 0 || (connections === 0 && one.openRequests < other.openRequests);
}

/** External processing by workers; what `serveExtProc` is for one process. */
export async function serveExtProcByWorkers(options: WorkerDoorOptions): Promise<RunningServer> {
  const { tls } = options.settings;
  // Here, where the error has a name: a worker can only say that it did not start.
  if (tls.mode === 'files') await CertificateFiles.open(tls.cert, tls.key, options.log);
  const door = new WorkerDoor(options);
  const port = await door.open();
  return runningServer(options.host, port, (deadlineMs) => door.close(deadlineMs));
}
