/** The parts that GGUF files are made of, little-endian: github.com/ggml-org/ggml docs/gguf.md. */
export const ggufValueTypes = { u16: 2, u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;
export const ggufAlignment = 32;

export function u16(value: number): Buffer {
  const out = Buffer.alloc(2);
  out.writeUInt16LE(value);
  return out;
}

export function u32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value);
  return out;
}

export function u64(value: number | bigint): Buffer {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(BigInt(value));
  return out;
}

export function f32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeFloatLE(value);
  return out;
}

export function text(value: string): Buffer {
  const data = Buffer.from(value);
  return Buffer.concat([u64(data.length), data]);
}

/** An entry of the metadata. */
export function field(key: string, type: keyof typeof ggufValueTypes, value: Buffer): Buffer {
  return Buffer.concat([text(key), u32(ggufValueTypes[type]), value]);
}

/** Up to the next multiple of the alignment. */
export function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((ggufAlignment - (data.length % ggufAlignment)) % ggufAlignment)]);
}
