const slabBytes = 64 * 1024;
const headBytes = 5;

/**
 * Frames on their way out, encoded straight into a slab:
 *
 *   length of the rest, 4 bytes │ kind, 1 byte │ payload
 *
 * Numbers are little-endian. Those of one turn of the event loop leave in one write; a slab is never reused, since
 * the socket may still hold parts of it.
 */
export class FrameWriter {
  readonly #write: (bytes: Buffer) => void;
  readonly #onFrame: () => void;
  #slab = Buffer.allocUnsafeSlow(slabBytes);
  #start = 0;
  #at = 0;
  #frameAt = 0;

  /** `onFrame` is called after each frame: it should see to it that `flush` is called soon. */
  constructor(write: (bytes: Buffer) => void, onFrame: () => void) {
    this.#write = write;
    this.#onFrame = onFrame;
  }

  /** `maxPayloadBytes`: room that is kept for what follows until `end`. */
  begin(kind: number, maxPayloadBytes: number): void {
    const needed = headBytes + maxPayloadBytes;
    if (this.#at + needed > this.#slab.length) {
      this.flush();
      this.#slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, needed));
      this.#start = 0;
      this.#at = 0;
    }
    this.#frameAt = this.#at;
    this.#slab[this.#at + 4] = kind;
    this.#at += headBytes;
  }

  uint8(value: number): void {
    this.#slab[this.#at++] = value;
  }

  uint16(value: number): void {
    this.#at = this.#slab.writeUInt16LE(value, this.#at);
  }

  uint32(value: number): void {
    this.#at = this.#slab.writeUInt32LE(value, this.#at);
  }

  float64(value: number): void {
    this.#at = this.#slab.writeDoubleLE(value, this.#at);
  }

  /** The first `count` values; their number is not written. */
  uint32s(values: Uint32Array, count: number): void {
    if (count <= smallCount) {
      for (let i = 0; i < count; i++) this.uint32(values[i]!);
      return;
    }
    this.bytes(new Uint8Array(values.buffer, values.byteOffset, 4 * count));
  }

  bytes(source: Uint8Array): void {
    this.#slab.set(source, this.#at);
    this.#at += source.length;
  }

  /** At most 5 + 3 x its length bytes: the number of characters, whether each takes one byte or two, and these. */
  text(text: string): void {
    this.uint32(text.length);
    const written = this.#slab.write(text, this.#at + 1, 'utf8');
    const isAscii = written === text.length;
    this.uint8(isAscii ? 1 : 2);
    this.#at += isAscii ? written : this.#slab.write(text, this.#at, 'utf16le');
  }

  end(): void {
    this.#slab.writeUInt32LE(this.#at - this.#frameAt - 4, this.#frameAt);
    this.#onFrame();
  }

  flush(): void {
    if (this.#at === this.#start) return;
    const bytes = this.#slab.subarray(this.#start, this.#at);
    this.#start = this.#at;
    this.#write(bytes);
  }
}

/** Up to here a loop is faster than a view of the bytes. The reader goes by the same number. */
export const smallCount = 16;

/** The most bytes that `FrameWriter.text` takes. */
export function maxTextBytes(text: string): number {
  return 5 + 3 * text.length;
}
