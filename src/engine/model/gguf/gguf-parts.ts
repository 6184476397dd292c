import { existsSync } from 'node:fs';
import { CheckpointError } from '../checkpoint-error.ts';
import type { StoredTensor } from '../stored-tensor.ts';
import type { GgufFile } from './gguf-file.ts';

const MOST_PARTS = 99_999;

/** The files of a model in parts, as llama.cpp's `gguf-split` names them, by any of them; or the file alone. */
export function partsOf({ file, metadata }: GgufFile): readonly string[] {
  const count = metadata.get('split.count') ?? 0;
  if (typeof count !== 'number' || !Number.isInteger(count) || count < 0 || count > MOST_PARTS)
    throw new CheckpointError(
      `${file}: split.count should be a number of parts, found ${JSON.stringify(count)}`,
    );
  if (count <= 1) return [file];
  const [, stem, number, total] = /^(.*)-(\d{5})-of-(\d{5})(?=\.gguf$)/i.exec(file) ?? [];
  const last = String(count).padStart(5, '0');
  if (stem === undefined || number === undefined || total !== last)
    throw new CheckpointError(
      `${file} is one of ${count} parts, which find each other by name: call it NAME-00001-of-${last}.gguf, and the others accordingly`,
    );
  const extension = file.slice(file.lastIndexOf('.'));
  const files = Array.from(
    { length: count },
    (_, i) => `${stem}-${String(i + 1).padStart(5, '0')}-of-${last}${extension}`,
  );
  const missing = files.filter((each) => !existsSync(each));
  if (missing.length > 0)
    throw new CheckpointError(
      `${file} is one of ${count} parts, of which ${missing.length} are missing: ${missing.slice(0, 3).join(', ')}; copy them beside it`,
    );
  return files;
}

/** One model of its parts, in order: the first has the metadata, each has some tensors. */
export function joinParts({ file }: GgufFile, parts: readonly GgufFile[]): GgufFile {
  const tensors = new Map<string, StoredTensor>();
  for (const [index, part] of parts.entries()) {
    const is = part.metadata.get('split.no');
    const of = part.metadata.get('split.count');
    if (is !== index || of !== parts.length)
      throw new CheckpointError(
        `${part.file} says that it is part ${Number(is) + 1} of ${String(of)}, its name that it is ${index + 1} of ${parts.length}: parts of different models are mixed`,
      );
    for (const [name, tensor] of part.tensors) {
      if (tensors.has(name))
        throw new CheckpointError(`${part.file} has the tensor ${JSON.stringify(name)}, as a part before it`);
      tensors.set(name, { ...tensor, file: index });
    }
  }
  const { metadata } = parts[0]!;
  const expected = metadata.get('split.tensors.count') ?? tensors.size;
  if (expected !== tensors.size)
    throw new CheckpointError(
      `${file}: the parts have ${tensors.size} tensors, the first says ${String(expected)}: they do not belong together`,
    );
  return { file, files: parts.map((part) => part.file), metadata, tensors };
}
