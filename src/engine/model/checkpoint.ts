import type { TensorRole, TensorSource, WeightDtype } from '../native/native.ts';
import { CheckpointError } from './checkpoint-error.ts';
import type { ModelConfig } from './config.ts';
import { readSafetensors, type Safetensors, type StoredTensor } from './safetensors.ts';

/** The tensors of a checkpoint that the decoder uses, each found and of the shape that the config implies. */
export interface Checkpoint {
  readonly files: readonly string[];
  readonly tensors: readonly TensorSource[];
}

interface Need {
  readonly role: TensorRole;
  readonly layer: number;
  readonly name: string;
  readonly shape: readonly number[];
}

/** Finds every weight of the decoder in the folder's safetensors files. */
export function readCheckpoint(folder: string, config: ModelConfig): Checkpoint {
  const stored = readSafetensors(folder);
  // A base model without its language-model head saves the same tensors without the prefix.
  const prefix = stored.tensors.has('model.embed_tokens.weight') ? 'model.' : '';
  const needs = [...outerNeeds(config, prefix), ...layerNeeds(config, prefix)];
  return { files: stored.files, tensors: needs.map((need) => locate(folder, stored, need)) };
}

function outerNeeds(config: ModelConfig, prefix: string): readonly Need[] {
  const { vocabSize, hiddenSize } = config;
  const needs: Need[] = [
    { role: 'embed_tokens', layer: -1, name: `${prefix}embed_tokens.weight`, shape: [vocabSize, hiddenSize] },
    { role: 'final_norm', layer: -1, name: `${prefix}norm.weight`, shape: [hiddenSize] },
  ];
  if (!config.tieWordEmbeddings) {
    needs.push({ role: 'lm_head', layer: -1, name: 'lm_head.weight', shape: [vocabSize, hiddenSize] });
  }
  return needs;
}

function layerNeeds(config: ModelConfig, prefix: string): readonly Need[] {
  const { hiddenSize: hidden, intermediateSize: inner, headDim } = config;
  const q = config.heads * headDim;
  const kv = config.kvHeads * headDim;
  const always: readonly (readonly [TensorRole, string, readonly number[]])[] = [
    ['input_norm', 'input_layernorm.weight', [hidden]],
    ['post_attention_norm', 'post_attention_layernorm.weight', [hidden]],
    ['q_proj', 'self_attn.q_proj.weight', [q, hidden]],
    ['k_proj', 'self_attn.k_proj.weight', [kv, hidden]],
    ['v_proj', 'self_attn.v_proj.weight', [kv, hidden]],
    ['o_proj', 'self_attn.o_proj.weight', [hidden, q]],
    ['gate_proj', 'mlp.gate_proj.weight', [inner, hidden]],
    ['up_proj', 'mlp.up_proj.weight', [inner, hidden]],
    ['down_proj', 'mlp.down_proj.weight', [hidden, inner]],
  ];
  const sometimes: readonly (readonly [boolean, TensorRole, string, readonly number[]])[] = [
    [config.qkvBias, 'q_bias', 'self_attn.q_proj.bias', [q]],
    [config.qkvBias, 'k_bias', 'self_attn.k_proj.bias', [kv]],
    [config.qkvBias, 'v_bias', 'self_attn.v_proj.bias', [kv]],
    [config.outputBias, 'o_bias', 'self_attn.o_proj.bias', [hidden]],
    [config.qkNorm, 'q_norm', 'self_attn.q_norm.weight', [headDim]],
    [config.qkNorm, 'k_norm', 'self_attn.k_norm.weight', [headDim]],
    [config.mlpBias, 'gate_bias', 'mlp.gate_proj.bias', [inner]],
    [config.mlpBias, 'up_bias', 'mlp.up_proj.bias', [inner]],
    [config.mlpBias, 'down_bias', 'mlp.down_proj.bias', [hidden]],
  ];
  const needed = [
    ...always,
    ...sometimes.filter(([wanted]) => wanted).map(([, role, name, shape]) => [role, name, shape] as const),
  ];
  return Array.from({ length: config.layers }, (_, layer) =>
    needed.map(([role, name, shape]) => ({ role, layer, name: `${prefix}layers.${layer}.${name}`, shape })),
  ).flat();
}

function locate(folder: string, stored: Safetensors, need: Need): TensorSource {
  const tensor = stored.tensors.get(need.name);
  if (tensor === undefined) {
    throw new CheckpointError(
      `${folder}: the checkpoint has no tensor ${need.name}; it is incomplete or config.json does not belong to it`,
    );
  }
  if (tensor.shape.length !== need.shape.length || tensor.shape.some((size, i) => size !== need.shape[i])) {
    throw new CheckpointError(
      `${stored.files[tensor.file]}: ${need.name} is [${tensor.shape.join(', ')}], config.json implies [${need.shape.join(', ')}]`,
    );
  }
  const { role, layer, shape } = need;
  return { role, layer, file: tensor.file, offset: tensor.offset, dtype: weightDtype(stored, tensor), shape };
}

function weightDtype(stored: Safetensors, tensor: StoredTensor): WeightDtype {
  if (tensor.dtype === 'F32' || tensor.dtype === 'BF16' || tensor.dtype === 'F16') return tensor.dtype;
  throw new CheckpointError(
    `${stored.files[tensor.file]}: ${tensor.name} is ${tensor.dtype}; supported weights are F32, BF16 and F16`,
  );
}
