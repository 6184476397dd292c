/** Protobuf by hand. The judge shares no codec with what it judges, and can write what no library would. */

export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

export function varintField(number: number, value: number | boolean): Buffer {
  return Buffer.concat([varint(number << 3), varint(Number(value))]);
}

export function bytesField(number: number, value: Uint8Array | string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

export function messageField(number: number, ...fields: readonly Uint8Array[]): Buffer {
  return bytesField(number, Buffer.concat(fields));
}

export interface Field {
  readonly number: number;
  /** Of a varint; 0 otherwise. */
  readonly value: number;
  /** Of a length-delimited field; empty otherwise. */
  readonly bytes: Buffer;
}

const noBytes = Buffer.alloc(0);

/** Fields in the order of the wire. Throws a RangeError for bytes that are no message. */
export function readFields(bytes: Buffer): readonly Field[] {
  const fields: Field[] = [];
  let at = 0;
  const readVarint = () => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) throw new RangeError('Expected a varint, found the end of the message.');
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError('Expected a varint of at most 10 bytes, found a longer one.');
  };
  const take = (length: number) => {
    if (at + length > bytes.length) {
      throw new RangeError(`Expected a field of ${length} bytes, found the end of the message.`);
    }
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = readVarint();
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0:
        fields.push({ number, value: readVarint(), bytes: noBytes });
        break;
      case 1:
        fields.push({ number, value: 0, bytes: take(8) });
        break;
      case 2:
        fields.push({ number, value: 0, bytes: take(readVarint()) });
        break;
      case 5:
        fields.push({ number, value: 0, bytes: take(4) });
        break;
      default:
        throw new RangeError(`Expected a wire type of 0, 1, 2 or 5, found ${tag % 8}.`);
    }
  }
  return fields;
}
