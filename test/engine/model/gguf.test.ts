import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { CheckpointError } from '../../../src/engine/model/checkpoint-error.ts';
import { readGguf } from '../../../src/engine/model/gguf/gguf-file.ts';
import { ggufTokenizer } from '../../../src/engine/model/gguf/gguf-tokenizer.ts';
import { readModelConfig } from '../../../src/engine/model/model-files.ts';
import { createTokenizer } from '../../../src/tokenizer/index.ts';
import { array, ggufBytes, type Metadata, type TensorEntry, text, u32 } from './support/gguf-bytes.ts';
import { splitGguf } from './support/split-gguf.ts';

const FIXTURES = fileURLToPath(new URL('../../fixtures/gguf/', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'pointsman-gguf-'));
afterAll(() => rmSync(scratch, { recursive: true }));
let files = 0;

function write(bytes: Uint8Array): string {
  const file = join(scratch, `${files++}.gguf`);
  writeFileSync(file, bytes);
  return file;
}

const tensor = (changes: Partial<TensorEntry> = {}): TensorEntry => ({
  name: 'a',
  dimensions: [4],
  type: 0,
  offset: 0,
  ...changes,
});
const gguf = (metadata: Metadata = {}, tensors: readonly TensorEntry[] = [], dataBytes = 0) =>
  ggufBytes({ metadata, tensors, dataBytes });

describe('the front of a GGUF file', () => {
  it('gives metadata and where each tensor lies, slowest dimension first', () => {
    const bytes = gguf(
      { 'general.architecture': text('llama'), n: u32(7), list: array(8, [text('x'), text('ü')]) },
      [tensor(), tensor({ name: 'b', dimensions: [32, 3], type: 8, offset: 32 })],
      32 + 102,
    );
    const { metadata, tensors } = readGguf(write(bytes));
    expect(Object.fromEntries(metadata)).toEqual({
      'general.architecture': 'llama',
      n: 7,
      list: ['x', 'ü'],
    });
    expect(tensors.get('b')).toEqual({
      name: 'b',
      dtype: 'Q8_0',
      shape: [3, 32],
      file: 0,
      offset: bytes.length - 102,
    });
  });

  it.each<readonly [RegExp, () => Uint8Array]>([
    [/is not a GGUF file/, () => Buffer.from('GGML and some more bytes')],
    [/is not a GGUF file/, () => Buffer.from('GGUF')],
    [/GGUF version 1; versions 2 and 3 are read/, () => ggufBytes({ version: 1 })],
    [/GGUF version 50331648/, () => ggufBytes({ version: 0x03000000 })],
    [/announces 1000001 tensors/, () => ggufBytes({ tensorCount: 1_000_001n })],
    [/announces 18446744073709552000 tensors/, () => ggufBytes({ tensorCount: 2n ** 64n - 1n })],
    [/and 65537 metadata keys/, () => ggufBytes({ keyCount: 65_537n })],
    [/truncated or corrupt: byte 24 announces 8 more bytes/, () => ggufBytes({ keyCount: 1n })],
    [/"n" has the unknown value type 13/, () => gguf({ n: { type: 13, bytes: Buffer.alloc(8) } })],
    [/"n" has the unknown value type 9/, () => gguf({ n: array(9, []) })],
    [/"n" announces 9007199254740992 elements/, () => gguf({ n: array(0, [], 2n ** 53n) })],
    [
      /"n" announces 100 elements, 12 bytes are left/,
      () => gguf({ n: array(0, [u32(1), u32(2), u32(3)], 100n) }),
    ],
    [/general\.alignment should be a positive number/, () => gguf({ 'general.alignment': u32(0) })],
    [/"a" is of ggml type 10; read are F32, F16, Q4_0/, () => gguf({}, [tensor({ type: 10 })])],
    [/"a" has 5 dimensions/, () => gguf({}, [tensor({ dimensions: [1, 1, 1, 1, 1] })])],
    [/"a" has the impossible shape \[0\]/, () => gguf({}, [tensor({ dimensions: [0] })])],
    [/"a" has the impossible shape/, () => gguf({}, [tensor({ dimensions: [2 ** 40, 2 ** 40] })])],
    [
      /rows of "a" have 33 elements; Q4_0 needs a multiple of 32/,
      () => gguf({}, [tensor({ dimensions: [33], type: 2 })]),
    ],
    [/"a" begins at byte 4, which is not aligned/, () => gguf({}, [tensor({ offset: 4 })])],
    [/truncated: "a" ends at byte/, () => gguf({}, [tensor()], 15)],
    [/two tensors "a"/, () => gguf({}, [tensor(), tensor()], 16)],
  ])('is refused: %s', (message, bytes) => {
    const file = write(bytes());
    expect(() => readGguf(file)).toThrow(message);
    expect(() => readGguf(file)).toThrow(CheckpointError);
  });
});

