import { closeSync, openSync, readSync } from 'node:fs';
import { CheckpointError } from '../checkpoint-error.ts';
import type { GgufFile } from './gguf-file.ts';

/** More than any list of rope factors has. */
const MAX_FLOATS = 65_536;

/** The values of a small F32 tensor. */
export function readFloats({ file, files, tensors }: GgufFile, name: string): readonly number[] {
  const tensor = tensors.get(name);
  const count = tensor?.shape.reduce((product, size) => product * size, 1) ?? 0;
  if (tensor === undefined || tensor.dtype !== 'F32' || count > MAX_FLOATS)
    throw new CheckpointError(
      `${file}: ${name} should be a list of F32, found ${tensor?.dtype} [${tensor?.shape.join(', ')}]`,
    );
  const bytes = Buffer.alloc(count * 4);
  const fd = openSync(files[tensor.file]!, 'r');
  try {
    readSync(fd, bytes, 0, bytes.length, tensor.offset);
  } finally {
    closeSync(fd);
  }
  return Array.from({ length: count }, (_, i) => bytes.readFloatLE(i * 4));
}
