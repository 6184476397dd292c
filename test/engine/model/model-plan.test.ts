import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { CheckpointError } from '../../../src/engine/model/checkpoint-error.ts';
import { readModelConfig } from '../../../src/engine/model/config.ts';
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
    expect(newer.ropeAttentionFactor).toBeCloseTo(0.1 * Math.log(4) + 1, 10);
    expect(older.ropeAttentionFactor).toBe(newer.ropeAttentionFactor);
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
      /rope_type should be 'default', 'linear', 'llama3' or 'yarn', found "dynamic"/,
      { rope_parameters: { rope_type: 'dynamic', factor: 2 } },
    ],
    [
      /rope_parameters: factor should be a number, found nothing/,
      { rope_parameters: { rope_type: 'linear' } },
    ],
    [/partial_rotary_factor/, { rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.5 } }],
    [/embed_tokens\.weight is \[160, 64\], config\.json implies \[161, 64\]/, { vocab_size: 161 }],
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
