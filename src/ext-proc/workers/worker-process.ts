import { type ChildProcess, fork } from 'node:child_process';
import type { Socket } from 'node:net';
import {
  type EndpointPicker,
  FrameLink,
  maxRequestFrameBytes,
  PlacingHost,
} from '../../endpoint-picker/index.ts';
import type { StreamMetrics } from '../../telemetry/index.ts';
import {
  type FromWorker,
  linkDescriptor,
  type ToWorker,
  type WorkerSettings,
  type WorkerState,
} from './worker-messages.ts';

export interface WorkerProcessOptions {
  /** The program: `worker-main.js`. */
  readonly file: string;
  readonly settings: WorkerSettings;
  readonly state: WorkerState;
  readonly picker: Pick<EndpointPicker, 'submit'>;
  readonly streams: Pick<StreamMetrics, 'add'>;
  readonly onReady: () => void;
  /** Once, when the process is gone and what it had open is ended. */
  readonly onEnd: (end: WorkerEnd) => void;
}

export interface WorkerEnd {
  /** For people. */
  readonly reason: string;
  readonly lostRequests: number;
}

/** A port for the debugger is the parent's own. */
function isShared(flag: string): boolean {
  return !flag.startsWith('--inspect');
}

/**
 * V8 would take what streams leave behind for long-lived, from what it sees while the heap is small; and its young
 * generation, in MiB, is small for them. Flags of our own process come behind these, and win.
 */
const heapFlags = ['--no-allocation-site-pretenuring', '--max-semi-space-size=32'];

/** One worker as the picker's process sees it: the child, the link to it, and what is open there. */
export class WorkerProcess {
  readonly #options: WorkerProcessOptions;
  readonly #child: ChildProcess;
  readonly #link: FrameLink;
  readonly #host: PlacingHost;
  /** Connections on their way. */
  readonly #giving = new Set<Socket>();
  #isReady = false;
  #givenConnections = 0;
  #closedConnections = 0;
  #openStreams = 0;
  #silentTicks = 0;
  #fault: string | undefined;
  /** Of the child, and of the link, which may hold what it wrote before it ended. */
  #exit: string | undefined;
  #lostRequests: number | undefined;

  constructor(options: WorkerProcessOptions) {
    this.#options = options;
    const { file, settings, state, picker } = options;
    this.#child = fork(file, [], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', 'pipe'],
      execArgv: [...heapFlags, ...process.execArgv.filter(isShared)],
    });
    this.#link = new FrameLink({
      socket: this.#child.stdio[linkDescriptor] as Socket,
      maxFrameBytes: maxRequestFrameBytes,
      onFrame: (...frame) => this.#host.onFrame(...frame),
      onClose: (error) => this.#onLinkClosed(error),
    });
    this.#host = new PlacingHost({ picker, writer: this.#link.writer, fallbacks: settings.fallbacks });
    this.#child.on('message', (message: FromWorker) => this.#onMessage(message));
    this.#child.once('exit', (code, signal) => this.#onExit(signal ?? `exit code ${code}`));
    this.#child.once('error', (error) => this.#onExit(error.message));
    this.#tell({ kind: 'start', settings, state });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** It takes connections. */
  get isReady(): boolean {
    return this.#isReady && this.#exit === undefined;
  }

  get openConnections(): number {
    return this.#givenConnections - this.#closedConnections;
  }

  get openRequests(): number {
    return this.#host.openRequests;
  }

  /** What it has not read of what it was told. */
  get unsentBytes(): number {
    return this.#link.unsentBytes;
  }

  /** Gives a connection away, of which nothing has been read. */
  accept(socket: Socket): void {
    this.#givenConnections++;
    this.#giving.add(socket);
    this.#child.send({ kind: 'connection' } satisfies ToWorker, socket, {}, (error) => {
      this.#giving.delete(socket);
      if (error !== null) socket.destroy();
    });
  }

  update(state: WorkerState): void {
    this.#tell({ kind: 'state', state });
  }

  /** It ends when its streams have, or at the deadline. */
  drain(deadlineMs: number): void {
    if (this.#isReady) this.#tell({ kind: 'drain', deadlineMs });
    else this.kill('it was not ready yet');
  }

  /** `fault` tells people why. */
  kill(fault: string): void {
    this.#fault ??= fault;
    this.#child.kill('SIGKILL');
  }

  /** To be called regularly. */
  tick(): void {
    this.#silentTicks++;
  }

  /** Ticks since it was last heard of. */
  get silentTicks(): number {
    return this.#silentTicks;
  }

  #tell(message: ToWorker): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  #onMessage(message: FromWorker): void {
    this.#silentTicks = 0;
    switch (message.kind) {
      case 'ready':
        this.#isReady = true;
        this.#options.onReady();
        return;
      case 'failed':
        this.kill(message.reason);
        return;
      case 'report':
        this.#closedConnections = message.closedConnections;
        if (message.streams === undefined) return;
        this.#openStreams += message.streams.open;
        this.#options.streams.add(message.streams);
        return;
    }
  }

  #onLinkClosed(error: Error | undefined): void {
    this.#lostRequests = this.#host.openRequests;
    this.#host.close();
    if (error !== undefined) this.kill(`its link broke: ${error.message}`);
    this.#end();
  }

  #onExit(how: string): void {
    this.#exit ??= how;
    for (const socket of this.#giving) socket.destroy();
    this.#end();
  }

  #end(): void {
    if (this.#exit === undefined || this.#lostRequests === undefined) return;
    const lost = this.#openStreams;
    this.#openStreams = 0;
    const ends = lost > 0 ? [['Unavailable', lost] as const] : [];
    this.#options.streams.add({ open: -lost, ends, refused: [], phases: [] });
    this.#options.onEnd({ reason: this.#fault ?? this.#exit, lostRequests: this.#lostRequests });
  }
}
