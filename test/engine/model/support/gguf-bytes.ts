import {
  padded,
  text as string,
  u32 as uint32,
  u64 as uint64,
} from '../../../../bench/engine/gguf-values.ts';

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
      ...dimensions.map((size) => uint64(size)),
      uint32(type),
      uint64(offset),
    ]),
  ]);
  return dataBytes === 0 ? front : Buffer.concat([padded(front), Buffer.alloc(dataBytes)]);
}
