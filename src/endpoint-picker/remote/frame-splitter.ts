const lengthBytes = 4;

export type OnFrame = (kind: number, bytes: Buffer, start: number, end: number) => void;

/** Cuts what a socket reads, in pieces of any size, into frames. */
export class FrameSplitter {
  readonly #onFrame: OnFrame;
  readonly #maxBytes: number;
  /** The beginning of a frame, and how much of it is there; longer than that, so that pieces can be added. */
  #held = Buffer.alloc(0);
  #heldBytes = 0;

  constructor(onFrame: OnFrame, maxBytes: number) {
    this.#onFrame = onFrame;
    this.#maxBytes = maxBytes;
  }

  /** Throws a `RangeError` for a frame that is longer than the limit, and what `onFrame` throws. */
  push(chunk: Buffer): void {
    let at = this.#heldBytes === 0 ? 0 : this.#complete(chunk);
    while (chunk.length - at >= lengthBytes) {
      const end = at + lengthBytes + this.#lengthAt(chunk, at);
      if (end > chunk.length) break;
      this.#frame(chunk, at, end);
      at = end;
    }
    if (at < chunk.length) this.#hold(chunk, at, chunk.length);
  }

  /** Adds to the frame that has begun; gives how much of the chunk that took. */
  #complete(chunk: Buffer): number {
    let at = 0;
    if (this.#heldBytes < lengthBytes) {
      at = Math.min(lengthBytes - this.#heldBytes, chunk.length);
      this.#hold(chunk, 0, at);
      if (this.#heldBytes < lengthBytes) return at;
    }
    const whole = lengthBytes + this.#lengthAt(this.#held, 0);
    const end = Math.min(chunk.length, at + whole - this.#heldBytes);
    this.#hold(chunk, at, end);
    if (this.#heldBytes < whole) return end;
    this.#heldBytes = 0;
    const frame = this.#held;
    this.#held = Buffer.alloc(0);
    this.#frame(frame, 0, whole);
    return end;
  }

  #hold(chunk: Buffer, start: number, end: number): void {
    const needed = this.#heldBytes + end - start;
    if (needed > this.#held.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#held.length));
      this.#held.copy(grown, 0, 0, this.#heldBytes);
      this.#held = grown;
    }
    chunk.copy(this.#held, this.#heldBytes, start, end);
    this.#heldBytes = needed;
  }

  #lengthAt(bytes: Buffer, at: number): number {
    const length = bytes.readUInt32LE(at);
    if (length >= 1 && length <= this.#maxBytes) return length;
    throw new RangeError(`Expected a frame of 1 to ${this.#maxBytes} bytes, found one of ${length}.`);
  }

  #frame(bytes: Buffer, start: number, end: number): void {
    const kindAt = start + lengthBytes;
    this.#onFrame(bytes[kindAt]!, bytes, kindAt + 1, end);
  }
}
