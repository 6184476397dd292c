import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { engineOptionsFromFlags } from '../../../src/engine/flags/index.ts';
import { readAdapter, readLoraConfig } from '../../../src/engine/lora/index.ts';
import { CheckpointError } from '../../../src/engine/model/checkpoint-error.ts';
import { readModelConfig } from '../../../src/engine/model/model-files.ts';

const FIXTURES = fileURLToPath(new URL('../../fixtures/', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'pointsman-lora-'));
afterAll(() => rmSync(scratch, { recursive: true }));
let folders = 0;

const config = (base: string) => readModelConfig(join(FIXTURES, 'parity', base));

/** A copy of a fixture with some fields of adapter_config.json changed. */
function changed(name: string, changes: Readonly<Record<string, unknown>>): string {
  const folder = join(scratch, `${name}-${folders++}`);
  cpSync(join(FIXTURES, 'lora', name), folder, { recursive: true });
  const file = join(folder, 'adapter_config.json');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...changes }));
  return folder;
}

describe('a PEFT folder', () => {
  it('becomes pairs of matrices, fused projections one for each weight', () => {
    const { files, pairs } = readAdapter(changed('phi3-fused', {}), config('phi3'), 8);
    expect(files).toHaveLength(1);
    const first = pairs.filter(({ layer }) => layer === 0);
    expect(first.map(({ role }) => role).sort()).toEqual(
      ['gate_proj', 'k_proj', 'o_proj', 'q_proj', 'up_proj', 'v_proj'].sort(),
    );
    const of = (role: string) => first.find((pair) => pair.role === role)!;
    expect(of('k_proj').aOffset).toBe(of('q_proj').aOffset);
    expect(of('k_proj').bOffset - of('q_proj').bOffset).toBe(64 * 6 * 4);
  });

  it('scales by alpha / rank, by module, or by alpha / sqrt(rank)', () => {
    const scales = (name: string) =>
      new Map(
        readAdapter(changed(name, {}), config('llama'), 8).pairs.map(({ role, layer, scale }) => [
          `${role}.${layer}`,
          scale,
        ]),
      );
    expect(scales('llama-all').get('q_proj.0')).toBe(2);
    expect(scales('llama-attention').get('v_proj.1')).toBe(2);
    expect(scales('llama-patterns').get('up_proj.0')).toBeCloseTo(1 / 3);
    expect(scales('llama-patterns').get('up_proj.1')).toBeCloseTo(1 / 5);
    expect(scales('llama-patterns').get('o_proj.0')).toBe(2);
  });

  it.each<readonly [RegExp, Readonly<Record<string, unknown>>]>([
    [/peft_type should be 'LORA', found "IA3"/, { peft_type: 'IA3' }],
    [/use_dora should be false \(DoRA scales each output .* not computed here\)/, { use_dora: true }],
    [/bias should be 'none', found "all"/, { bias: 'all' }],
    [/modules_to_save should be empty, found \["lm_head"\]/, { modules_to_save: ['lm_head'] }],
    [/layer_replication should be null/, { layer_replication: [[0, 1]] }],
    [/alpha_pattern should be keyed by names of modules, found ".*q"/, { alpha_pattern: { '.*q': 1 } }],
    [/r should be a positive integer, found -1/, { r: -1 }],
    [/lora_alpha should be a number, found "x"/, { lora_alpha: 'x' }],
  ])('is refused: %s', (message, changes) => {
    const folder = changed('llama-all', changes);
    expect(() => readAdapter(folder, config('llama'), 8)).toThrow(message);
    expect(() => readAdapter(folder, config('llama'), 8)).toThrow(CheckpointError);
  });

  it('is refused for another model, a larger rank, or when files are missing', () => {
    const folder = changed('llama-all', {});
    expect(() => readAdapter(folder, config('llama'), 4)).toThrow(/has rank 8; --max-lora-rank allows 4/);
    expect(() => readAdapter(folder, config('qwen3'), 8)).toThrow(
      /lora_[AB]\.weight is \[.*the model implies/,
    );
    expect(() => readAdapter(folder, config('phi3'), 8)).toThrow(/adapts nothing that can be adapted here/);
    expect(() => readAdapter(changed('llama-all', {}), config('mixtral'), 8)).toThrow(/adapts nothing/);
    expect(() => readAdapter(join(scratch, 'nowhere'), config('llama'), 8)).toThrow(/does not exist/);
    rmSync(join(folder, 'adapter_model.safetensors'));
    expect(() => readAdapter(folder, config('llama'), 8)).toThrow(
      /adapter_model\.safetensors cannot be opened/,
    );
  });
});

describe('the flags', () => {
  const model = 'm';
  it('give as many places as adapters that start, and vLLM’s defaults', () => {
    expect(readLoraConfig({ model })).toBeUndefined();
    expect(readLoraConfig({ model, enableLora: true })).toEqual({
      maxLoras: 1,
      maxLoaded: 1,
      maxRank: 16,
      modules: [],
    });
    expect(readLoraConfig({ model, enableLora: true, loraModules: ['a=/x', 'b=/y=z'] })).toMatchObject({
      maxLoaded: 2,
      modules: [
        { name: 'a', path: '/x' },
        { name: 'b', path: '/y=z' },
      ],
    });
  });

  it('take adapters as JSON, one or several, with the model that they were trained on', () => {
    const modules = (...loraModules: string[]) =>
      readLoraConfig({ model, enableLora: true, loraModules })?.modules;
    const json = '{"name":"a","path":"/x,y","base_model_name":"org/base"}';
    expect(modules(json)).toEqual([{ name: 'a', path: '/x,y', baseModelName: 'org/base' }]);
    expect(modules(`[${json},{"name":"b","path":"/z"}]`, 'c=/c')).toMatchObject([
      { name: 'a' },
      { name: 'b', path: '/z' },
      { name: 'c', path: '/c' },
    ]);
    expect(engineOptionsFromFlags(model, { 'lora-modules': json }).loraModules).toEqual([json]);
  });

  it.each([
    [/--lora-modules needs --enable-lora/, { loraModules: ['a=b'] }],
    [
      /must be name=path, separated by commas, or \{"name".*; got "a"/,
      { enableLora: true, loraModules: ['a'] },
    ],
    [/must be name=path.*got "\{\\"name\\":1\}"/, { enableLora: true, loraModules: ['{"name":1}'] }],
    [/must be name=path.*got "\[\{"/, { enableLora: true, loraModules: ['[{'] }],
    [/must be name=path.*got "\[null\]"/, { enableLora: true, loraModules: ['[null]'] }],
    [/names a twice/, { enableLora: true, loraModules: ['a=b', 'a=c'] }],
    [/--max-loras must be 1 to 4096, got 0/, { enableLora: true, maxLoras: 0 }],
    [/--max-cpu-loras is 1; .* ask for 2/, { enableLora: true, maxLoras: 2, maxCpuLoras: 1 }],
  ])('are refused: %s', (message, options) => {
    expect(() => readLoraConfig({ model, ...options })).toThrow(message);
  });
});
