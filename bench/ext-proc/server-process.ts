import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { LoadConnection } from './load-connection.ts';
import { closedLoop, type Load, until } from './loops.ts';
import type { Scenario } from './scenario.ts';
import type { Turns } from './turn-meter.ts';

export interface Usage {
  readonly cpuUs: number;
  /** The kernel's part of it. */
  readonly systemUs: number;
  /** Of all workers. */
  readonly workersUs: number;
  readonly liveBytes: number;
  readonly profile?: object;
  readonly turns?: Turns;
}

export type Question = 'usage' | 'live bytes' | 'profile' | 'profiled' | 'meter' | 'metered';

export interface ServerSettings {
  /** The server of this build, or of another. */
  readonly file: string;
  readonly transport: string;
  readonly endpoints: string;
  readonly workers: number;
  /** As `taskset -c` reads them; undefined = any. */
  readonly cores: string | undefined;
  /** Flags of Node. */
  readonly flags: readonly string[];
}

/** As the product starts Node (src/commands/v8-settings.ts); flags that are asked for come behind these, and win. */
const productFlags = ['--max-semi-space-size=32'];
/** Of the server, its start included. */
const warmUpCpuUs = 2.5e6;

/** A server in a process of its own. */
export class ServerProcess {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #file: string;

  private constructor(child: ChildProcess, port: number, file: string) {
    this.#child = child;
    this.port = port;
    this.#file = file;
  }

  static async start(settings: ServerSettings): Promise<ServerProcess> {
    const { file, transport, endpoints, workers, cores, flags } = settings;
    const nodeFlags = [...productFlags, ...flags];
    const run =
      cores === undefined
        ? { execArgv: nodeFlags }
        : { execPath: 'taskset', execArgv: ['-c', cores, process.execPath, ...nodeFlags] };
    const child = fork(file, [transport, endpoints, String(workers)], run);
    const { port } = await nextMessage<{ port: number }>(child, file);
    return new ServerProcess(child, port, file);
  }

  stop(): void {
    this.#child.kill();
  }

  async ask(question: Question): Promise<Usage> {
    this.#child.send(question);
    return nextMessage<Usage>(this.#child, this.#file);
  }

  /**
   * Loads the server until its code is compiled, each worker's too. By CPU time and not by the clock: on a shared
   * machine a second may be little work, and code still cold.
   */
  async warmUp(load: Omit<Load, 'port'>, streams: number, workers: number): Promise<void> {
    let usage: Usage;
    do {
      await closedLoop({ ...load, port: this.port }, streams, 250);
      usage = await this.ask('usage');
    } while (usage.cpuUs < warmUpCpuUs || usage.workersUs < workers * warmUpCpuUs);
  }

  /** Live memory that one stream holds between its request and its response. */
  async idleBytes({ name, phases }: Scenario): Promise<number> {
    const request = phases[0]!;
    const count = Math.min(5000, Math.ceil(2e8 / request.bytes.length));
    const hold: Scenario = { name, phases: [request, { bytes: Buffer.alloc(0), replies: 1 }] };
    const before = await this.ask('live bytes');
    let answered = 0;
    const connection = new LoadConnection(this.port, hold, {
      onPicked: () => answered++,
      onFinished: () => {},
      onError: (what) => console.error(`error: ${what}`),
    });
    for (let i = 0; i < count; i++) {
      connection.start(performance.now());
      connection.flush();
      if (i % 10 === 9) await until(() => answered > i - 10);
    }
    await until(() => answered === count);
    const after = await this.ask('live bytes');
    connection.close();
    return Math.max(0, after.liveBytes - before.liveBytes) / count;
  }
}

/** Throws if the server ends instead of answering, as one of an older build may that is asked what it does not know. */
async function nextMessage<T>(child: ChildProcess, file: string): Promise<T> {
  const answered = new AbortController();
  const { signal } = answered;
  const ended = once(child, 'exit', { signal }).then(([code, killedBy]) => {
    throw new Error(`the server ${file} ended with ${code ?? killedBy} instead of answering`);
  });
  try {
    const [message] = (await Promise.race([once(child, 'message', { signal }), ended])) as [T];
    return message;
  } finally {
    answered.abort();
  }
}
