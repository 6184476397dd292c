import type { TensorRole } from '../native/native.ts';
import { ARCHITECTURES, type Traits } from './architectures.ts';
import type { ModelConfig } from './config.ts';

/** A weight of the decoder, and where a Hugging Face checkpoint keeps it. */
export interface TensorNeed {
  readonly role: TensorRole;
  /** -1 outside the layers. */
  readonly layer: number;
  readonly expert?: number;
  readonly name: string;
  readonly shape: readonly number[];
  /** Of a stored tensor that holds several weights one after the other: its shape, and where this one begins. */
  readonly stored?: { readonly shape: readonly number[]; readonly firstRow: number };
}

type LayerNeed = Omit<TensorNeed, 'layer'>;

/** Every tensor that a decoder of this configuration reads; names begin with `prefix` inside the model. */
export function listTensors(config: ModelConfig, prefix: string): readonly TensorNeed[] {
  const { vocabSize, hiddenSize } = config;
  const outer: TensorNeed[] = [
    { role: 'embed_tokens', layer: -1, name: `${prefix}embed_tokens.weight`, shape: [vocabSize, hiddenSize] },
    { role: 'final_norm', layer: -1, name: `${prefix}norm.weight`, shape: [hiddenSize] },
  ];
  if (!config.tieWordEmbeddings) {
    outer.push({ role: 'lm_head', layer: -1, name: 'lm_head.weight', shape: [vocabSize, hiddenSize] });
  }
  const traits: Traits = ARCHITECTURES[config.architecture];
  const shared = [...norms(config), ...attention(config, traits)];
  const plain = mlp(config, traits);
  const mixed = experts(config, traits);
  const layers = Array.from({ length: config.layers }, (_, layer) =>
    [...shared, ...(config.experts?.layers[layer] ? mixed : plain)].map((need) => ({
      ...need,
      layer,
      name: `${prefix}layers.${layer}.${need.name}`,
    })),
  );
  return [...outer, ...layers.flat()];
}

function norms(config: ModelConfig): readonly LayerNeed[] {
  const names: readonly (readonly [TensorRole, string])[] = config.hasOutputNorms
    ? [
        ['input_norm', 'input_layernorm'],
        ['attention_output_norm', 'post_attention_layernorm'],
        ['mlp_norm', 'pre_feedforward_layernorm'],
        ['mlp_output_norm', 'post_feedforward_layernorm'],
      ]
    : [
        ['input_norm', 'input_layernorm'],
        ['mlp_norm', 'post_attention_layernorm'],
      ];
  return names.map(([role, name]) => ({ role, name: `${name}.weight`, shape: [config.hiddenSize] }));
}

function attention(config: ModelConfig, traits: Traits): readonly LayerNeed[] {
  const { hiddenSize: hidden, headDim } = config;
  const q = config.heads * headDim;
  const kv = config.kvHeads * headDim;
  const needs: LayerNeed[] = [
    ...rowsOf(traits, 'self_attn', 'qkv_proj', hidden, [
      ['q_proj', q],
      ['k_proj', kv],
      ['v_proj', kv],
    ]),
    { role: 'o_proj', name: 'self_attn.o_proj.weight', shape: [hidden, q] },
  ];
  if (config.qkvBias)
    needs.push(
      { role: 'q_bias', name: 'self_attn.q_proj.bias', shape: [q] },
      { role: 'k_bias', name: 'self_attn.k_proj.bias', shape: [kv] },
      { role: 'v_bias', name: 'self_attn.v_proj.bias', shape: [kv] },
    );
  if (config.outputBias) needs.push({ role: 'o_bias', name: 'self_attn.o_proj.bias', shape: [hidden] });
  if (config.qkNorm)
    needs.push(
      { role: 'q_norm', name: 'self_attn.q_norm.weight', shape: [headDim] },
      { role: 'k_norm', name: 'self_attn.k_norm.weight', shape: [headDim] },
    );
  return needs;
}

function mlp(config: ModelConfig, traits: Traits): readonly LayerNeed[] {
  const { hiddenSize: hidden, intermediateSize: inner } = config;
  const needs: LayerNeed[] = [
    ...rowsOf(traits, 'mlp', 'gate_up_proj', hidden, [
      ['gate_proj', inner],
      ['up_proj', inner],
    ]),
    { role: 'down_proj', name: 'mlp.down_proj.weight', shape: [hidden, inner] },
  ];
  if (config.mlpBias)
    needs.push(
      { role: 'gate_bias', name: 'mlp.gate_proj.bias', shape: [inner] },
      { role: 'up_bias', name: 'mlp.up_proj.bias', shape: [inner] },
      { role: 'down_bias', name: 'mlp.down_proj.bias', shape: [hidden] },
    );
  return needs;
}

/** Projections of one input: each a tensor of its own, or all of them in one called `fused`. */
function rowsOf(
  traits: Traits,
  block: string,
  fused: string,
  columns: number,
  weights: readonly (readonly [TensorRole, number])[],
): readonly LayerNeed[] {
  const rows = weights.reduce((sum, [, count]) => sum + count, 0);
  let start = 0;
  return weights.map(([role, count]) => {
    const stored = { shape: [rows, columns], firstRow: start };
    start += count;
    return traits.projections === 'fused'
      ? { role, name: `${block}.${fused}.weight`, shape: [count, columns], stored }
      : { role, name: `${block}.${role}.weight`, shape: [count, columns] };
  });
}

function experts(
  { experts: mixture, hiddenSize: hidden }: ModelConfig,
  traits: Traits,
): readonly LayerNeed[] {
  if (mixture === undefined || traits.experts === undefined) return [];
  const { block, gate, up, down } = traits.experts;
  const inner = mixture.intermediateSize;
  const each = Array.from({ length: mixture.count }, (_, expert): readonly LayerNeed[] => {
    const name = (projection: string) => `${block}.experts.${expert}.${projection}.weight`;
    return [
      { role: 'gate_proj', expert, name: name(gate), shape: [inner, hidden] },
      { role: 'up_proj', expert, name: name(up), shape: [inner, hidden] },
      { role: 'down_proj', expert, name: name(down), shape: [hidden, inner] },
    ];
  });
  return [{ role: 'router', name: `${block}.gate.weight`, shape: [mixture.count, hidden] }, ...each.flat()];
}
