import type { Direction, ProcessingResponse } from './messages.ts';

/** Where replies go. */
export interface Sink {
  /** Returns false when the peer is slow: call again only after the transport has told `onDrain`. */
  send(response: ProcessingResponse): boolean;
  /** `send` of a `streamed_response` with the body `bytes[start, end)` and nothing else. */
  sendPiece(
    direction: Direction,
    bytes: Uint8Array,
    start: number,
    end: number,
    endOfStream: boolean,
  ): boolean;
  /** Ends the stream with status OK. Nothing is sent after it. */
  end(): void;
}

/** Keeps replies in order while the peer is slow, and ends the stream only after the last of them. */
export class Outbox {
  readonly #sink: Sink;
  #waiting: ProcessingResponse[] = [];
  #isBlocked = false;
  #shallEnd = false;
  #isClosed = false;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** The transport should stop reading: every message read makes about one reply. */
  get isBlocked(): boolean {
    return this.#isBlocked;
  }

  send(response: ProcessingResponse): void {
    if (this.#shallEnd || this.#isClosed) return;
    if (this.#isBlocked) this.#waiting.push(response);
    else this.#isBlocked = !this.#sink.send(response);
  }

  sendPiece(direction: Direction, bytes: Uint8Array, start: number, end: number, endOfStream: boolean): void {
    if (this.#shallEnd || this.#isClosed) return;
    if (this.#isBlocked) this.#waiting.push(pieceMessage(direction, bytes.subarray(start, end), endOfStream));
    else this.#isBlocked = !this.#sink.sendPiece(direction, bytes, start, end, endOfStream);
  }

  end(): void {
    if (this.#shallEnd || this.#isClosed) return;
    this.#shallEnd = true;
    this.#endIfEmpty();
  }

  /** The stream is gone: nothing more can be sent. */
  discard(): void {
    this.#isClosed = true;
    this.#waiting = [];
  }

  onDrain(): void {
    this.#isBlocked = false;
    let sent = 0;
    for (const response of this.#waiting) {
      if (this.#isBlocked) break;
      this.#isBlocked = !this.#sink.send(response);
      sent++;
    }
    this.#waiting = this.#waiting.slice(sent);
    this.#endIfEmpty();
  }

  #endIfEmpty(): void {
    if (!this.#shallEnd || this.#isClosed || this.#waiting.length > 0) return;
    this.#isClosed = true;
    this.#sink.end();
  }
}

/** A piece of a body as a message. */
export function pieceMessage(
  direction: Direction,
  body: Uint8Array,
  endOfStream: boolean,
): ProcessingResponse {
  return { kind: 'body', direction, streamed: { body, endOfStream } };
}
