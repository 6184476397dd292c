import type { JsonFields } from './json-fields.ts';

/** How one kind of layer rotates queries and keys. */
export interface RopeFrequencies {
  /** `[rotaryDim / 2]` radians per position, scaling applied. */
  readonly inverseFrequencies: Float32Array;
  /** Factor on cos and sin; 1 except for yarn and longrope. */
  readonly attentionFactor: number;
  /** longrope: other frequencies for a model that is opened for more than `positions` tokens. */
  readonly beyond?: { readonly positions: number; readonly inverseFrequencies: Float32Array };
}

export interface RopeShape {
  readonly headDim: number;
  readonly maxPositionEmbeddings: number;
}

export interface Ropes {
  /** Leading channels of a head that are rotated. */
  readonly rotaryDim: number;
  readonly ropes: readonly RopeFrequencies[];
  /** Per layer: index into `ropes`. */
  readonly ropeOfLayer: readonly number[];
}

/**
 * Rotary frequencies of a config.json. Transformers 5 writes `rope_parameters`, transformers 4 `rope_theta`
 * beside an optional `rope_scaling`; both may be in one file, and then the newer wins. Where sliding layers
 * rotate differently (Gemma 3), the former has one object per kind of layer, the latter `rope_local_base_freq`.
 */
export function readRopes(config: JsonFields, shape: RopeShape, isSliding: readonly boolean[]): Ropes {
  const parameters = config.object('rope_parameters') ?? config.object('rope_scaling');
  const full = parameters?.object('full_attention') ?? parameters;
  const partial = (full?.has('partial_rotary_factor') ? full : config).number('partial_rotary_factor', 1);
  const rotaryDim = Math.trunc(shape.headDim * partial);
  if (!(rotaryDim > 0 && rotaryDim <= shape.headDim && rotaryDim % 2 === 0)) {
    throw config.refuse('partial_rotary_factor', `a part of head_dim ${shape.headDim} that is even`, partial);
  }
  const theta = (from: JsonFields | undefined) => {
    const value = from?.has('rope_theta') ? from.number('rope_theta') : config.number('rope_theta', 10_000);
    if (!(value > 0)) throw config.refuse('rope_theta', 'a positive number', value);
    return value;
  };
  const rotary = { ...shape, rotaryDim };
  const ropes = [ropeFrequencies(config, full, theta(full), rotary)];
  const local = parameters?.object('sliding_attention');
  if (local !== undefined) ropes.push(ropeFrequencies(config, local, theta(local), rotary));
  else if (config.has('rope_local_base_freq'))
    ropes.push(ropeFrequencies(config, undefined, config.number('rope_local_base_freq'), rotary));
  const last = ropes.length - 1;
  return { rotaryDim, ropes, ropeOfLayer: isSliding.map((sliding) => (sliding ? last : 0)) };
}

interface RotaryShape extends RopeShape {
  readonly rotaryDim: number;
}

function ropeFrequencies(
  config: JsonFields,
  parameters: JsonFields | undefined,
  theta: number,
  shape: RotaryShape,
): RopeFrequencies {
  const plain = Float32Array.from(
    { length: shape.rotaryDim / 2 },
    (_, i) => theta ** ((-2 * i) / shape.rotaryDim),
  );
  if (parameters === undefined) return { inverseFrequencies: plain, attentionFactor: 1 };
  const type = parameters.text('rope_type') ?? parameters.text('type') ?? 'default';
  switch (type) {
    case 'default':
      return { inverseFrequencies: plain, attentionFactor: 1 };
    case 'linear':
      return { inverseFrequencies: plain.map((f) => f / parameters.number('factor')), attentionFactor: 1 };
    case 'llama3':
      return { inverseFrequencies: llama3(plain, parameters), attentionFactor: 1 };
    case 'yarn':
      return yarn(plain, theta, parameters, shape);
    case 'longrope':
    case 'su': // what Phi-3 called it at first
      return longrope(plain, config, parameters, shape);
    default:
      throw parameters.refuse('rope_type', "'default', 'linear', 'llama3', 'yarn' or 'longrope'", type);
  }
}

