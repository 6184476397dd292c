import type { Architecture } from '../architectures.ts';
import { CheckpointError } from '../checkpoint-error.ts';
import { type ModelConfig, parseModelConfig } from '../config.ts';
import { JsonFields } from '../json-fields.ts';
import { GgufFields } from './gguf-fields.ts';
import type { GgufFile } from './gguf-file.ts';
import { readFloats } from './read-floats.ts';

/** `general.architecture`, as llama.cpp's converter writes it. Mistral and Mixtral are "llama" there. */
const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  llama: 'LlamaForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
  qwen3moe: 'Qwen3MoeForCausalLM',
  gemma2: 'Gemma2ForCausalLM',
  gemma3: 'Gemma3ForCausalLM',
  phi3: 'Phi3ForCausalLM',
};

/** Layers of the 27B models of Gemma 2 and 3, whose queries are scaled by hidden size / heads; no key says so. */
const GEMMA_27B_LAYERS: Readonly<Record<string, number>> = { gemma2: 46, gemma3: 62 };

/** `general.architecture`, if it is one that loads. Throws CheckpointError with the list otherwise. */
export function ggufArchitecture(gguf: GgufFile): string {
  const fields = new GgufFields(gguf);
  const name = fields.text('general.architecture');
  if (name === undefined) throw fields.missing('general.architecture');
  if (Object.hasOwn(ARCHITECTURES, name)) return name;
  throw new CheckpointError(
    `${gguf.file}: general.architecture is ${JSON.stringify(name)}; supported are ${Object.keys(ARCHITECTURES).join(', ')}`,
  );
}

/** The decoder that a GGUF file's metadata describes: its keys become the fields of a config.json. */
export function ggufConfig(gguf: GgufFile): ModelConfig {
  const name = ggufArchitecture(gguf);
  const fields = new GgufFields(gguf);
  const key = (suffix: string) => fields.number(`${name}.${suffix}`);
  const needed = (suffix: string) => {
    const value = key(suffix);
    if (value === undefined) throw fields.missing(`${name}.${suffix}`);
    return value;
  };
  const experts = key('expert_count');
  const architecture = name === 'llama' && experts !== undefined ? 'MixtralForCausalLM' : ARCHITECTURES[name];
  const heads = needed('attention.head_count');
  const headDim = key('attention.key_length') ?? needed('embedding_length') / heads;
  const isLarge = needed('block_count') === GEMMA_27B_LAYERS[name];
  const config = {
    architectures: [architecture],
    vocab_size: tableRows(gguf) ?? key('vocab_size') ?? fields.texts('tokenizer.ggml.tokens')?.length,
    hidden_size: needed('embedding_length'),
    intermediate_size:
      key('feed_forward_length') ?? key('expert_feed_forward_length') ?? needed('feed_forward_length'),
    num_hidden_layers: needed('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: key('attention.head_count_kv'),
    head_dim: headDim,
    max_position_embeddings: needed('context_length'),
    rms_norm_eps: needed('attention.layer_norm_rms_epsilon'),
    tie_word_embeddings: !gguf.tensors.has('output.weight'),
    sliding_window: slidingWindow(fields, name),
    ...ropeFields(gguf, fields, name, headDim),
    num_local_experts: experts,
    num_experts_per_tok: key('expert_used_count'),
    moe_intermediate_size: key('expert_feed_forward_length'),
    // llama.cpp renormalizes for these without asking.
    norm_topk_prob: true,
    query_pre_attn_scalar: isLarge ? needed('embedding_length') / heads : headDim,
    attn_logit_softcapping: key('attn_logit_softcapping'),
    final_logit_softcapping: key('final_logit_softcapping'),
    eos_token_id: fields.number('tokenizer.ggml.eos_token_id'),
    bos_token_id: fields.number('tokenizer.ggml.bos_token_id'),
  };
  const parsed = parseModelConfig(gguf.file, new JsonFields(gguf.file, config));
  // The converter has stored 1 + w.
  return { ...parsed, normOffset: 0 };
}

/** Rows of the embedding, which converters pad at times. */
function tableRows(gguf: GgufFile): number | undefined {
  return gguf.tensors.get('token_embd.weight')?.shape[0];
}

/** The converter writes the window of Qwen2 also where it is switched off, and Mistral's where it is none. */
function slidingWindow(fields: GgufFields, name: string): number | null {
  if (name.startsWith('qwen') || name === 'llama') return null;
  const window = fields.number(`${name}.attention.sliding_window`);
  return window === undefined || window === 0 ? null : window;
}

/** Llama 3.1 and Phi-3 keep what their frequencies are divided by in tensors. */
function ropeFields(gguf: GgufFile, fields: GgufFields, name: string, headDim: number) {
  const key = (suffix: string) => fields.number(`${name}.rope.${suffix}`);
  const context = key('scaling.original_context_length');
  const factors = (tensor: string) => (gguf.tensors.has(tensor) ? readFloats(gguf, tensor) : undefined);
  const short = factors('rope_freqs.weight') ?? factors('rope_factors_short.weight');
  const type = fields.text(`${name}.rope.scaling.type`);
  return {
    partial_rotary_factor: (key('dimension_count') ?? headDim) / headDim,
    rope_theta: key('freq_base'),
    rope_scaling:
      short === undefined
        ? {
            rope_type: type === undefined || type === 'none' || type === 'longrope' ? 'default' : type,
            factor: key('scaling.factor'),
            original_max_position_embeddings: context,
          }
        : {
            rope_type: 'longrope',
            attention_factor: key('scaling.attn_factor') ?? 1,
            original_max_position_embeddings: context,
            short_factor: short,
            long_factor: factors('rope_factors_long.weight') ?? short,
          },
    ...(name === 'gemma3' ? { rope_local_base_freq: key('freq_base_swa') ?? 10_000 } : {}),
  };
}
