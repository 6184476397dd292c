import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CheckpointError } from '../model/checkpoint-error.ts';
import type { ModelConfig } from '../model/config.ts';
import { readHeader } from '../model/safetensors.ts';
import type { StoredTensor } from '../model/stored-tensor.ts';
import { listTensors, type TensorNeed } from '../model/tensor-names.ts';
import type { AdapterSource, LowRankSource, WeightDtype } from '../native/native.ts';
import { readAdapterConfig } from './adapter-config.ts';

const PREFIX = 'base_model.model.';
const A = '.lora_A.weight';
const B = '.lora_B.weight';
const ELEMENT_BYTES: Readonly<Record<string, number>> = { F32: 4, BF16: 2, F16: 2 };
const ROLES: ReadonlySet<string> = new Set<LowRankSource['role']>([
  'q_proj',
  'k_proj',
  'v_proj',
  'o_proj',
  'gate_proj',
  'up_proj',
  'down_proj',
]);

/**
 * A PEFT folder (`adapter_config.json`, `adapter_model.safetensors`) as pairs of matrices for projections of the
 * model. Throws CheckpointError with the tensor when it is not an adapter for this model, or beyond `maxRank`.
 */
export function readAdapter(folder: string, config: ModelConfig, maxRank: number): AdapterSource {
  const file = join(folder, 'adapter_model.safetensors');
  if (!existsSync(folder)) throw new CheckpointError(`the adapter folder ${folder} does not exist`);
  const { scaleOf } = readAdapterConfig(folder);
  const tensors = new Map(readHeader(file).map((tensor) => [tensor.name, tensor]));
  const modules = adaptableModules(config);
  const pairs: LowRankSource[] = [];
  for (const [name, a] of tensors) {
    if (name.endsWith(B) && tensors.has(`${name.slice(0, -B.length)}${A}`)) continue;
    const module =
      name.startsWith(PREFIX) && name.endsWith(A) ? name.slice(PREFIX.length, -A.length) : undefined;
    const needs = module === undefined ? undefined : modules.get(module);
    if (module === undefined || needs === undefined) throw notAdaptable(file, name, config);
    const b = tensors.get(`${PREFIX}${module}${B}`);
    if (b === undefined)
      throw new CheckpointError(`${file}: ${name} has no ${PREFIX}${module}${B} beside it`);
    const rank = checkPair(file, { a, b, needs, maxRank });
    const scale = scaleOf(module, rank);
    for (const need of needs) pairs.push(pairOf(need, { a, b, rank, scale }));
  }
  if (pairs.length === 0) throw new CheckpointError(`${file} has no tensors`);
  return { files: [file], pairs };
}

function notAdaptable(file: string, name: string, { architecture, experts }: ModelConfig): CheckpointError {
  const isOfExperts = experts !== undefined && /\.(experts|mlp\.gate|block_sparse_moe)\./.test(name);
  const reason = isOfExperts
    ? 'adapts experts or their router, which cannot be adapted here: train one with attention projections as its target_modules'
    : `adapts nothing that can be adapted here: attention and plain MLP projections of ${architecture}`;
  return new CheckpointError(`${file}: ${name} ${reason}`);
}

/** Projections by the module that holds them; a fused one holds several. */
function adaptableModules(config: ModelConfig): ReadonlyMap<string, readonly TensorNeed[]> {
  const modules = new Map<string, TensorNeed[]>();
  for (const need of listTensors(config, 'model.')) {
    if (!ROLES.has(need.role) || need.expert !== undefined) continue;
    const module = need.name.slice(0, -'.weight'.length);
    modules.set(module, [...(modules.get(module) ?? []), need]);
  }
  return modules;
}

interface Pair {
  readonly a: StoredTensor;
  readonly b: StoredTensor;
}

function checkPair(
  file: string,
  { a, b, needs, maxRank }: Pair & { readonly needs: readonly TensorNeed[]; readonly maxRank: number },
): number {
  const rank = a.shape[0] ?? 0;
  const columns = needs[0]?.shape[1] ?? 0;
  const rows = needs.reduce((sum, need) => sum + (need.shape[0] ?? 0), 0);
  const check = (tensor: StoredTensor, expected: readonly number[]) => {
    if (tensor.shape.length !== 2 || tensor.shape.some((size, i) => size !== expected[i]))
      throw new CheckpointError(
        `${file}: ${tensor.name} is [${tensor.shape.join(', ')}], the model implies [${expected.join(', ')}]`,
      );
    if (ELEMENT_BYTES[tensor.dtype] === undefined || tensor.dtype !== a.dtype)
      throw new CheckpointError(
        `${file}: ${tensor.name} is ${tensor.dtype}; A and B must both be F32, BF16 or F16`,
      );
  };
  if (rank < 1 || rank > maxRank)
    throw new CheckpointError(`${file}: ${a.name} has rank ${rank}; --max-lora-rank allows ${maxRank}`);
  check(a, [rank, columns]);
  check(b, [rows, rank]);
  return rank;
}

function pairOf(
  { role, layer, stored }: TensorNeed,
  { a, b, rank, scale }: Pair & { readonly rank: number; readonly scale: number },
): LowRankSource {
  const dtype = a.dtype as WeightDtype;
  const skipped = (stored?.firstRow ?? 0) * rank * (ELEMENT_BYTES[dtype] ?? 0);
  return {
    role: role as LowRankSource['role'],
    layer,
    rank,
    file: a.file,
    aOffset: a.offset,
    bOffset: b.offset + skipped,
    dtype,
    scale,
  };
}
