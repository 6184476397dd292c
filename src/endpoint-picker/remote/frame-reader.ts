import { smallCount } from './frame-writer.ts';

/** Reads the payload of one frame at a time. Throws a `RangeError` beyond its end. */
export class FrameReader {
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;

  open(bytes: Buffer, start: number, end: number): void {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#end;
  }

  uint8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  uint16(): number {
    return this.#bytes.readUInt16LE(this.#take(2));
  }

  uint32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  /** Neither infinite nor NaN. */
  finite(): number {
    const value = this.#bytes.readDoubleLE(this.#take(8));
    if (Number.isFinite(value)) return value;
    throw new RangeError(`Expected a finite number in the frame, found ${value}.`);
  }

  uint32s(count: number): Uint32Array {
    const at = this.#take(4 * count);
    const values = new Uint32Array(count);
    if (count <= smallCount) {
      for (let i = 0; i < count; i++) values[i] = this.#bytes.readUInt32LE(at + 4 * i);
      return values;
    }
    new Uint8Array(values.buffer).set(this.#bytes.subarray(at, at + 4 * count));
    return values;
  }

  /** A view; valid until the frame is handled. */
  rest(): Buffer {
    const at = this.#at;
    this.#at = this.#end;
    return this.#bytes.subarray(at, this.#end);
  }

  text(): string {
    const length = this.uint32();
    const width = this.uint8();
    const at = this.#take(length * width);
    return this.#bytes.toString(width === 1 ? 'latin1' : 'utf16le', at, at + length * width);
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#end) {
      throw new RangeError(`Expected ${bytes} more bytes in the frame, found ${this.#end - at}.`);
    }
    this.#at = at + bytes;
    return at;
  }
}
