import type { Duplex } from 'node:stream';
import { FrameSplitter, type OnFrame } from './frame-splitter.ts';
import { FrameWriter } from './frame-writer.ts';

export interface FrameLinkOptions {
  readonly socket: Duplex;
  readonly onFrame: OnFrame;
  /** Once: the other side has gone, or has sent what is no frame, which `error` tells. */
  readonly onClose: (error: Error | undefined) => void;
  /** Of one frame that comes in. */
  readonly maxFrameBytes: number;
}

/** What one read of a socket takes at most: who fills it has more to say than the others may wait for. */
const fullReadBytes = 64 * 1024;

/**
 * One end of the way between a door's process and the picker's. Frames that are written while others are read
 * leave together after them; those written otherwise leave together at the end of the turn.
 */
export class FrameLink {
  readonly writer: FrameWriter;
  readonly #socket: Duplex;
  readonly #options: FrameLinkOptions;
  #isHeld = false;
  #planned: NodeJS.Immediate | undefined;
  #resumed: NodeJS.Immediate | undefined;
  #isClosed = false;

  constructor(options: FrameLinkOptions) {
    const { socket, onFrame, maxFrameBytes } = options;
    this.#options = options;
    this.#socket = socket;
    this.writer = new FrameWriter(
      (bytes) => {
        if (!this.#isClosed) socket.write(bytes);
      },
      () => this.#plan(),
    );
    const splitter = new FrameSplitter(onFrame, maxFrameBytes);
    socket.on('data', (chunk: Buffer) => this.#read(splitter, chunk));
    socket.on('close', () => this.#close(undefined));
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.destroy());
  }

  /** What the other side has not taken yet. */
  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  /** Writes what is there, and calls back when the other side has it or is gone. */
  finish(done: () => void): void {
    this.writer.flush();
    if (this.#isClosed) done();
    else this.#socket.end(done);
  }

  /** Nothing is read or written any more. */
  destroy(): void {
    this.#close(undefined);
  }

  #read(splitter: FrameSplitter, chunk: Buffer): void {
    if (this.#isClosed) return;
    this.#isHeld = true;
    try {
      splitter.push(chunk);
    } catch (error) {
      this.#close(error instanceof Error ? error : new Error(String(error)));
    }
    this.#isHeld = false;
    this.writer.flush();
    if (chunk.length >= fullReadBytes && !this.#isClosed) this.#giveWay();
  }

  /** The other sockets have their turn first. */
  #giveWay(): void {
    this.#socket.pause();
    this.#resumed = setImmediate(() => this.#socket.resume());
  }

  #plan(): void {
    if (this.#isHeld || this.#planned !== undefined) return;
    this.#planned = setImmediate(() => {
      this.#planned = undefined;
      this.writer.flush();
    });
  }

  #close(error: Error | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearImmediate(this.#planned);
    clearImmediate(this.#resumed);
    this.#socket.destroy();
    this.#options.onClose(error);
  }
}
