const initialBytes = 128 * 1024;
/** Little-endian on every machine that Node runs on here. */
const double = new Float64Array(1);
const doubleBytes = new Uint8Array(double.buffer);

/**
 * Writes protobuf from back to front: a nested message is complete, and its length known, when its tag is
 * written. So write fields in reverse order, and for a message: `mark`, its fields, `close`. The result lies
 * in `bytes[start, end)` until the next `reset`. `headroom` bytes in front stay free for a transport's prefix.
 */
export class ProtoWriter {
  bytes: Uint8Array = new Uint8Array(initialBytes);
  start = initialBytes;
  readonly #headroom: number;

  constructor(headroom: number) {
    this.#headroom = headroom;
  }

  get end(): number {
    return this.bytes.length;
  }

  reset(): void {
    this.start = this.bytes.length;
  }

  /** To be given to `close` when the message's fields are written. */
  mark(): number {
    return this.bytes.length - this.start;
  }

  close(fieldNumber: number, mark: number): void {
    this.varint(this.bytes.length - this.start - mark);
    this.varint((fieldNumber << 3) | 2);
  }

  varintField(fieldNumber: number, value: number): void {
    this.varint(value);
    this.varint(fieldNumber << 3);
  }

  doubleField(fieldNumber: number, value: number): void {
    this.#reserve(8);
    this.start -= 8;
    double[0] = value;
    this.bytes.set(doubleBytes, this.start);
    this.varint((fieldNumber << 3) | 1);
  }

  bytesField(fieldNumber: number, value: Uint8Array): void {
    this.#reserve(value.length);
    this.start -= value.length;
    this.bytes.set(value, this.start);
    this.varint(value.length);
    this.varint((fieldNumber << 3) | 2);
  }

  textField(fieldNumber: number, text: string): void {
    const { length } = text;
    this.#reserve(length * 3);
    let at = this.start;
    for (let i = length - 1; i >= 0; i--) {
      const code = text.charCodeAt(i);
      if (code >= 0x80) {
        this.bytesField(fieldNumber, Buffer.from(text));
        return;
      }
      this.bytes[--at] = code;
    }
    this.start = at;
    this.varint(length);
    this.varint((fieldNumber << 3) | 2);
  }

  varint(value: number): void {
    this.#reserve(5);
    let length = 1;
    for (let rest = value >>> 7; rest !== 0; rest >>>= 7) length++;
    this.start -= length;
    let rest = value;
    for (let i = 0; i < length - 1; i++) {
      this.bytes[this.start + i] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.bytes[this.start + length - 1] = rest;
  }

  #reserve(bytes: number): void {
    if (this.start - bytes >= this.#headroom) return;
    const used = this.bytes.length - this.start;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, used + bytes + this.#headroom));
    grown.set(this.bytes.subarray(this.start), grown.length - used);
    this.bytes = grown;
    this.start = grown.length - used;
  }
}
