import type { Traits } from './architectures.ts';
import type { JsonFields } from './json-fields.ts';

/** The mixture of experts of a decoder. */
export interface Experts {
  readonly count: number;
  readonly perToken: number;
  /** Inner size of one expert. */
  readonly intermediateSize: number;
  readonly renormalizes: boolean;
  /** Per layer: whether it has experts, or a plain MLP. */
  readonly layers: readonly boolean[];
}

/** Over all layers: far beyond any model, and still a list that fits in memory. */
const MAX_EXPERTS_IN_ALL = 100_000;

/** Reads the experts of architectures that have them. Throws CheckpointError with the field. */
export function readExperts(config: JsonFields, traits: Traits, layers: number): Experts | undefined {
  if (traits.experts === undefined) return undefined;
  const named = config.has('num_experts') && !config.has('num_local_experts');
  const most = Math.floor(MAX_EXPERTS_IN_ALL / layers);
  const count = config.count(named ? 'num_experts' : 'num_local_experts', 8, most);
  const perToken = config.count('num_experts_per_tok', 2);
  if (perToken > count) throw config.refuse('num_experts_per_tok', `at most ${count} experts`, perToken);
  const step = config.count('decoder_sparse_step', 1);
  const plain = config.list('mlp_only_layers') ?? [];
  return {
    count,
    perToken,
    intermediateSize: config.has('moe_intermediate_size')
      ? config.count('moe_intermediate_size')
      : config.count('intermediate_size'),
    renormalizes: traits.experts.renormalizes === true || config.boolean('norm_topk_prob', false),
    layers: Array.from({ length: layers }, (_, layer) => (layer + 1) % step === 0 && !plain.includes(layer)),
  };
}
