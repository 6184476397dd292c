import { DataFrames } from './data-frames.ts';
import { Flag, FrameType, maxFrameBytes } from './frame.ts';
import { ErrorCode, type ErrorCodeValue } from './http2-error.ts';
import type { Output } from './output.ts';

/** What the owner of a stream is told. None of these may throw. */
export interface StreamHandler {
  /** A view that stays valid while it is held. */
  onData(bytes: Buffer, start: number, end: number): void;
  /** The peer has nothing more to send. */
  onEnd(): void;
  /** The stream is gone in both directions. Not called after `finish` or `reset` of ours. */
  onGone(): void;
  /** `send` may be called again. */
  onDrain(): void;
}

/** The connection, as far as a stream needs it. */
export interface StreamHost {
  readonly output: Output;
  readonly isCongested: boolean;
  /** Bytes that may be sent on the connection now; spend with `takeWindow`. */
  readonly sendWindow: number;
  takeWindow(bytes: number): void;
  /** Counts bytes that a stream keeps until its window opens; false if there are too many. */
  hold(bytes: number): boolean;
  letGo(bytes: number): void;
  /** Wants `pump` when the connection's window opens, or the socket drains. */
  wait(stream: Http2Stream): void;
  remove(stream: Http2Stream, how: 'finished' | 'reset'): void;
}

const frames = new DataFrames();

/** One stream: its windows, and bytes that wait for them. Frames are read by the connection. */
export class Http2Stream {
  readonly id: number;
  handler: StreamHandler | undefined;
  /** Bytes that we may still send, below zero after a smaller SETTINGS_INITIAL_WINDOW_SIZE. */
  sendWindow: number;
  /** Bytes that the peer may still send. */
  receiveWindow: number;
  isRemoteEnded = false;
  /** Body bytes that the peer has announced and not sent; undefined if it announced none. */
  bodyLeft: number | undefined;
  #host: StreamHost;
  #queue: Uint8Array[] = [];
  #heldBytes = 0;
  #trailers: Uint8Array | undefined;
  #hasSentHeaders = false;
  #isPaused = false;
  #ungranted = 0;
  #isClosed = false;

