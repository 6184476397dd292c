import { Duplex } from 'node:stream';

/** A socket without a network: what the peer sends is given to `receive`, what it would read lies in `sent`. */
export class MemorySocket extends Duplex {
  readonly sent: Buffer[] = [];
  /** The peer does not read: what is written stays in the stream's own buffer. */
  isStalled = false;
  #resume = () => {};

  constructor() {
    super({ highWaterMark: 16_384, allowHalfOpen: true });
  }

  /** Hands bytes to whoever reads, at once. */
  receive(bytes: Buffer): void {
    this.emit('data', bytes);
  }

  /** The peer reads again. */
  unstall(): void {
    this.isStalled = false;
    this.#resume();
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const take = () => {
      // As a kernel does: after 'done' the memory is its owner's again.
      this.sent.push(Buffer.from(chunk));
      done();
    };
    if (this.isStalled) this.#resume = take;
    else take();
  }
}