describe('the metadata of a GGUF file becomes a configuration', () => {
  const llama: Metadata = {
    'general.architecture': text('llama'),
    'llama.block_count': u32(2),
    'llama.embedding_length': u32(64),
    'llama.feed_forward_length': u32(96),
    'llama.attention.head_count': u32(4),
    'llama.attention.layer_norm_rms_epsilon': { type: 6, bytes: Buffer.from(Float32Array.of(1e-5).buffer) },
    'llama.context_length': u32(512),
    'llama.vocab_size': u32(100),
  };

  it('with what it leaves out filled in', () => {
    expect(readModelConfig(write(gguf(llama)))).toMatchObject({
      architecture: 'LlamaForCausalLM',
      heads: 4,
      kvHeads: 4,
      headDim: 16,
      vocabSize: 100,
      tieWordEmbeddings: true,
      rotaryDim: 16,
    });
  });

  it.each<readonly [RegExp, Metadata]>([
    [
      /general\.architecture is "mamba"; supported are llama, qwen2, qwen3/,
      { 'general.architecture': text('mamba') },
    ],
    [/general\.architecture should be text, found 3/, { 'general.architecture': u32(3) }],
    [/llama\.block_count should be a number, found "2"/, { 'llama.block_count': text('2') }],
    [/is one of 3 parts, which find each other by name: .*-00001-of-00003/, { 'split.count': u32(3) }],
    [/split\.count should be a number of parts, found "3"/, { 'split.count': text('3') }],
    [/num_key_value_heads should be a divisor of 4/, { 'llama.attention.head_count_kv': u32(3) }],
  ])('or is refused: %s', (message, changes) => {
    const file = write(gguf({ ...llama, ...changes }));
    expect(() => readModelConfig(file)).toThrow(message);
    expect(() => readModelConfig(file)).toThrow(CheckpointError);
  });

  it('or is refused with the key that is missing', () => {
    for (const key of Object.keys(llama).slice(1, -1)) {
      const file = write(gguf(Object.fromEntries(Object.entries(llama).filter(([name]) => name !== key))));
      expect(() => readModelConfig(file), key).toThrow(key);
    }
  });
});