  constructor(host: StreamHost, options: { id: number; sendWindow: number; receiveWindow: number }) {
    this.#host = host;
    this.id = options.id;
    this.sendWindow = options.sendWindow;
    this.receiveWindow = options.receiveWindow;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get hasSentHeaders(): boolean {
    return this.#hasSentHeaders;
  }

  /** `block` is an encoded header block; sent once, before the first data. */
  sendHeaders(block: Uint8Array): void {
    if (this.#isClosed || this.#hasSentHeaders) return;
    this.#hasSentHeaders = true;
    const { output } = this.#host;
    output.frame(FrameType.Headers, Flag.EndHeaders, this.id, block.length);
    output.bytes(block);
  }

  /** Sends or queues a copy. Returns false when the peer is slow: wait for `onDrain`. */
  send(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#isClosed || this.#trailers !== undefined) return true;
    let at = start;
    if (this.#queue.length === 0) at += this.#write(bytes, start, end);
    if (at < end) {
      this.#keep(bytes, at, end);
      return false;
    }
    if (!this.#host.isCongested) return true;
    this.#host.wait(this);
    return false;
  }

  /**
   * `send` of three parts in a row: `around[0, headEnd)`, `body[start, end)` and `around[headEnd, aroundEnd)`. Numbers, as
   * V8 does not inline the length of an array.
   */
  sendAround(
    around: Uint8Array,
    headEnd: number,
    aroundEnd: number,
    body: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    if (this.#isClosed || this.#trailers !== undefined) return true;
    const host = this.#host;
    const length = aroundEnd + end - start;
    if (this.#queue.length > 0 || length > this.sendWindow || length > host.sendWindow) {
      const tail = around.subarray(headEnd, aroundEnd);
      const whole = Buffer.concat([around.subarray(0, headEnd), body.subarray(start, end), tail]);
      return this.send(whole, 0, whole.length);
    }
    this.sendWindow -= length;
    host.takeWindow(length);
    if (length <= maxFrameBytes) host.output.data(this.id, around, headEnd, aroundEnd, body, start, end);
    else {
      frames.begin(host.output, this.id, length);
      frames.put(around, 0, headEnd);
      frames.put(body, start, end);
      frames.put(around, headEnd, aroundEnd);
    }
    if (!host.isCongested) return true;
    host.wait(this);
    return false;
  }

  /** Ends our side with a trailer section, after what is queued; then the stream is gone. */
  finish(trailers: Uint8Array): void {
    if (this.#isClosed || this.#trailers !== undefined) return;
    this.#trailers = trailers;
    if (this.#queue.length === 0) this.#finishNow();
  }

  reset(code: ErrorCodeValue): void {
    if (this.#isClosed) return;
    this.#host.output.rstStream(this.id, code);
    this.#close('reset');
  }

  /** Stops granting receive window, so that the peer stops within one window. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#grant();
  }

  /** Counts received bytes, padding included, and gives window back. */
  onReceived(bytes: number, windowBytes: number): void {
    this.receiveWindow -= bytes;
    this.#ungranted += bytes;
    if (this.#ungranted >= windowBytes / 2) this.#grant();
  }

  /** Called by the host when the window or the socket has opened. */
  pump(): void {
    while (this.#queue.length > 0) {
      const head = this.#queue[0]!;
      const sent = this.#write(head, 0, head.length);
      this.#letGo(sent);
      if (sent < head.length) {
        this.#queue[0] = head.subarray(sent);
        this.#host.wait(this);
        return;
      }
      this.#queue.shift();
    }
    if (this.#trailers !== undefined) this.#finishNow();
    else if (this.#host.isCongested) this.#host.wait(this);
    else this.handler?.onDrain();
  }

  /** The connection or the peer has ended it. */
  onGone(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#dropQueue();
    this.handler?.onGone();
  }

  #keep(bytes: Uint8Array, start: number, end: number): void {
    if (this.#host.hold(end - start)) {
      this.#heldBytes += end - start;
      this.#queue.push(bytes.slice(start, end));
      this.#host.wait(this);
      return;
    }
    const { handler } = this;
    this.reset(ErrorCode.EnhanceYourCalm);
    // Not now: the handler is in the middle of sending.
    queueMicrotask(() => handler?.onGone());
  }

  #letGo(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#host.letGo(bytes);
  }

  #dropQueue(): void {
    this.#queue = [];
    this.#letGo(this.#heldBytes);
  }

  #grant(): void {
    if (this.#isPaused || this.isRemoteEnded || this.#isClosed || this.#ungranted === 0) return;
    this.#host.output.windowUpdate(this.id, this.#ungranted);
    this.receiveWindow += this.#ungranted;
    this.#ungranted = 0;
  }

  /** Returns how many bytes the windows let through. */
  #write(bytes: Uint8Array, start: number, end: number): number {
    const length = Math.min(end - start, this.sendWindow, this.#host.sendWindow);
    if (length <= 0) return 0;
    this.sendWindow -= length;
    this.#host.takeWindow(length);
    frames.begin(this.#host.output, this.id, length);
    frames.put(bytes, start, start + length);
    return length;
  }

  #finishNow(): void {
    const { output } = this.#host;
    const trailers = this.#trailers!;
    output.frame(FrameType.Headers, Flag.EndHeaders | Flag.EndStream, this.id, trailers.length);
    output.bytes(trailers);
    // Section 8.1: a server that needs no more of the request says so, without an error.
    if (!this.isRemoteEnded) output.rstStream(this.id, ErrorCode.NoError);
    this.#close(this.isRemoteEnded ? 'finished' : 'reset');
  }

  #close(how: 'finished' | 'reset'): void {
    this.#isClosed = true;
    this.#dropQueue();
    this.#host.remove(this, how);
  }
}
