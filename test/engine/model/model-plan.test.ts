import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { CheckpointError } from '../../../src/engine/model/checkpoint-error.ts';
import { readModelConfig } from '../../../src/engine/model/model-files.ts';
import { createModelPlan, kvBlockBytes } from '../../../src/engine/model/model-plan.ts';

const PARITY = fileURLToPath(new URL('../../fixtures/parity/', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'pointsman-config-'));
afterAll(() => rmSync(scratch, { recursive: true }));
const OPTIONS = { blocks: 8, threads: 1, maxTokens: 16, maxSamples: 4 };
let folders = 0;

/** A copy of a fixture with some fields of config.json changed; undefined removes a field. */
function changed(fixture: string, changes: Readonly<Record<string, unknown>>): string {
  const folder = join(scratch, `${fixture}-${folders++}`);
  cpSync(join(PARITY, fixture), folder, { recursive: true });
  const file = join(folder, 'config.json');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...changes }));
  return folder;
}

const plan = (fixture: string, changes: Readonly<Record<string, unknown>> = {}) =>
  createModelPlan(changed(fixture, changes), OPTIONS);

describe('a checkpoint folder becomes a plan', () => {
  it('with every tensor of the architecture', () => {
    const roles = (fixture: string) => new Set(plan(fixture).tensors.map(({ role }) => role));
    expect(roles('llama')).not.toContain('q_bias');
    expect(roles('llama-biases')).toContain('o_bias');
    expect(roles('llama-biases')).toContain('down_bias');
    expect(roles('qwen2')).toContain('k_bias');
    expect(roles('qwen2')).not.toContain('o_bias');
    expect(roles('qwen2')).not.toContain('lm_head');
    expect(roles('qwen3')).toContain('q_norm');
    expect(roles('qwen3')).toContain('lm_head');
  });

  it('with sliding windows where the architecture has them', () => {
    expect([...plan('mistral-window').slidingWindows]).toEqual([24, 24]);
    expect([...plan('mistral-window', { sliding_window: null }).slidingWindows]).toEqual([0, 0]);
    expect([...plan('mistral-window', { sliding_window: undefined }).slidingWindows]).toEqual([4096, 4096]);
    expect([...plan('qwen2-window').slidingWindows]).toEqual([0, 20, 20]);
    expect([...plan('qwen2-window', { layer_types: undefined }).slidingWindows]).toEqual([0, 20, 20]);
    expect([...plan('qwen2-window', { use_sliding_window: false }).slidingWindows]).toEqual([0, 0, 0]);
    expect([...plan('llama', { sliding_window: 8 }).slidingWindows]).toEqual([0, 0]);
  });

  it('with the same rotation in both spellings of transformers', () => {
    const rope = { rope_type: 'yarn', rope_theta: 10000, factor: 4, original_max_position_embeddings: 128 };
    const { rope_type, rope_theta, ...rest } = rope;
    const newer = plan('qwen3-yarn', { rope_parameters: rope });
    const older = plan('qwen3-yarn', {
      rope_parameters: undefined,
      rope_theta,
      rope_scaling: { type: rope_type, ...rest },
    });
    expect(older.ropeInverseFrequencies).toEqual(newer.ropeInverseFrequencies);
    expect(newer.ropeAttentionFactors[0]).toBeCloseTo(0.1 * Math.log(4) + 1, 6);
    expect(older.ropeAttentionFactors).toEqual(newer.ropeAttentionFactors);
  });

  it('with the rows of fused projections apart', () => {
    const { tensors } = plan('phi3');
    const first = (role: string) => tensors.find((tensor) => tensor.role === role && tensor.layer === 1)!;
    const columnBytes = 64 * 2;
    expect(first('k_proj').shape).toEqual([32, 64]);
    expect(first('k_proj').offset - first('q_proj').offset).toBe(64 * columnBytes);
    expect(first('v_proj').offset - first('q_proj').offset).toBe(96 * columnBytes);
    expect(first('up_proj').offset - first('gate_proj').offset).toBe(96 * columnBytes);
  });

  it('with experts in the layers that have them', () => {
    const layersOf = (fixture: string, changes = {}) => [...plan(fixture, changes).experts!.layers];
    expect(layersOf('qwen3-moe')).toEqual([0, 1]);
    expect(layersOf('qwen3-moe-v4')).toEqual([0, 1]);
    expect(layersOf('mixtral')).toEqual([1, 1]);
    expect(plan('mixtral').experts).toMatchObject({ count: 4, perToken: 2, intermediateSize: 96 });
    expect(plan('qwen3-moe').experts).toMatchObject({ count: 8, intermediateSize: 24, renormalizes: true });
    expect(plan('qwen3-moe-v4').experts).toMatchObject({ renormalizes: false });
    const down = plan('mixtral').tensors.filter(({ role, layer }) => role === 'down_proj' && layer === 0);
    expect(down.map(({ expert }) => expert)).toEqual([0, 1, 2, 3]);
  });

  it('with two rotations where sliding layers have their own, in both spellings', () => {
    const newer = plan('gemma3');
    expect([...newer.ropeOfLayer]).toEqual([1, 1, 0]);
    expect([...newer.slidingWindows]).toEqual([20, 20, 0]);
    expect(newer.ropeInverseFrequencies).toHaveLength(2 * 16);
    expect(plan('gemma3-v4').ropeInverseFrequencies).toEqual(newer.ropeInverseFrequencies);
    expect([...plan('gemma3-v4').slidingWindows]).toEqual([20, 20, 0]);
    expect([...plan('gemma2-defaults', { layer_types: undefined }).slidingWindows]).toEqual([4096, 0]);
  });

  it('with softcaps where Gemma 2 has them, unless config.json says none', () => {
    expect(plan('gemma2')).toMatchObject({ attentionSoftcap: 6, logitSoftcap: 3, normOffset: 1 });
    const unset = { attn_logit_softcapping: undefined, final_logit_softcapping: null };
    expect(plan('gemma2', unset)).toMatchObject({ attentionSoftcap: 50, logitSoftcap: 0 });
    expect(plan('gemma3')).toMatchObject({ attentionSoftcap: 0, logitSoftcap: 0, hasOutputNorms: true });
  });

  it('with the long factors of longrope only when it is opened for more than the original context', () => {
    const folder = changed('phi3-short', {});
    const open = (maxModelLen: number) => createModelPlan(folder, { ...OPTIONS, maxModelLen });
    expect(open(256).ropeInverseFrequencies[5]! / open(257).ropeInverseFrequencies[5]!).toBeCloseTo(3, 5);
    expect(open(256).ropeAttentionFactors[0]).toBeCloseTo(Math.sqrt(1 + Math.log(2) / Math.log(256)), 6);
    expect(open(256).rotaryDim).toBe(12);
  });

  it('of random weights from config.json alone', () => {
    const folder = changed('llama', { dtype: 'bfloat16' });
    rmSync(join(folder, 'model.safetensors'));
    const dummy = createModelPlan(folder, { ...OPTIONS, loadFormat: 'dummy', dummySeed: 7 });
    expect(dummy).toMatchObject({ files: [], tensors: [], dummySeed: 7, weightDtype: 'BF16' });
    expect(() => createModelPlan(folder, OPTIONS)).toThrow(/neither model\.safetensors/);
  });

  it('and tells how many bytes a KV block takes', () => {
    expect(kvBlockBytes(readModelConfig(join(PARITY, 'llama')), 'BF16')).toBe(2 * 2 * 16 * 32 * 2);
    expect(kvBlockBytes(readModelConfig(join(PARITY, 'llama-biases')), 'F32')).toBe(
      2 * 2 * 16 * (20 + 32) * 4,
    );
  });
});

