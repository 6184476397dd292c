import type { Traits } from './architectures.ts';
import type { JsonFields } from './json-fields.ts';

/** What config.json says of the layers that see only the latest tokens. */
export interface SlidingLayers {
  /** Per layer: latest tokens that a query sees, itself included; 0 = all. */
  readonly windows: readonly number[];
  /** Per layer: whether it is one of the sliding kind, which may rotate differently. */
  readonly isSliding: readonly boolean[];
}

/**
 * The window is `sliding_window`; the architecture's default when the field is absent, none when it is null.
 * `layer_types` names the layers that have one where it is given; otherwise the architecture knows: all of them,
 * those from `max_window_layers` (Qwen, only with `use_sliding_window`), the even ones (Gemma 2) or all but
 * every sixth (Gemma 3, `sliding_window_pattern`).
 */
export function slidingLayers(config: JsonFields, traits: Traits, layers: number): SlidingLayers {
  const window = config.mentions('sliding_window')
    ? config.has('sliding_window')
      ? config.count('sliding_window')
      : 0
    : (traits.defaultWindow ?? 0);
  const slides = layerRule(config, traits, layers);
  const isSliding = Array.from({ length: layers }, (_, layer) => slides(layer));
  return { windows: isSliding.map((sliding) => (sliding ? window : 0)), isSliding };
}

function layerRule(config: JsonFields, traits: Traits, layers: number): (layer: number) => boolean {
  if (traits.window === 'none') return () => false;
  if (traits.window === 'all-layers') return () => true;
  if (traits.window === 'upper-layers' && !config.boolean('use_sliding_window', false)) return () => false;
  const types = config.list('layer_types');
  if (types !== undefined) {
    if (types.length !== layers || types.some((t) => t !== 'sliding_attention' && t !== 'full_attention')) {
      throw config.refuse('layer_types', `${layers} times 'full_attention' or 'sliding_attention'`, types);
    }
    return (layer) => types[layer] === 'sliding_attention';
  }
  if (traits.window === 'every-other') return (layer) => layer % 2 === 0;
  if (traits.window === 'five-of-six') {
    const pattern = config.count('sliding_window_pattern', config.count('_sliding_window_pattern', 6));
    return (layer) => (layer + 1) % pattern !== 0;
  }
  const from = config.number('max_window_layers', 28);
  return (layer) => layer >= from;
}
