import { initialWindow, maxWindow } from './frame.ts';
import { ConnectionError, ErrorCode } from './http2-error.ts';
import type { Http2Stream } from './http2-stream.ts';
import { StreamTable } from './stream-table.ts';

/** The streams of a connection that are not gone, and those of them that wait for a window or the socket. */
export class OpenStreams {
  readonly #streams = new StreamTable();
  readonly #waiting = new Set<Http2Stream>();
  #initialWindow = initialWindow;

  get size(): number {
    return this.#streams.size;
  }

  /** What the peer lets us send on a new stream. */
  get initialWindow(): number {
    return this.#initialWindow;
  }

  find(id: number): Http2Stream | undefined {
    return this.#streams.find(id);
  }

  add(stream: Http2Stream): void {
    this.#streams.add(stream);
  }

  remove(stream: Http2Stream): void {
    this.#streams.remove(stream.id);
    if (this.#waiting.size > 0) this.#waiting.delete(stream);
  }

  wait(stream: Http2Stream): void {
    this.#waiting.add(stream);
  }

  /** Its window has opened. */
  pump(stream: Http2Stream): void {
    if (this.#waiting.delete(stream)) stream.pump();
  }

  /** The connection's window has opened, or the socket has drained. */
  pumpAll(): void {
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const stream of waiting) if (!stream.isClosed) stream.pump();
  }

  /** The peer's SETTINGS_INITIAL_WINDOW_SIZE, which holds for open streams too (RFC 9113, section 6.9.2). */
  setInitialWindow(value: number): void {
    if (value > maxWindow)
      throw new ConnectionError(ErrorCode.FlowControlError, `INITIAL_WINDOW_SIZE ${value} passes 2^31 - 1.`);
    const change = value - this.#initialWindow;
    this.#initialWindow = value;
    for (const stream of this.#streams) {
      stream.sendWindow += change;
      if (stream.sendWindow > maxWindow)
        throw new ConnectionError(ErrorCode.FlowControlError, 'A stream window passes 2^31 - 1.');
    }
    if (change > 0) this.pumpAll();
  }

  /** Tells all of them that they are gone; returns what one of them threw at it. */
  endAll(): ConnectionError | undefined {
    const streams = [...this.#streams].sort((a, b) => a.id - b.id);
    this.#streams.clear();
    this.#waiting.clear();
    let failure: ConnectionError | undefined;
    for (const stream of streams) {
      try {
        stream.onGone();
      } catch (thrown) {
        // The others must be told all the same.
        failure ??= streamFailed(thrown);
      }
    }
    return failure;
  }
}

/** A fault of ours in handling one stream, which costs the whole connection. */
export function streamFailed(error: unknown): ConnectionError {
  return new ConnectionError(ErrorCode.InternalError, `A stream failed: ${String(error)}`);
}
