/** What differs between architectures and is not written in config.json. */
export interface Traits {
  /** RMSNorm over each head of q and k before rotation. */
  readonly qkNorm: boolean;
  /** 'flag': as `attention_bias` says, on q, k, v and o. */
  readonly attentionBias: 'flag' | 'qkv' | 'none';
  readonly mlpBias: 'flag' | 'none';
  /** Which layers see only the latest tokens, when config.json has no `layer_types`. */
  readonly window: 'none' | 'all-layers' | 'upper-layers' | 'every-other' | 'five-of-six';
  /** `sliding_window` when config.json does not mention it; absent: none. */
  readonly defaultWindow?: number;
  /** Softcaps of attention scores and logits when config.json does not mention them; absent: none. */
  readonly softcaps?: readonly [attention: number, logits: number];
  /** Head size when config.json has none; absent: hidden size / heads. */
  readonly headDim?: number;
  /** 'fused': `qkv_proj` and `gate_up_proj` hold q, k, v and gate, up one after the other. */
  readonly projections: 'split' | 'fused';
  /** Names of the tensors of an expert layer; absent: no experts. */
  readonly experts?: ExpertNames;
  /**
   * Gemma: norms weigh by (1 + w) and also stand after attention and MLP, embeddings are scaled by
   * sqrt(hidden size), the gate is GELU, scores are scaled by `query_pre_attn_scalar`, embeddings are tied.
   */
  readonly gemma: boolean;
}

export interface ExpertNames {
  readonly block: string;
  readonly gate: string;
  readonly up: string;
  readonly down: string;
  /** Whether weights of the picked experts sum to 1; 'flag': as `norm_topk_prob` says. */
  readonly renormalizes: true | 'flag';
}

const LLAMA: Traits = {
  qkNorm: false,
  attentionBias: 'flag',
  mlpBias: 'flag',
  window: 'none',
  projections: 'split',
  gemma: false,
};
const PLAIN: Traits = { ...LLAMA, attentionBias: 'none', mlpBias: 'none' };
const QWEN3: Traits = {
  ...PLAIN,
  qkNorm: true,
  attentionBias: 'flag',
  window: 'upper-layers',
  defaultWindow: 4096,
};
const GEMMA: Traits = { ...PLAIN, attentionBias: 'flag', headDim: 256, defaultWindow: 4096, gemma: true };

/** The decoders that load, by the name in `architectures` of config.json. */
export const ARCHITECTURES = {
  LlamaForCausalLM: LLAMA,
  MistralForCausalLM: { ...PLAIN, window: 'all-layers', defaultWindow: 4096 },
  MixtralForCausalLM: {
    ...PLAIN,
    window: 'all-layers',
    experts: { block: 'block_sparse_moe', gate: 'w1', up: 'w3', down: 'w2', renormalizes: true },
  },
  Qwen2ForCausalLM: { ...PLAIN, attentionBias: 'qkv', window: 'upper-layers', defaultWindow: 4096 },
  Qwen3ForCausalLM: { ...QWEN3, headDim: 128 },
  Qwen3MoeForCausalLM: {
    ...QWEN3,
    experts: { block: 'mlp', gate: 'gate_proj', up: 'up_proj', down: 'down_proj', renormalizes: 'flag' },
  },
  Gemma2ForCausalLM: { ...GEMMA, window: 'every-other', softcaps: [50, 30] },
  Gemma3ForCausalLM: { ...GEMMA, qkNorm: true, window: 'five-of-six' },
  Phi3ForCausalLM: { ...PLAIN, window: 'all-layers', projections: 'fused' },
} as const satisfies Record<string, Traits>;

export type Architecture = keyof typeof ARCHITECTURES;