describe('fields of one architecture are refused', () => {
  it.each<readonly [RegExp, string, Readonly<Record<string, unknown>>]>([
    [/num_experts_per_tok should be at most 4 experts, found 5/, 'mixtral', { num_experts_per_tok: 5 }],
    [
      /no tensor .*block_sparse_moe\.experts\.4\.w1\.weight|gate\.weight is \[4, 64\]/,
      'mixtral',
      { num_local_experts: 5 },
    ],
    [
      /hidden_activation should be 'gelu_pytorch_tanh', found "silu"/,
      'gemma3',
      { hidden_activation: 'silu' },
    ],
    [/use_bidirectional_attention should be false/, 'gemma3', { use_bidirectional_attention: true }],
    [/layer_types should be 3 times/, 'gemma3', { layer_types: ['full_attention'] }],
    [/attn_logit_softcapping should be a number from 0, found -1/, 'gemma2', { attn_logit_softcapping: -1 }],
    [
      /short_factor should be 6 positive numbers, found \[1\]/,
      'phi3-short',
      {
        rope_parameters: {
          rope_type: 'longrope',
          partial_rotary_factor: 0.75,
          short_factor: [1],
          long_factor: [1],
        },
      },
    ],
    [
      /qkv_proj\.weight is \[128, 64\], the configuration implies \[192, 64\]/,
      'phi3',
      { num_key_value_heads: 4 },
    ],
  ])('%s', (message, fixture, changes) => {
    expect(() => plan(fixture, changes)).toThrow(message);
    expect(() => plan(fixture, changes)).toThrow(CheckpointError);
  });
});

describe('config.json is refused with the field', () => {
  it.each<readonly [RegExp, Readonly<Record<string, unknown>>]>([
    [
      /architectures is \["GPT2LMHeadModel"\]; supported are LlamaForCausalLM, Mistral/,
      { architectures: ['GPT2LMHeadModel'] },
    ],
    [/architectures is \[\]/, { architectures: undefined }],
    [/hidden_size should be a positive integer, found 0/, { hidden_size: 0 }],
    [/hidden_size should be a number, found nothing/, { hidden_size: undefined }],
    [/num_key_value_heads should be a divisor of 4 heads, found 3/, { num_key_value_heads: 3 }],
    [/hidden_act should be 'silu', found "gelu"/, { hidden_act: 'gelu' }],
    [/quantization_config is set/, { quantization_config: { quant_method: 'awq' } }],
    [
      /rope_type should be 'default', 'linear', 'llama3', 'yarn' or 'longrope', found "dynamic"/,
      { rope_parameters: { rope_type: 'dynamic', factor: 2 } },
    ],
    [
      /rope_parameters: factor should be a number, found nothing/,
      { rope_parameters: { rope_type: 'linear' } },
    ],
    [/partial_rotary_factor/, { rope_parameters: { rope_type: 'default', partial_rotary_factor: 1.5 } }],
    [/embed_tokens\.weight is \[160, 64\], the configuration implies \[161, 64\]/, { vocab_size: 161 }],
    [/no tensor model\.layers\.2\.input_layernorm\.weight/, { num_hidden_layers: 3 }],
    [/no tensor model\.layers\.0\.self_attn\.q_proj\.bias/, { attention_bias: true }],
  ])('%s', (message, changes) => {
    expect(() => plan('llama', changes)).toThrow(message);
    expect(() => plan('llama', changes)).toThrow(CheckpointError);
  });

  it('when it is missing or not JSON', () => {
    expect(() => readModelConfig(join(scratch, 'nowhere'))).toThrow(/config\.json cannot be read/);
    const folder = changed('llama', {});
    writeFileSync(join(folder, 'config.json'), '{');
    expect(() => readModelConfig(folder)).toThrow(/config\.json is not valid JSON/);
  });
});
