import { connect, type Socket } from 'node:net';
import type { LoadObserver } from './load-connection.ts';
import type { Scenario } from './scenario.ts';

/** The client side of a bare TCP echo: what the machine, its kernel and Node cost without any protocol. */
export class EchoConnection {
  readonly #socket: Socket;
  readonly #observer: LoadObserver;
  readonly #message: Buffer;
  /** When the messages that are under way were due, oldest first; from `#first`. */
  #due: number[] = [];
  #first = 0;
  /** Bytes of the oldest that have come back, and messages that are yet to be sent. */
  #echoed = 0;
  #unsent = 0;

  /** Sends what a scenario sends first, and waits for all of it. */
  constructor(port: number, { phases }: Scenario, observer: LoadObserver) {
    this.#message = phases[0]!.bytes;
    this.#observer = observer;
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (bytes) => this.#read(bytes.length));
    this.#socket.on('error', (error) => observer.onError(error.message));
  }

  get open(): number {
    return this.#due.length - this.#first;
  }

  start(dueMs: number): void {
    this.#due.push(dueMs);
    this.#unsent++;
  }

  flush(): void {
    if (this.#unsent === 0) return;
    this.#socket.write(Buffer.concat(new Array<Buffer>(this.#unsent).fill(this.#message)));
    this.#unsent = 0;
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(bytes: number): void {
    this.#echoed += bytes;
    while (this.#echoed >= this.#message.length && this.open > 0) {
      this.#echoed -= this.#message.length;
      this.#observer.onPicked(performance.now() - this.#due[this.#first++]!);
      if (this.#first === 1024) {
        this.#due = this.#due.slice(this.#first);
        this.#first = 0;
      }
      this.#observer.onFinished();
    }
    this.flush();
  }
}
