import { join } from 'node:path';
import type { WeightDtype } from '../native/native.ts';
import { CheckpointError } from './checkpoint-error.ts';
import { JsonFields } from './json-fields.ts';
import { type RopeFrequencies, ropeFrequencies } from './rope.ts';

/** A decoder as its config.json describes it, in one vocabulary for all supported architectures. */
export interface ModelConfig {
  readonly architecture: Architecture;
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly intermediateSize: number;
  readonly vocabSize: number;
  readonly rmsNormEps: number;
  readonly maxPositionEmbeddings: number;
  readonly rope: RopeFrequencies;
  /** Per layer: latest tokens that a query sees, itself included; 0 = all. */
  readonly slidingWindows: readonly number[];
  readonly qkNorm: boolean;
  readonly qkvBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  readonly tieWordEmbeddings: boolean;
  /** The dtype the checkpoint says it is in, when it says so. */
  readonly dtype: WeightDtype | undefined;
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | undefined;
}

/** What differs between architectures and is not written in config.json. */
interface Traits {
  readonly qkNorm: boolean;
  /** 'flag': as `attention_bias` says, on q, k, v and o. */
  readonly attentionBias: 'flag' | 'qkv' | 'none';
  readonly mlpBias: 'flag' | 'none';
  readonly window: 'none' | 'all-layers' | 'upper-layers';
  /** Head size when config.json has none; otherwise hidden size / heads. */
  readonly headDim?: number;
}

const ARCHITECTURES = {
  LlamaForCausalLM: { qkNorm: false, attentionBias: 'flag', mlpBias: 'flag', window: 'none' },
  MistralForCausalLM: { qkNorm: false, attentionBias: 'none', mlpBias: 'none', window: 'all-layers' },
  Qwen2ForCausalLM: { qkNorm: false, attentionBias: 'qkv', mlpBias: 'none', window: 'upper-layers' },
  Qwen3ForCausalLM: {
    qkNorm: true,
    attentionBias: 'flag',
    mlpBias: 'none',
    window: 'upper-layers',
    headDim: 128,
  },
} as const satisfies Record<string, Traits>;

export type Architecture = keyof typeof ARCHITECTURES;

const DTYPES: Readonly<Record<string, WeightDtype>> = { float32: 'F32', bfloat16: 'BF16', float16: 'F16' };

/** Reads `config.json` of a model folder. Throws CheckpointError with the field when it cannot be served. */
export function readModelConfig(folder: string): ModelConfig {
  const file = join(folder, 'config.json');
  const config = JsonFields.read(file);
  const architecture = architectureOf(file, config);
  const traits: Traits = ARCHITECTURES[architecture];
  const activation = config.text('hidden_act') ?? 'silu';
  if (activation !== 'silu') throw config.refuse('hidden_act', "'silu'", activation);
  if (config.has('quantization_config')) {
    throw new CheckpointError(
      `${file}: quantization_config is set; quantized checkpoints are not supported, use F32, BF16 or F16 weights`,
    );
  }

  const hiddenSize = config.count('hidden_size');
  const heads = config.count('num_attention_heads');
  const kvHeads = config.count('num_key_value_heads', heads);
  const headDim = config.count('head_dim', traits.headDim ?? hiddenSize / heads);
  if (heads % kvHeads !== 0)
    throw config.refuse('num_key_value_heads', `a divisor of ${heads} heads`, kvHeads);
  if (headDim % 2 !== 0 || headDim > 512) throw config.refuse('head_dim', 'even and at most 512', headDim);
  const layers = config.count('num_hidden_layers');
  const maxPositionEmbeddings = config.count('max_position_embeddings', 2048);
  const attentionBias = config.boolean('attention_bias', false);
  return {
    architecture,
    hiddenSize,
    layers,
    heads,
    kvHeads,
    headDim,
    intermediateSize: config.count('intermediate_size'),
    vocabSize: config.count('vocab_size'),
    rmsNormEps: config.number('rms_norm_eps', 1e-6),
    maxPositionEmbeddings,
    rope: ropeFrequencies(config, { headDim, maxPositionEmbeddings }),
    slidingWindows: slidingWindows(config, traits, layers),
    qkNorm: traits.qkNorm,
    qkvBias: traits.attentionBias === 'qkv' || (traits.attentionBias === 'flag' && attentionBias),
    outputBias: traits.attentionBias === 'flag' && attentionBias,
    mlpBias: traits.mlpBias === 'flag' && config.boolean('mlp_bias', false),
    tieWordEmbeddings: config.boolean('tie_word_embeddings', false),
    dtype: DTYPES[config.text('dtype') ?? config.text('torch_dtype') ?? ''],
    eosTokenIds: tokenIds(config, 'eos_token_id'),
    bosTokenId: tokenIds(config, 'bos_token_id')[0],
  };
}

function architectureOf(file: string, config: JsonFields): Architecture {
  const names = config.list('architectures') ?? [];
  const known = names.find((name): name is Architecture => typeof name === 'string' && name in ARCHITECTURES);
  if (known !== undefined) return known;
  throw new CheckpointError(
    `${file}: architectures is ${JSON.stringify(names)}; supported are ${Object.keys(ARCHITECTURES).join(', ')}`,
  );
}

/**
 * Mistral: `sliding_window` on every layer (4096 when the field is absent, none when it is null).
 * Qwen: only with `use_sliding_window`, on the layers that `layer_types` names, or else from `max_window_layers`.
 */
function slidingWindows(config: JsonFields, traits: Traits, layers: number): readonly number[] {
  const window = config.mentions('sliding_window')
    ? config.has('sliding_window')
      ? config.count('sliding_window')
      : 0
    : 4096;
  const isSliding = slidingLayers(config, traits, layers);
  return Array.from({ length: layers }, (_, layer) => (isSliding(layer) ? window : 0));
}

function slidingLayers(config: JsonFields, traits: Traits, layers: number): (layer: number) => boolean {
  if (traits.window === 'none') return () => false;
  if (traits.window === 'all-layers') return () => true;
  if (!config.boolean('use_sliding_window', false)) return () => false;
  const types = config.list('layer_types');
  if (types === undefined) {
    const from = config.number('max_window_layers', 28);
    return (layer) => layer >= from;
  }
  if (types.length !== layers || types.some((t) => t !== 'sliding_attention' && t !== 'full_attention')) {
    throw config.refuse('layer_types', `${layers} times 'full_attention' or 'sliding_attention'`, types);
  }
  return (layer) => types[layer] === 'sliding_attention';
}

function tokenIds(config: JsonFields, name: string): readonly number[] {
  const value = config.raw(name) ?? [];
  const ids = Array.isArray(value) ? value : [value];
  if (ids.every((id): id is number => Number.isSafeInteger(id))) return ids;
  throw config.refuse(name, 'a token id or a list of them', value);
}
