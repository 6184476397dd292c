import type { ModelPlan, WeightDtype } from '../native/native.ts';
import { ARCHITECTURES, type Architecture, type Traits } from './architectures.ts';
import { CheckpointError } from './checkpoint-error.ts';
import { type Experts, readExperts } from './experts.ts';
import type { JsonFields } from './json-fields.ts';
import { type RopeFrequencies, readRopes } from './rope.ts';
import { slidingLayers } from './sliding-windows.ts';

/** A decoder as its config.json describes it, in one vocabulary for all supported architectures. */
export interface ModelConfig {
  readonly architecture: Architecture;
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Of the plain MLP. */
  readonly intermediateSize: number;
  readonly experts: Experts | undefined;
  readonly vocabSize: number;
  readonly rmsNormEps: number;
  readonly maxPositionEmbeddings: number;
  /** Leading channels of a head that are rotated. */
  readonly rotaryDim: number;
  /** By how much; layers name one of these. */
  readonly ropes: readonly RopeFrequencies[];
  /** Per layer: index into `ropes`. */
  readonly ropeOfLayer: readonly number[];
  /** Per layer: latest tokens that a query sees, itself included; 0 = all. */
  readonly slidingWindows: readonly number[];
  readonly qkNorm: boolean;
  readonly qkvBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  readonly tieWordEmbeddings: boolean;
  /** Whether attention and MLP are normalized also on their way out (Gemma). */
  readonly hasOutputNorms: boolean;
  /** 1 where checkpoints store w of (1 + w). */
  readonly normOffset: number;
  readonly embeddingScale: number;
  /** Factor on q . k. */
  readonly attentionScale: number;
  /** 0 = none. */
  readonly attentionSoftcap: number;
  /** 0 = none. */
  readonly logitSoftcap: number;
  readonly activation: ModelPlan['activation'];
  /** The dtype the checkpoint says it is in, when it says so. */
  readonly dtype: WeightDtype | undefined;
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | undefined;
}

/** Far beyond any model: lists per layer are made before a tensor is looked for. */
const MAX_LAYERS = 1000;

const DTYPES: Readonly<Record<string, WeightDtype>> = { float32: 'F32', bfloat16: 'BF16', float16: 'F16' };

/** A decoder from the fields of a config.json. Throws CheckpointError with `file` and the field. */
export function parseModelConfig(file: string, config: JsonFields): ModelConfig {
  const architecture = architectureOf(file, config);
  const traits: Traits = ARCHITECTURES[architecture];
  if (config.has('quantization_config')) {
    throw new CheckpointError(
      `${file}: quantization_config is set; quantized checkpoints are not supported, use F32, BF16 or F16 weights`,
    );
  }
  if (config.boolean('use_bidirectional_attention', false)) {
    throw config.refuse('use_bidirectional_attention', 'false (a decoder looks back only)', true);
  }
  const hiddenSize = config.count('hidden_size');
  const heads = config.count('num_attention_heads');
  const kvHeads = config.count('num_key_value_heads', heads);
  const headDim = config.count('head_dim', traits.headDim ?? hiddenSize / heads);
  if (heads % kvHeads !== 0)
    throw config.refuse('num_key_value_heads', `a divisor of ${heads} heads`, kvHeads);
  if (headDim % 2 !== 0 || headDim > 512) throw config.refuse('head_dim', 'even and at most 512', headDim);
  const rmsNormEps = config.number('rms_norm_eps', 1e-6);
  if (rmsNormEps < 0) throw config.refuse('rms_norm_eps', 'a number from 0', rmsNormEps);
  const layers = config.count('num_hidden_layers', undefined, MAX_LAYERS);
  const maxPositionEmbeddings = config.count('max_position_embeddings', 2048);
  const attentionBias = config.boolean('attention_bias', false);
  const sliding = slidingLayers(config, traits, layers);
  return {
    architecture,
    hiddenSize,
    layers,
    heads,
    kvHeads,
    headDim,
    intermediateSize: config.count('intermediate_size'),
    experts: readExperts(config, traits, layers),
    vocabSize: config.count('vocab_size'),
    rmsNormEps,
    maxPositionEmbeddings,
    ...readRopes(config, { headDim, maxPositionEmbeddings }, sliding.isSliding),
    slidingWindows: sliding.windows,
    qkNorm: traits.qkNorm,
    qkvBias: traits.attentionBias === 'qkv' || (traits.attentionBias === 'flag' && attentionBias),
    outputBias: traits.attentionBias === 'flag' && attentionBias,
    mlpBias: traits.mlpBias === 'flag' && config.boolean('mlp_bias', false),
    tieWordEmbeddings: config.boolean('tie_word_embeddings', traits.gemma),
    ...scales(config, traits, { hiddenSize, headDim }),
    dtype: DTYPES[config.text('dtype') ?? config.text('torch_dtype') ?? ''],
    eosTokenIds: tokenIds(config, 'eos_token_id'),
    bosTokenId: tokenIds(config, 'bos_token_id')[0],
  };
}

/** Factors, caps and the activation: 1, none and SiLU except for Gemma. */
function scales(
  config: JsonFields,
  { gemma, softcaps: [attentionCap, logitCap] = [0, 0] }: Traits,
  { hiddenSize, headDim }: { readonly hiddenSize: number; readonly headDim: number },
) {
  const expected = gemma ? 'gelu_pytorch_tanh' : 'silu';
  const field = gemma && config.has('hidden_activation') ? 'hidden_activation' : 'hidden_act';
  const activation = config.text(field) ?? expected;
  // Gemma's first checkpoints say "gelu" and mean its tanh form.
  if (activation !== expected && !(gemma && field === 'hidden_act' && activation === 'gelu'))
    throw config.refuse(field, `'${expected}'`, activation);
  const softcap = (name: string, otherwise: number) => {
    const value = config.mentions(name) ? config.number(name, 0) : otherwise;
    if (value < 0) throw config.refuse(name, 'a number from 0', value);
    return value;
  };
  return {
    hasOutputNorms: gemma,
    normOffset: gemma ? 1 : 0,
    embeddingScale: gemma ? Math.sqrt(hiddenSize) : 1,
    attentionScale: 1 / Math.sqrt(gemma ? config.count('query_pre_attn_scalar', 256) : headDim),
    attentionSoftcap: gemma ? softcap('attn_logit_softcapping', attentionCap) : 0,
    logitSoftcap: gemma ? softcap('final_logit_softcapping', logitCap) : 0,
    activation: gemma ? 'gelu_tanh' : 'silu',
  } as const;
}

function architectureOf(file: string, config: JsonFields): Architecture {
  const names = config.list('architectures') ?? [];
  const known = names.find(
    (name): name is Architecture => typeof name === 'string' && Object.hasOwn(ARCHITECTURES, name),
  );
  if (known !== undefined) return known;
  throw new CheckpointError(
    `${file}: architectures is ${JSON.stringify(names)}; supported are ${Object.keys(ARCHITECTURES).join(', ')}`,
  );
}

function tokenIds(config: JsonFields, name: string): readonly number[] {
  const value = config.raw(name) ?? [];
  const ids = Array.isArray(value) ? value : [value];
  if (ids.every((id): id is number => Number.isSafeInteger(id))) return ids;
  throw config.refuse(name, 'a token id or a list of them', value);
}
