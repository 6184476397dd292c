import type { Socket } from 'node:net';
import {
  FrameLink,
  maxReplyFrameBytes,
  RemotePlacer,
  type RequestRules,
  requestRules,
} from '../../endpoint-picker/index.ts';
import { createLog, createStreamTally, type StreamMetrics } from '../../telemetry/index.ts';
import { createTransport } from '../server.ts';
import type { Transport } from '../transport.ts';
import {
  type FromWorker,
  reportIntervalMs,
  type WorkerSettings,
  type WorkerState,
} from './worker-messages.ts';

export interface WorkerOptions {
  readonly settings: WorkerSettings;
  readonly state: WorkerState;
  /** The link to the picker. */
  readonly socket: Socket;
  readonly tell: (message: FromWorker) => void;
  /** Nothing is open any more, and the picker knows all. */
  readonly onEnd: () => void;
}

/** A report comes this often if there is nothing to tell: it shows that the worker is alive. */
const quietReports = 4;

/** Serves the streams of the connections that it is given; requests are placed by the picker at the other end. */
export class ExtProcWorker {
  readonly #options: WorkerOptions;
  readonly #link: FrameLink;
  readonly #transport: Transport;
  readonly #streams: StreamMetrics;
  readonly #reporting: NodeJS.Timeout;
  #state: WorkerState;
  #rules: RequestRules;
  #closedConnections = 0;
  #toldConnections = 0;
  #silence = 0;
  #isClosing = false;

  private constructor(options: WorkerOptions, link: FrameLink, transport: Transport, streams: StreamMetrics) {
    this.#options = options;
    this.#link = link;
    this.#transport = transport;
    this.#streams = streams;
    this.#state = options.state;
    this.#rules = requestRules(options.state.rules, Math.random);
    this.#reporting = setInterval(() => this.#report(), reportIntervalMs);
  }

  /** Rejects if the certificate cannot be used. */
  static async start(options: WorkerOptions): Promise<ExtProcWorker> {
    const { settings, socket } = options;
    const streams = createStreamTally();
    let worker: ExtProcWorker | undefined;
    const link = new FrameLink({
      socket,
      maxFrameBytes: maxReplyFrameBytes,
      onFrame: (...frame) => placer.onFrame(...frame),
      onClose: () => {
        placer.cutOff();
        void worker?.close(settings.orphanDeadlineMs);
      },
    });
    const placer = new RemotePlacer(link.writer, () => link.unsentBytes);
    const transport = await createTransport({
      ...settings,
      picker: placer,
      log: createLog(settings.log),
      rules: () => worker?.rules ?? {},
      isServing: () => worker?.isServing === true,
      streams,
    });
    worker = new ExtProcWorker(options, link, transport, streams);
    return worker;
  }

  get rules(): RequestRules {
    return this.#rules;
  }

  get isServing(): boolean {
    return this.#state.isServing;
  }

  accept(socket: Socket): void {
    socket.once('close', () => this.#closedConnections++);
    this.#transport.accept(socket);
  }

  update(state: WorkerState): void {
    this.#state = state;
    this.#rules = requestRules(state.rules, Math.random);
  }

  /** Finishes what is open until the deadline; then all is told, and it ends. */
  async close(deadlineMs: number): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#state = { ...this.#state, isServing: false };
    await this.#transport.close(deadlineMs);
    clearInterval(this.#reporting);
    this.#tellReport();
    this.#link.finish(this.#options.onEnd);
  }

  #report(): void {
    this.#silence++;
    if (this.#closedConnections !== this.#toldConnections || this.#silence >= quietReports)
      this.#tellReport();
    else {
      const streams = this.#streams.take();
      if (streams !== undefined) this.#tellReport(streams);
    }
  }

  #tellReport(streams = this.#streams.take()): void {
    this.#silence = 0;
    this.#toldConnections = this.#closedConnections;
    this.#options.tell({ kind: 'report', closedConnections: this.#closedConnections, streams });
  }
}
