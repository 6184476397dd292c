import { ConnectionError, ErrorCode } from './http2-error.ts';

/** What the peer may still send on the connection (RFC 9113, section 6.9). */
export class ReceiveWindow {
  readonly #fullBytes: number;
  #left: number;
  #ungranted = 0;

  constructor(fullBytes: number) {
    this.#fullBytes = fullBytes;
    this.#left = fullBytes;
  }

  /** Counts what has come; returns how much is to be granted again now: in halves of the window. */
  receive(bytes: number): number {
    this.#left -= bytes;
    if (this.#left < 0)
      throw new ConnectionError(ErrorCode.FlowControlError, "DATA passes the connection's window.");
    this.#ungranted += bytes;
    if (this.#ungranted < this.#fullBytes / 2) return 0;
    const granted = this.#ungranted;
    this.#left += granted;
    this.#ungranted = 0;
    return granted;
  }
}
