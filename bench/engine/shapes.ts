/** Shapes of models that are timed, with random weights: speed does not depend on what they say. */
export interface Shape {
  readonly name: string;
  readonly architecture: 'LlamaForCausalLM' | 'Qwen3ForCausalLM';
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly intermediateSize: number;
  /** Embeddings are tied in both shapes. */
  readonly vocabSize: number;
}

export const shapes: readonly Shape[] = [
  {
    name: '100m',
    architecture: 'LlamaForCausalLM',
    hiddenSize: 768,
    layers: 12,
    heads: 12,
    kvHeads: 4,
    headDim: 64,
    intermediateSize: 2048,
    vocabSize: 32_000,
  },
  {
    name: 'qwen3-0.6b',
    architecture: 'Qwen3ForCausalLM',
    hiddenSize: 1024,
    layers: 28,
    heads: 16,
    kvHeads: 8,
    headDim: 128,
    intermediateSize: 3072,
    vocabSize: 151_936,
  },
];

export interface ShapeTensor {
  /** As in a Hugging Face checkpoint. */
  readonly name: string;
  /** `[rows, columns]`, or `[n]` for norms. */
  readonly shape: readonly number[];
}

/** All tensors of the shape, in the order of the file. */
export function tensorsOf(shape: Shape): readonly ShapeTensor[] {
  const { hiddenSize: hidden, intermediateSize: inner, headDim } = shape;
  const q = shape.heads * headDim;
  const kv = shape.kvHeads * headDim;
  const hasHeadNorms = shape.architecture === 'Qwen3ForCausalLM';
  const layer = (i: number): readonly ShapeTensor[] => {
    const named = (name: string, ...size: number[]) => ({
      name: `model.layers.${i}.${name}.weight`,
      shape: size,
    });
    return [
      named('input_layernorm', hidden),
      named('post_attention_layernorm', hidden),
      named('self_attn.q_proj', q, hidden),
      named('self_attn.k_proj', kv, hidden),
      named('self_attn.v_proj', kv, hidden),
      named('self_attn.o_proj', hidden, q),
      named('mlp.gate_proj', inner, hidden),
      named('mlp.up_proj', inner, hidden),
      named('mlp.down_proj', hidden, inner),
      ...(hasHeadNorms ? [named('self_attn.q_norm', headDim), named('self_attn.k_norm', headDim)] : []),
    ];
  };
  return [
    { name: 'model.embed_tokens.weight', shape: [shape.vocabSize, hidden] },
    { name: 'model.norm.weight', shape: [hidden] },
    ...Array.from({ length: shape.layers }, (_, i) => layer(i)).flat(),
  ];
}

export function elements({ shape }: ShapeTensor): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** config.json of the shape. */
export function configOf(shape: Shape): object {
  return {
    architectures: [shape.architecture],
    model_type: shape.architecture === 'Qwen3ForCausalLM' ? 'qwen3' : 'llama',
    dtype: 'bfloat16',
    hidden_size: shape.hiddenSize,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    head_dim: shape.headDim,
    intermediate_size: shape.intermediateSize,
    vocab_size: shape.vocabSize,
    hidden_act: 'silu',
    rms_norm_eps: 1e-6,
    rope_theta: 1_000_000,
    max_position_embeddings: 4096,
    tie_word_embeddings: true,
    bos_token_id: 1,
    eos_token_id: 2,
  };
}
