import { headerName, headerValue } from './header-texts.ts';

const maxGroupDepth = 100;

/**
 * Reads protobuf fields from a view, without copying. One instance is reused for many messages; it holds no
 * state between them but the place it reads at. Throws a RangeError for bytes that are no protobuf.
 */
export class ProtoReader {
  #bytes: Buffer = Buffer.alloc(0);
  at = 0;
  end = 0;

  open(bytes: Buffer, start: number, end: number): void {
    this.#bytes = bytes;
    this.at = start;
    this.end = end;
  }

  /** Field number and wire type in one integer, as on the wire: `number << 3 | type`. */
  tag(): number {
    return this.uint32();
  }

  /** A varint, cut to 32 bits. */
  uint32(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.at >= this.end) throw new RangeError('Expected a varint, found the end of the message.');
      const byte = this.#bytes[this.at++]!;
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new RangeError('Expected a varint of at most 10 bytes, found a longer one.');
  }

  /** Any varint other than 0. */
  bool(): boolean {
    return this.uint32() !== 0;
  }

  /** Enters a length-delimited field: returns its end, and leaves `at` at its start. */
  span(): number {
    const length = this.uint32();
    const end = this.at + length;
    if (end > this.end)
      throw new RangeError(`Expected a field of ${length} bytes, found the end of the message.`);
    return end;
  }

  /** UTF-8 text up to `end`. */
  text(end: number): string {
    const start = this.at;
    this.at = end;
    return this.#bytes.toString('utf8', start, end);
  }

  /** A header name up to `end`, in lower case. */
  name(end: number): string {
    const start = this.at;
    this.at = end;
    return headerName(this.#bytes, start, end);
  }

  /** A header value up to `end`. */
  value(end: number): string {
    const start = this.at;
    this.at = end;
    return headerValue(this.#bytes, start, end);
  }

  view(end: number): Buffer {
    const start = this.at;
    this.at = end;
    return this.#bytes.subarray(start, end);
  }

  /** Passes over the field whose tag was just read; groups, which proto2 had, to a depth of 100. */
  skip(tag: number, depth = 0): void {
    switch (tag & 7) {
      case 0:
        this.uint32();
        return;
      case 1:
        this.#advance(8);
        return;
      case 2:
        this.at = this.span();
        return;
      case 3:
        this.#skipGroup(tag >>> 3, depth + 1);
        return;
      case 5:
        this.#advance(4);
        return;
      default:
        throw new RangeError(`Expected a wire type of 0, 1, 2, 3 or 5, found ${tag & 7}.`);
    }
  }

  #skipGroup(fieldNumber: number, depth: number): void {
    if (depth > maxGroupDepth)
      throw new RangeError(`Expected groups within ${maxGroupDepth} others, found more.`);
    const endTag = (fieldNumber << 3) | 4;
    for (let tag = this.tag(); tag !== endTag >>> 0; tag = this.tag()) this.skip(tag, depth);
  }

  #advance(bytes: number): void {
    this.at += bytes;
    if (this.at > this.end)
      throw new RangeError('Expected a fixed-size field, found the end of the message.');
  }
}
