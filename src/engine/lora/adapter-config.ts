import { join } from 'node:path';
import { JsonFields } from '../model/json-fields.ts';

/** What `adapter_config.json` says of a LoRA adapter. */
export interface AdapterConfig {
  /** The factor on B A of a module, which `path.of.module` names. */
  scaleOf(module: string, rank: number): number;
}

/** Variants of LoRA that need arithmetic of their own; each must be off. */
const UNSUPPORTED = {
  use_dora: 'DoRA scales each output by a norm over weights and adapter together, and is not computed here',
  fan_in_fan_out: 'transposed weights are not read',
  lora_bias: 'a bias beside B is not computed',
  use_qalora: 'QALoRA pools its inputs, which is not computed',
  use_bdlora: 'block-diagonal matrices are not computed',
} as const;
/** And these absent. */
const ABSENT = [
  'layer_replication',
  'alora_invocation_tokens',
  'target_parameters',
  'trainable_token_indices',
] as const;

/** Reads PEFT's description. Throws CheckpointError with the field when the adapter is of another kind. */
export function readAdapterConfig(folder: string): AdapterConfig {
  const config = JsonFields.read(join(folder, 'adapter_config.json'));
  const kind = config.text('peft_type') ?? 'LORA';
  if (kind !== 'LORA') throw config.refuse('peft_type', "'LORA'", kind);
  for (const [name, reason] of Object.entries(UNSUPPORTED))
    if (config.boolean(name, false)) throw config.refuse(name, `false (${reason})`, true);
  for (const name of ABSENT)
    if (config.has(name) && JSON.stringify(config.raw(name)) !== '[]')
      throw config.refuse(name, 'null', config.raw(name));
  const bias = config.text('bias') ?? 'none';
  if (bias !== 'none') throw config.refuse('bias', "'none'", bias);
  if ((config.list('modules_to_save') ?? []).length > 0)
    throw config.refuse('modules_to_save', 'empty', config.raw('modules_to_save'));
  config.count('r');
  const alpha = config.number('lora_alpha', 8);
  const alphas = config.object('alpha_pattern');
  const isRankStabilized = config.boolean('use_rslora', false);
  const keys = alphas?.keys() ?? [];
  for (const key of keys)
    if (!/^[\w.]+$/.test(key)) throw config.refuse('alpha_pattern', 'keyed by names of modules', key);
  return {
    scaleOf: (module, rank) => {
      const key = keys.find((each) => module === each || module.endsWith(`.${each}`));
      const own = key === undefined ? alpha : (alphas?.number(key) ?? alpha);
      return own / (isRankStabilized ? Math.sqrt(rank) : rank);
    },
  };
}