describe('a GGUF file in parts', () => {
  const whole = join(FIXTURES, 'llama-q8_0.gguf');

  it('is the model that it was split from, whichever part is named', () => {
    const parts = splitGguf(whole, join(scratch, 'm'), 3);
    for (const part of parts) {
      expect(readModelConfig(part)).toEqual(readModelConfig(whole));
      const { files: found, tensors } = readGguf(part);
      expect(found).toEqual(parts);
      const original = readGguf(whole).tensors;
      expect([...tensors.keys()]).toEqual([...original.keys()]);
      const bytes = parts.map((each) => readFileSync(each));
      const all = readFileSync(whole);
      for (const [name, { file, offset }] of tensors) {
        const at = original.get(name)!.offset;
        expect(bytes[file]!.subarray(offset, offset + 16), name).toEqual(all.subarray(at, at + 16));
      }
      expect(ggufTokenizer(readGguf(part))).toEqual(ggufTokenizer(readGguf(whole)));
    }
  });

  it('is refused when parts are missing, mixed up or doubled', () => {
    const [first, second, third] = splitGguf(whole, join(scratch, 'n'), 3) as [string, string, string];
    const [, otherSecond] = splitGguf(whole, join(scratch, 'o'), 2) as [string, string];
    const bytes = readFileSync(second);
    rmSync(second);
    expect(() => readGguf(first)).toThrow(/one of 3 parts, of which 1 are missing: .*n-00002-of-00003\.gguf/);
    writeFileSync(second, readFileSync(third));
    expect(() => readGguf(first)).toThrow(/says that it is part 3 of 3, its name that it is 2 of 3/);
    writeFileSync(second, readFileSync(otherSecond));
    expect(() => readGguf(third)).toThrow(/part 2 of 2, its name that it is 2 of 3: parts of different/);
    writeFileSync(second, bytes);
    expect(readGguf(second).files).toHaveLength(3);
    writeFileSync(second, 'GGUF');
    expect(() => readGguf(first)).toThrow(/n-00002-of-00003\.gguf is not a GGUF file/);
  });
});

describe('the tokenizer of a GGUF file', () => {
  const load = (name: string) => {
    const file = join(FIXTURES, name);
    const definition = ggufTokenizer(readGguf(file));
    return { definition, tokenizer: createTokenizer(file, definition) };
  };

  it.each(['llama-q8_0', 'mixtral-q5_0'])('encodes as the library that trained it: %s', (name) => {
    const { tokenizer } = load(`${name}.gguf`);
    const { encodings } = JSON.parse(readFileSync(join(FIXTURES, `${name}.json`), 'utf8')) as {
      readonly encodings: readonly { readonly text: string; readonly ids: readonly number[] }[];
    };
    for (const { text: written, ids } of encodings) {
      expect(tokenizer.encode(written, { addSpecialTokens: false }), JSON.stringify(written)).toEqual(ids);
      expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(written);
    }
  });

  it('puts the beginning-of-text token first, knows its special tokens and brings its chat template', () => {
    const { definition, tokenizer } = load('llama-q8_0.gguf');
    expect(tokenizer.encode('a', { addSpecialTokens: true })[0]).toBe(1);
    expect(tokenizer.specialTokens.get('<|end|>')).toBe(2);
    expect(tokenizer).toMatchObject({ bosToken: '<|begin|>', eosToken: '<|end|>', eosTokenId: 2 });
    expect(definition.config['chat_template']).toMatch(/for m in messages/);
  });

  it.each<readonly [RegExp, Metadata]>([
    [/has no tokenizer\.ggml\.tokens/, {}],
    [/tokenizer\.ggml\.model is "bert"; supported are "gpt2" and "llama"/, { model: text('bert') }],
    [/has no tokenizer\.ggml\.merges/, { model: text('gpt2') }],
    [/has no tokenizer\.ggml\.scores/, { model: text('llama') }],
    [
      /tokenizer\.ggml\.pre is "viking"; supported are default, gpt-2/,
      { model: text('gpt2'), pre: text('viking'), merges: array(8, []) },
    ],
    [
      /tokens should be a list of texts, found a list of 1/,
      { model: text('gpt2'), tokens: array(4, [u32(1)]) },
    ],
  ])('is refused: %s', (message, metadata) => {
    const keys = Object.entries({
      ...('model' in metadata ? { tokens: array(8, [text('a')]) } : {}),
      ...metadata,
    });
    const file = write(
      gguf(Object.fromEntries(keys.map(([key, value]) => [`tokenizer.ggml.${key}`, value]))),
    );
    expect(() => ggufTokenizer(readGguf(file))).toThrow(message);
  });
});
