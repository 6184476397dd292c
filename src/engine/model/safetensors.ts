import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { basename, join } from 'node:path';
import { CheckpointError } from './checkpoint-error.ts';
import { JsonFields } from './json-fields.ts';
import type { StoredTensor, StoredTensors } from './stored-tensor.ts';

/** Bytes per element of the dtypes that the format defines. */
const DTYPE_BYTES: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
};
/** The limit of the reference implementation; a larger length is garbage, not a header. */
const MAX_HEADER_BYTES = 100_000_000;

/** Reads the headers of `model.safetensors`, or of the shards that `model.safetensors.index.json` names. */
export function readSafetensors(folder: string): StoredTensors {
  const single = join(folder, 'model.safetensors');
  const indexFile = join(folder, 'model.safetensors.index.json');
  if (existsSync(single)) return collect([single]);
  if (!existsSync(indexFile)) {
    throw new CheckpointError(
      `${folder} has neither model.safetensors nor model.safetensors.index.json; ` +
        'convert the checkpoint to safetensors, or start with --load-format dummy for random weights',
    );
  }
  const weightMap = JsonFields.read(indexFile).object('weight_map');
  if (weightMap === undefined) throw new CheckpointError(`${indexFile} has no weight_map`);
  const shards = new Set(weightMap.keys().map((tensor) => weightMap.text(tensor) ?? ''));
  for (const shard of shards) {
    if (shard === '' || basename(shard) !== shard) {
      throw new CheckpointError(
        `${indexFile}: weight_map names '${shard}', which is not a file in the folder`,
      );
    }
    if (!existsSync(join(folder, shard))) {
      throw new CheckpointError(
        `${indexFile} names ${shard}, which is missing; copy all shards of the model`,
      );
    }
  }
  const found = collect([...shards].sort().map((shard) => join(folder, shard)));
  for (const tensor of weightMap.keys()) {
    if (!found.tensors.has(tensor)) {
      throw new CheckpointError(
        `${indexFile} promises ${tensor} in ${weightMap.text(tensor)}, but no shard has it`,
      );
    }
  }
  return found;
}

function collect(files: readonly string[]): StoredTensors {
  const tensors = new Map<string, StoredTensor>();
  for (const [index, file] of files.entries()) {
    for (const tensor of readHeader(file, index)) {
      const twin = tensors.get(tensor.name);
      if (twin !== undefined) {
        throw new CheckpointError(`${tensor.name} is both in ${files[twin.file]} and in ${file}`);
      }
      tensors.set(tensor.name, tensor);
    }
  }
  return { files, tensors };
}

/**
 * The header of one file: 8 bytes little-endian length, that many bytes of JSON, then the tensors' bytes;
 * `data_offsets` count from the end of the JSON.
 */
export function readHeader(file: string, index = 0): readonly StoredTensor[] {
  const { header, dataStart, fileBytes } = readJson(file);
  const tensors: StoredTensor[] = [];
  const ranges: { readonly name: string; readonly start: number; readonly end: number }[] = [];
  for (const name of header.keys()) {
    if (name === '__metadata__') continue;
    const entry = header.object(name);
    const tensor = entry && parseEntry(file, name, entry);
    if (!tensor) throw new CheckpointError(`${file}: tensor ${name} has no description`);
    const end = dataStart + tensor.end;
    if (end > fileBytes) {
      throw new CheckpointError(
        `${file} is truncated: ${name} ends at byte ${end}, the file has ${fileBytes}; copy it again`,
      );
    }
    tensors.push({
      name,
      dtype: tensor.dtype,
      shape: tensor.shape,
      file: index,
      offset: dataStart + tensor.start,
    });
    if (tensor.end > tensor.start) ranges.push({ name, start: tensor.start, end: tensor.end });
  }
  ranges.sort((a, b) => a.start - b.start);
  for (const [i, range] of ranges.entries()) {
    const before = ranges[i - 1];
    if (before !== undefined && before.end > range.start) {
      throw new CheckpointError(`${file} is corrupt: ${before.name} and ${range.name} overlap`);
    }
  }
  return tensors;
}

function readJson(file: string): { header: JsonFields; dataStart: number; fileBytes: number } {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (cause) {
    throw new CheckpointError(`${file} cannot be opened`, { cause });
  }
  try {
    const fileBytes = fstatSync(fd).size;
    const prefix = Buffer.alloc(8);
    const complete = readSync(fd, prefix, 0, 8, 0) === 8;
    const headerBytes = complete ? Number(prefix.readBigUInt64LE()) : 0;
    if (!complete || headerBytes < 2 || headerBytes > MAX_HEADER_BYTES || 8 + headerBytes > fileBytes) {
      throw new CheckpointError(
        `${file} is not a safetensors file, or is truncated: header of ${headerBytes} bytes in a file of ${fileBytes}`,
      );
    }
    const text = Buffer.alloc(headerBytes);
    if (readSync(fd, text, 0, headerBytes, 8) !== headerBytes) {
      throw new CheckpointError(`${file} changed while its header was read; try again`);
    }
    const header = JsonFields.parse(`${file}: header`, text.toString());
    return { header, dataStart: 8 + headerBytes, fileBytes };
  } finally {
    closeSync(fd);
  }
}

function parseEntry(file: string, name: string, entry: JsonFields) {
  const dtype = entry.text('dtype') ?? '';
  const elementBytes = DTYPE_BYTES[dtype];
  if (elementBytes === undefined)
    throw new CheckpointError(`${file}: ${name} has the unknown dtype '${dtype}'`);
  const shape = integers(entry, 'shape');
  const [start, end, ...rest] = integers(entry, 'data_offsets');
  if (start === undefined || end === undefined || rest.length > 0 || end < start) {
    throw entry.refuse('data_offsets', 'two increasing byte offsets', entry.raw('data_offsets'));
  }
  const bytes = shape.reduce((product, size) => product * size, 1) * elementBytes;
  if (end - start !== bytes) {
    throw new CheckpointError(
      `${file}: ${name} is ${dtype} [${shape.join(', ')}], which takes ${bytes} bytes, but spans ${end - start}`,
    );
  }
  return { dtype, shape, start, end };
}

function integers(entry: JsonFields, name: string): readonly number[] {
  const values = entry.list(name) ?? [];
  if (!entry.has(name) || !values.every((value) => Number.isSafeInteger(value) && (value as number) >= 0)) {
    throw entry.refuse(name, 'a list of integers from 0', entry.raw(name));
  }
  return values as readonly number[];
}
