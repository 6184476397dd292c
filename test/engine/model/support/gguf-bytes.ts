/** Writes GGUF files byte by byte, wrong ones too. */
export interface MetadataValue {
  readonly type: number;
  readonly bytes: Uint8Array;
}
export type Metadata = Readonly<Record<string, MetadataValue>>;

export interface TensorEntry {
  readonly name: string;
  /** Fastest first, as in the file. */
  readonly dimensions: readonly number[];
  readonly type: number;
  readonly offset: number;
}

export interface GgufContent {
  readonly version?: number;
  readonly metadata?: Metadata;
  readonly tensors?: readonly TensorEntry[];
  readonly dataBytes?: number;
  /** What the counts say, when not the truth. */
  readonly tensorCount?: bigint;
  readonly keyCount?: bigint;
}

const ALIGNMENT = 32;

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

function string(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint64(BigInt(bytes.length)), bytes]);
}

export const u32 = (value: number): MetadataValue => ({ type: 4, bytes: uint32(value) });
export const text = (value: string): MetadataValue => ({ type: 8, bytes: string(value) });

/** An array of values of one type; `count` is what it says of its length. */
export function array(
  type: number,
  values: readonly MetadataValue[],
  count = BigInt(values.length),
): MetadataValue {
  return {
    type: 9,
    bytes: Buffer.concat([uint32(type), uint64(count), ...values.map(({ bytes }) => bytes)]),
  };
}

export function ggufBytes(content: GgufContent): Uint8Array {
  const { version = 3, metadata = {}, tensors = [], dataBytes = 0 } = content;
  const keys = Object.entries(metadata);
  const front = Buffer.concat([
    Buffer.from('GGUF'),
    uint32(version),
    uint64(content.tensorCount ?? BigInt(tensors.length)),
    uint64(content.keyCount ?? BigInt(keys.length)),
    ...keys.flatMap(([key, { type, bytes }]) => [string(key), uint32(type), bytes]),
    ...tensors.flatMap(({ name, dimensions, type, offset }) => [
      string(name),
      uint32(dimensions.length),
      ...dimensions.map((size) => uint64(BigInt(size))),
      uint32(type),
      uint64(BigInt(offset)),
    ]),
  ]);
  const padding = dataBytes === 0 ? 0 : (ALIGNMENT - (front.length % ALIGNMENT)) % ALIGNMENT;
  return Buffer.concat([front, Buffer.alloc(padding + dataBytes)]);
}
