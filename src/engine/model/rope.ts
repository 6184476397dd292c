import type { JsonFields } from './json-fields.ts';

/** What native code needs to rotate queries and keys. */
export interface RopeFrequencies {
  /** `[headDim / 2]` radians per position, scaling applied. */
  readonly inverseFrequencies: Float32Array;
  /** Factor on cos and sin; 1 except for yarn. */
  readonly attentionFactor: number;
}

export interface RopeShape {
  readonly headDim: number;
  readonly maxPositionEmbeddings: number;
}

/**
 * Rotary frequencies of a config.json. Transformers 5 writes `rope_parameters`, transformers 4 `rope_theta`
 * beside an optional `rope_scaling`; both may be in one file, and then the newer wins.
 */
export function ropeFrequencies(config: JsonFields, shape: RopeShape): RopeFrequencies {
  const parameters = config.object('rope_parameters') ?? config.object('rope_scaling');
  const theta = parameters?.has('rope_theta')
    ? parameters.number('rope_theta')
    : config.number('rope_theta', 10_000);
  if (!(theta > 0)) throw config.refuse('rope_theta', 'a positive number', theta);
  const plain = Float32Array.from(
    { length: shape.headDim / 2 },
    (_, i) => theta ** ((-2 * i) / shape.headDim),
  );
  if (parameters === undefined) return { inverseFrequencies: plain, attentionFactor: 1 };

  const partial = parameters.number('partial_rotary_factor', config.number('partial_rotary_factor', 1));
  if (partial !== 1) {
    throw parameters.refuse('partial_rotary_factor', '1 (partial rotation is not supported)', partial);
  }
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
    default:
      throw parameters.refuse('rope_type', "'default', 'linear', 'llama3' or 'yarn'", type);
  }
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
function yarn(plain: Float32Array, theta: number, parameters: JsonFields, shape: RopeShape): RopeFrequencies {
  const { headDim, maxPositionEmbeddings } = shape;
  const context = parameters.number('original_max_position_embeddings', maxPositionEmbeddings);
  const factor = parameters.number('factor', maxPositionEmbeddings / context);
  const betaFast = parameters.number('beta_fast', 32);
  const betaSlow = parameters.number('beta_slow', 1);
  /** The dimension whose wave turns `rotations` times within the original context. */
  const dimensionOf = (rotations: number) =>
    (headDim * Math.log(context / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const truncate = parameters.boolean('truncate', true);
  const first = Math.max(truncate ? Math.floor(dimensionOf(betaFast)) : dimensionOf(betaFast), 0);
  const bound = Math.min(truncate ? Math.ceil(dimensionOf(betaSlow)) : dimensionOf(betaSlow), headDim - 1);
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
