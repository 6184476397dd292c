import type { StoredDtype } from '../../native/native.ts';
import { CheckpointError } from '../checkpoint-error.ts';
import type { StoredTensor } from '../stored-tensor.ts';
import { ByteReader } from './byte-reader.ts';
import { joinParts, partsOf } from './gguf-parts.ts';

export type GgufScalar = number | boolean | string;
export type GgufValue = GgufScalar | readonly GgufScalar[];

/** What a GGUF file, or a file in parts, says before its data: metadata by key, tensors by name. */
export interface GgufFile {
  /** As it was asked for. */
  readonly file: string;
  /** Those that hold the tensors, in the order of `StoredTensor.file`. */
  readonly files: readonly string[];
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

const MAGIC = 0x46554747; // "GGUF"
/** No model has that many; a larger count is garbage and must not become memory. */
const MAX_KEYS = 65_536;
const MAX_TENSORS = 1_000_000;
const MAX_ELEMENTS = 16_777_216;
const MAX_DIMENSIONS = 4;
const ARRAY = 9;

/** Of `ggml_type`: what a block of elements is called here, and what it takes. */
const TYPES: Readonly<Record<number, readonly [dtype: StoredDtype, elements: number, bytes: number]>> = {
  0: ['F32', 1, 4],
  1: ['F16', 1, 2],
  2: ['Q4_0', 32, 18],
  3: ['Q4_1', 32, 20],
  6: ['Q5_0', 32, 22],
  7: ['Q5_1', 32, 24],
  8: ['Q8_0', 32, 34],
  12: ['Q4_K', 256, 144],
  13: ['Q5_K', 256, 176],
  14: ['Q6_K', 256, 210],
  30: ['BF16', 1, 2],
};

/**
 * Reads the front of a GGUF file, version 2 or 3 (ggml's `docs/gguf.md`): magic, version, counts, metadata,
 * tensor descriptions; of a file in parts, of all of them, whichever is named. Throws CheckpointError with the place
 * and what was found there.
 */
export function readGguf(file: string): GgufFile {
  const part = readGgufPart(file);
  const files = partsOf(part);
  return files.length === 1 ? part : joinParts(part, files.map(readGgufPart));
}

function readGgufPart(file: string): GgufFile {
  const reader = new ByteReader(file);
  try {
    const { tensors, keys } = readCounts(file, reader);
    const metadata = new Map<string, GgufValue>();
    for (let i = 0; i < keys; i++) {
      const key = reader.text();
      metadata.set(key, readValue(file, key, reader.uint32(), reader));
    }
    return {
      file,
      files: [file],
      metadata,
      tensors: readTensors(file, reader, tensors, alignmentOf(file, metadata)),
    };
  } finally {
    reader.close();
  }
}

function readCounts(file: string, reader: ByteReader) {
  if (reader.fileBytes < 24 || reader.uint32() !== MAGIC)
    throw new CheckpointError(`${file} is not a GGUF file: it does not begin with "GGUF"`);
  const version = reader.uint32();
  if (version !== 2 && version !== 3)
    throw new CheckpointError(
      `${file} is GGUF version ${version}; versions 2 and 3 are read, little-endian only`,
    );
  const tensors = reader.uint64();
  const keys = reader.uint64();
  if (tensors > MAX_TENSORS || keys > MAX_KEYS)
    throw new CheckpointError(
      `${file} is corrupt: it announces ${tensors} tensors and ${keys} metadata keys`,
    );
  return { tensors, keys };
}

/** Readers of scalars by `gguf_metadata_value_type`, and the least bytes that each takes. */
function scalarOf(type: number, reader: ByteReader): readonly [() => GgufScalar, number] | undefined {
  switch (type) {
    case 0:
      return [reader.uint8, 1];
    case 1:
      return [reader.int8, 1];
    case 2:
      return [reader.uint16, 2];
    case 3:
      return [reader.int16, 2];
    case 4:
      return [reader.uint32, 4];
    case 5:
      return [reader.int32, 4];
    case 6:
      return [reader.float32, 4];
    case 7:
      return [() => reader.uint8() !== 0, 1];
    case 8:
      return [reader.text, 8];
    case 10:
      return [reader.uint64, 8];
    case 11:
      return [reader.int64, 8];
    case 12:
      return [reader.float64, 8];
    default:
      return undefined;
  }
}

function readValue(file: string, key: string, type: number, reader: ByteReader): GgufValue {
  const isArray = type === ARRAY;
  const elementType = isArray ? reader.uint32() : type;
  const scalar = scalarOf(elementType, reader);
  if (scalar === undefined)
    throw new CheckpointError(`${file}: ${shown(key)} has the unknown value type ${elementType}`);
  const [read, leastBytes] = scalar;
  if (!isArray) return read();
  const count = reader.uint64();
  if (count > MAX_ELEMENTS || count * leastBytes > reader.left)
    throw new CheckpointError(
      `${file} is truncated or corrupt: ${shown(key)} announces ${count} elements, ${reader.left} bytes are left`,
    );
  const values: GgufScalar[] = [];
  for (let i = 0; i < count; i++) values.push(read());
  return values;
}

function alignmentOf(file: string, metadata: ReadonlyMap<string, GgufValue>): number {
  const alignment = metadata.get('general.alignment') ?? 32;
  if (typeof alignment === 'number' && alignment > 0 && alignment <= 65_536 && Number.isInteger(alignment))
    return alignment;
  throw new CheckpointError(
    `${file}: general.alignment should be a positive number of bytes, found ${JSON.stringify(alignment)}`,
  );
}

function readTensors(file: string, reader: ByteReader, count: number, alignment: number) {
  const described: (Omit<StoredTensor, 'offset'> & { readonly start: number; readonly bytes: number })[] = [];
  for (let i = 0; i < count; i++) {
    const name = reader.text();
    const { shape, elements } = readShape(file, name, reader);
    const type = reader.uint32();
    const layout = TYPES[type];
    if (layout === undefined)
      throw new CheckpointError(
        `${file}: ${shown(name)} is of ggml type ${type}; read are ${Object.values(TYPES)
          .map(([dtype]) => dtype)
          .join(', ')}`,
      );
    const [dtype, blockElements, blockBytes] = layout;
    if ((shape.at(-1) ?? 1) % blockElements !== 0)
      throw new CheckpointError(
        `${file}: rows of ${shown(name)} have ${shape.at(-1)} elements; ${dtype} needs a multiple of ${blockElements}`,
      );
    const start = reader.uint64();
    if (start % alignment !== 0)
      throw new CheckpointError(`${file}: ${shown(name)} begins at byte ${start}, which is not aligned`);
    described.push({ name, shape, dtype, file: 0, start, bytes: (elements / blockElements) * blockBytes });
  }
  const dataStart = Math.ceil(reader.position / alignment) * alignment;
  const tensors = new Map<string, StoredTensor>();
  for (const { start, bytes, ...tensor } of described) {
    const offset = dataStart + start;
    if (offset + bytes > reader.fileBytes)
      throw new CheckpointError(
        `${file} is truncated: ${shown(tensor.name)} ends at byte ${offset + bytes}, the file has ${reader.fileBytes}; copy it again`,
      );
    if (tensors.has(tensor.name)) throw new CheckpointError(`${file} has two tensors ${shown(tensor.name)}`);
    tensors.set(tensor.name, { ...tensor, offset });
  }
  return tensors;
}

/** Dimensions are stored fastest first; shapes here are slowest first. */
function readShape(file: string, name: string, reader: ByteReader) {
  const dimensions = reader.uint32();
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS)
    throw new CheckpointError(`${file}: ${shown(name)} has ${dimensions} dimensions, expected 1 to 4`);
  const shape = Array.from({ length: dimensions }, reader.uint64).reverse();
  const elements = shape.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(elements) || elements <= 0)
    throw new CheckpointError(`${file}: ${shown(name)} has the impossible shape [${shape.join(', ')}]`);
  return { shape, elements };
}

/** Names from a file that may be garbage. */
function shown(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 77)}...` : name);
}