/**
 * LongRoPE (Ding et al. 2024): each frequency is divided by a factor of its own, from one list up to the
 * original context and from another beyond. One engine uses one list, because cached keys must stay valid as
 * a sequence grows; vLLM decides the same way, by the longest sequence that it is opened for.
 */
function longrope(
  plain: Float32Array,
  config: JsonFields,
  parameters: JsonFields,
  shape: RotaryShape,
): RopeFrequencies {
  const context = config.number(
    'original_max_position_embeddings',
    parameters.number('original_max_position_embeddings', shape.maxPositionEmbeddings),
  );
  const scale = config.has('original_max_position_embeddings')
    ? shape.maxPositionEmbeddings / context
    : parameters.number('factor', shape.maxPositionEmbeddings / context);
  const divided = (name: string) => {
    const factors = parameters.list(name) ?? [];
    if (factors.length !== plain.length || !factors.every((f): f is number => typeof f === 'number' && f > 0))
      throw parameters.refuse(name, `${plain.length} positive numbers`, parameters.raw(name));
    return plain.map((frequency, i) => frequency / factors[i]!);
  };
  const attentionFactor = parameters.has('attention_factor')
    ? parameters.number('attention_factor')
    : scale <= 1
      ? 1
      : Math.sqrt(1 + Math.log(scale) / Math.log(context));
  return {
    inverseFrequencies: divided('short_factor'),
    attentionFactor,
    beyond: { positions: context, inverseFrequencies: divided('long_factor') },
  };
}

/** Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, a linear blend in between. */
function llama3(plain: Float32Array, parameters: JsonFields): Float32Array {
  const factor = parameters.number('factor');
  const low = parameters.number('low_freq_factor');
  const high = parameters.number('high_freq_factor');
  const context = parameters.number('original_max_position_embeddings');
  return plain.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength > context / low) return frequency / factor;
    if (wavelength < context / high) return frequency;
    const blend = (context / wavelength - low) / (high - low);
    return ((1 - blend) * frequency) / factor + blend * frequency;
  });
}

/** YaRN (Peng et al. 2023, section 3): "NTK-by-parts" frequencies and a temperature on cos and sin. */
function yarn(
  plain: Float32Array,
  theta: number,
  parameters: JsonFields,
  shape: RotaryShape,
): RopeFrequencies {
  const { rotaryDim, maxPositionEmbeddings } = shape;
  const context = parameters.number('original_max_position_embeddings', maxPositionEmbeddings);
  const factor = parameters.number('factor', maxPositionEmbeddings / context);
  const betaFast = parameters.number('beta_fast', 32);
  const betaSlow = parameters.number('beta_slow', 1);
  /** The dimension whose wave turns `rotations` times within the original context. */
  const dimensionOf = (rotations: number) =>
    (rotaryDim * Math.log(context / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const truncate = parameters.boolean('truncate', true);
  const first = Math.max(truncate ? Math.floor(dimensionOf(betaFast)) : dimensionOf(betaFast), 0);
  const bound = Math.min(truncate ? Math.ceil(dimensionOf(betaSlow)) : dimensionOf(betaSlow), rotaryDim - 1);
  const last = bound === first ? first + 0.001 : bound;
  const inverseFrequencies = plain.map((frequency, i) => {
    const interpolated = Math.min(Math.max((i - first) / (last - first), 0), 1);
    return (frequency / factor) * interpolated + frequency * (1 - interpolated);
  });
  return { inverseFrequencies, attentionFactor: yarnAttentionFactor(parameters, factor) };
}

function yarnAttentionFactor(parameters: JsonFields, factor: number): number {
  if (parameters.has('attention_factor')) return parameters.number('attention_factor');
  const temperature = (scale: number, weight: number) =>
    scale <= 1 ? 1 : 0.1 * weight * Math.log(scale) + 1;
  const mscale = parameters.number('mscale', 0);
  const mscaleAllDim = parameters.number('mscale_all_dim', 0);
  return mscale !== 0 && mscaleAllDim !== 0
    ? temperature(factor, mscale) / temperature(factor, mscaleAllDim)
    : temperature(factor, 1);
}
