import type { TensorSource, WeightDtype } from '../native/native.ts';
import { CheckpointError } from './checkpoint-error.ts';
import type { ModelConfig } from './config.ts';
import { readSafetensors, type Safetensors, type StoredTensor } from './safetensors.ts';
import { listTensors, type TensorNeed } from './tensor-names.ts';

/** The tensors of a checkpoint that the decoder uses, each found and of the shape that the config implies. */
export interface Checkpoint {
  readonly files: readonly string[];
  readonly tensors: readonly TensorSource[];
}

const ELEMENT_BYTES: Readonly<Record<WeightDtype, number>> = { F32: 4, BF16: 2, F16: 2 };

/** Finds every weight of the decoder in the folder's safetensors files. */
export function readCheckpoint(folder: string, config: ModelConfig): Checkpoint {
  const stored = readSafetensors(folder);
  // A base model without its language-model head saves the same tensors without the prefix.
  const prefix = stored.tensors.has('model.embed_tokens.weight') ? 'model.' : '';
  const needs = listTensors(config, prefix);
  return { files: stored.files, tensors: needs.map((need) => locate(folder, stored, need)) };
}

function locate(folder: string, stored: Safetensors, need: TensorNeed): TensorSource {
  const tensor = stored.tensors.get(need.name);
  if (tensor === undefined) {
    throw new CheckpointError(
      `${folder}: the checkpoint has no tensor ${need.name}; it is incomplete or config.json does not belong to it`,
    );
  }
  const implied = need.part === undefined ? need.shape : [need.part.rows, ...need.shape.slice(1)];
  if (tensor.shape.length !== implied.length || tensor.shape.some((size, i) => size !== implied[i])) {
    throw new CheckpointError(
      `${stored.files[tensor.file]}: ${need.name} is [${tensor.shape.join(', ')}], config.json implies [${implied.join(', ')}]`,
    );
  }
  const { role, layer, shape, expert } = need;
  const dtype = weightDtype(stored, tensor);
  const skipped = (need.part?.start ?? 0) * (shape[1] ?? 1) * ELEMENT_BYTES[dtype];
  const place = { file: tensor.file, offset: tensor.offset + skipped, dtype, shape };
  return { role, layer, ...(expert === undefined ? {} : { expert }), ...place };
}

function weightDtype(stored: Safetensors, tensor: StoredTensor): WeightDtype {
  if (tensor.dtype === 'F32' || tensor.dtype === 'BF16' || tensor.dtype === 'F16') return tensor.dtype;
  throw new CheckpointError(
    `${stored.files[tensor.file]}: ${tensor.name} is ${tensor.dtype}; supported weights are F32, BF16 and F16`,
  );
}
