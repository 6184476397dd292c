import type { StoredDtype, TensorSource } from '../native/native.ts';
import { CheckpointError } from './checkpoint-error.ts';
import type { ModelConfig } from './config.ts';
import { readSafetensors } from './safetensors.ts';
import type { StoredTensor, StoredTensors } from './stored-tensor.ts';
import { listTensors, type TensorNeed } from './tensor-names.ts';

/** The tensors of a checkpoint that the decoder uses, each found and of the shape that the config implies. */
export interface Checkpoint {
  readonly files: readonly string[];
  readonly tensors: readonly TensorSource[];
}

/** Elements of a row that are stored together, and the bytes that they take. */
const BLOCKS: Readonly<Record<StoredDtype, readonly [elements: number, bytes: number]>> = {
  F32: [1, 4],
  BF16: [1, 2],
  F16: [1, 2],
  Q4_0: [32, 18],
  Q4_1: [32, 20],
  Q5_0: [32, 22],
  Q5_1: [32, 24],
  Q8_0: [32, 34],
  Q4_K: [256, 144],
  Q5_K: [256, 176],
  Q6_K: [256, 210],
};

/** Finds every weight of the decoder in the folder's safetensors files. */
export function readCheckpoint(folder: string, config: ModelConfig): Checkpoint {
  const stored = readSafetensors(folder);
  // A base model without its language-model head saves the same tensors without the prefix.
  const prefix = stored.tensors.has('model.embed_tokens.weight') ? 'model.' : '';
  return locateTensors(folder, stored, listTensors(config, prefix));
}

/** Finds each of `needs`; `where` names the checkpoint in errors. */
export function locateTensors(
  where: string,
  stored: StoredTensors,
  needs: readonly TensorNeed[],
): Checkpoint {
  return { files: stored.files, tensors: needs.map((need) => locate(where, stored, need)) };
}

function locate(where: string, { files, tensors }: StoredTensors, need: TensorNeed): TensorSource {
  const tensor = tensors.get(need.name);
  if (tensor === undefined) {
    throw new CheckpointError(
      `${where}: the checkpoint has no tensor ${need.name}; it is incomplete or its configuration does not belong to it`,
    );
  }
  const implied = need.stored?.shape ?? need.shape;
  if (tensor.shape.length !== implied.length || tensor.shape.some((size, i) => size !== implied[i])) {
    throw new CheckpointError(
      `${files[tensor.file]}: ${need.name} is [${tensor.shape.join(', ')}], the configuration implies [${implied.join(', ')}]`,
    );
  }
  const { role, layer, shape, expert } = need;
  const dtype = storedDtype(files, tensor);
  const [elements, bytes] = BLOCKS[dtype];
  if (elements > 1 && shape.length === 1)
    throw new CheckpointError(
      `${files[tensor.file]}: ${need.name} is ${dtype}; norms and biases must be F32, F16 or BF16`,
    );
  const skipped = (((need.stored?.firstRow ?? 0) * (shape[1] ?? 1)) / elements) * bytes;
  const place = { file: tensor.file, offset: tensor.offset + skipped, dtype, shape };
  return { role, layer, ...(expert === undefined ? {} : { expert }), ...place };
}

function storedDtype(files: readonly string[], { dtype, name, file }: StoredTensor): StoredDtype {
  if (dtype in BLOCKS) return dtype as StoredDtype;
  throw new CheckpointError(`${files[file]}: ${name} is ${dtype}; supported weights are F32, BF16 and F16`);
}
