import type { TensorRole } from '../../native/native.ts';
import { type Checkpoint, locateTensors } from '../checkpoint.ts';
import type { ModelConfig } from '../config.ts';
import { listTensors, type TensorNeed } from '../tensor-names.ts';
import { ggufArchitecture } from './gguf-config.ts';
import { readGguf } from './gguf-file.ts';

/** llama.cpp's names of tensors; those of layers come after `blk.N.`. */
const NAMES: Readonly<Record<TensorRole, string>> = {
  embed_tokens: 'token_embd.weight',
  final_norm: 'output_norm.weight',
  lm_head: 'output.weight',
  input_norm: 'attn_norm.weight',
  mlp_norm: 'ffn_norm.weight',
  attention_output_norm: 'post_attention_norm.weight',
  mlp_output_norm: 'post_ffw_norm.weight',
  q_proj: 'attn_q.weight',
  k_proj: 'attn_k.weight',
  v_proj: 'attn_v.weight',
  o_proj: 'attn_output.weight',
  q_bias: 'attn_q.bias',
  k_bias: 'attn_k.bias',
  v_bias: 'attn_v.bias',
  o_bias: 'attn_output.bias',
  q_norm: 'attn_q_norm.weight',
  k_norm: 'attn_k_norm.weight',
  gate_proj: 'ffn_gate.weight',
  up_proj: 'ffn_up.weight',
  down_proj: 'ffn_down.weight',
  gate_bias: 'ffn_gate.bias',
  up_bias: 'ffn_up.bias',
  down_bias: 'ffn_down.bias',
  router: 'ffn_gate_inp.weight',
};
const FUSED: Partial<Readonly<Record<TensorRole, string>>> = {
  q_proj: 'attn_qkv.weight',
  k_proj: 'attn_qkv.weight',
  v_proj: 'attn_qkv.weight',
  gate_proj: 'ffn_up.weight',
  up_proj: 'ffn_up.weight',
};
const EXPERTS: Partial<Readonly<Record<TensorRole, string>>> = {
  gate_proj: 'ffn_gate_exps.weight',
  up_proj: 'ffn_up_exps.weight',
  down_proj: 'ffn_down_exps.weight',
};
/** Rows of these are stored with the two halves of each head interleaved, as llama.cpp rotates Llama. */
const INTERLEAVED: ReadonlySet<TensorRole> = new Set(['q_proj', 'k_proj', 'q_bias', 'k_bias']);

/** Finds every weight of the decoder in a GGUF file. */
export function readGgufCheckpoint(file: string, config: ModelConfig, gguf = readGguf(file)): Checkpoint {
  const isLlama = ggufArchitecture(gguf) === 'llama';
  const needs = listTensors(config, '').map((need) => rename(need, config));
  const { files, tensors } = locateTensors(file, gguf, needs);
  if (!isLlama) return { files, tensors };
  return {
    files,
    tensors: tensors.map((tensor) =>
      INTERLEAVED.has(tensor.role) ? { ...tensor, isInterleaved: true } : tensor,
    ),
  };
}

function rename(need: TensorNeed, config: ModelConfig): TensorNeed {
  const { role, layer, expert, stored } = need;
  const prefix = layer < 0 ? '' : `blk.${layer}.`;
  if (expert !== undefined) {
    const [rows = 0, columns = 0] = need.shape;
    const shape = [config.experts?.count ?? 0, rows, columns];
    return { ...need, name: `${prefix}${EXPERTS[role]}`, stored: { shape, firstRow: expert * rows } };
  }
  const fused = stored === undefined ? undefined : FUSED[role];
  return { ...need, name: `${prefix}${fused ?? NAMES[role]}` };
}
