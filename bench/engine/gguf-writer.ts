import { closeSync, existsSync, openSync, readFileSync, readSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { f32, field, ggufAlignment, ggufValueTypes, padded, text, u32, u64 } from './gguf-values.ts';
import { elements, type Shape, type ShapeTensor, tensorsOf } from './shapes.ts';

export type GgufType = 'bf16' | 'q8_0';

/** Numbers of the format. */
const types = { f32: 0, q8_0: 8, bf16: 30 } as const;
const groupSize = 32;

/** Writes the model of `folder` for llama.cpp, the same weights in bfloat16 or in its 8-bit groups. */
export function writeGguf(folder: string, shape: Shape, type: GgufType): string {
  const file = join(folder, `${shape.name}-${type}.gguf`);
  if (existsSync(file)) return file;
  const source = openSync(join(folder, 'model.safetensors'), 'r');
  const placed = placeTensors(source, tensorsOf(shape), type);
  const target = openSync(`${file}.new`, 'w');
  writeSync(target, headerOf(folder, shape, placed));
  for (const tensor of placed) writeSync(target, padded(convert(source, tensor, shape)));
  closeSync(target);
  closeSync(source);
  renameSync(`${file}.new`, file);
  return file;
}

interface PlacedTensor extends ShapeTensor {
  readonly ggufName: string;
  readonly type: keyof typeof types;
  /** Of the source, and in the data part of the target. */
  readonly sourceOffset: number;
  readonly targetOffset: number;
}

function placeTensors(
  source: number,
  tensors: readonly ShapeTensor[],
  type: GgufType,
): readonly PlacedTensor[] {
  const length = Buffer.alloc(8);
  readSync(source, length, 0, 8, 0);
  let sourceOffset = 8 + Number(length.readBigUInt64LE());
  let targetOffset = 0;
  return tensors.map((tensor) => {
    const own: PlacedTensor['type'] = tensor.shape.length === 1 ? 'f32' : type;
    const placed = { ...tensor, ggufName: ggufName(tensor.name), type: own, sourceOffset, targetOffset };
    sourceOffset += 2 * elements(tensor);
    targetOffset += Math.ceil(bytesOf(own, elements(tensor)) / ggufAlignment) * ggufAlignment;
    return placed;
  });
}

function bytesOf(type: keyof typeof types, count: number): number {
  if (type === 'q8_0') return (count / groupSize) * (groupSize + 2);
  return count * (type === 'f32' ? 4 : 2);
}

const names: Readonly<Record<string, string>> = {
  'model.embed_tokens.weight': 'token_embd.weight',
  'model.norm.weight': 'output_norm.weight',
  input_layernorm: 'attn_norm',
  post_attention_layernorm: 'ffn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

function ggufName(name: string): string {
  const [, layer, part = ''] = /^model\.layers\.(\d+)\.(.+)\.weight$/.exec(name) ?? [];
  return layer === undefined ? names[name]! : `blk.${layer}.${names[part]}.weight`;
}

function convert(source: number, tensor: PlacedTensor, shape: Shape): Buffer {
  const stored = Buffer.alloc(2 * elements(tensor));
  readSync(source, stored, 0, stored.length, tensor.sourceOffset);
  const isRotated = /_(q|k)\.weight$/.test(tensor.ggufName) && shape.architecture === 'LlamaForCausalLM';
  const halves = new Uint16Array(stored.buffer, stored.byteOffset, elements(tensor));
  const values = isRotated ? interleaveRotation(halves, tensor, shape.headDim) : halves;
  if (tensor.type === 'bf16') return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  const floats = toFloats(values);
  return tensor.type === 'f32' ? Buffer.from(floats.buffer) : toQ8(floats);
}

/** llama.cpp rotates adjacent channels of Llama's heads, Hugging Face a channel with the one half a head further. */
function interleaveRotation(values: Uint16Array, { shape }: ShapeTensor, headDim: number): Uint16Array {
  const [rows = 0, columns = 0] = shape;
  const out = new Uint16Array(values.length);
  for (let row = 0; row < rows; row++) {
    const inHead = row % headDim;
    const from = row - inHead + (inHead % 2) * (headDim / 2) + (inHead >> 1);
    out.set(values.subarray(from * columns, (from + 1) * columns), row * columns);
  }
  return out;
}

function toFloats(values: Uint16Array): Float32Array {
  const words = new Uint32Array(values.length);
  for (let i = 0; i < values.length; i++) words[i] = values[i]! << 16;
  return new Float32Array(words.buffer);
}

/** Groups of 32: a float16 scale, then 32 signed bytes. */
function toQ8(values: Float32Array): Buffer {
  const out = Buffer.alloc(bytesOf('q8_0', values.length));
  for (let group = 0; group < values.length / groupSize; group++) {
    const from = group * groupSize;
    let most = 0;
    for (let i = from; i < from + groupSize; i++) most = Math.max(most, Math.abs(values[i]!));
    const at = group * (groupSize + 2);
    out.writeUInt16LE(toF16(most / 127), at);
    const inverse = most > 0 ? 127 / most : 0;
    for (let i = 0; i < groupSize; i++) out.writeInt8(Math.round(values[from + i]! * inverse), at + 2 + i);
  }
  return out;
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Of a positive number in the normal range of float16, or smaller: then rounded to a multiple of 2^-24. */
function toF16(value: number): number {
  if (value < 2 ** -14) return Math.round(value * 2 ** 24);
  float[0] = value;
  return (bits[0]! - 0x38000000 + 0x1000) >>> 13;
}

function headerOf(folder: string, shape: Shape, tensors: readonly PlacedTensor[]): Buffer {
  const fields = fieldsOf(folder, shape);
  const parts = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(fields.length), ...fields];
  for (const { ggufName: name, shape: size, type, targetOffset } of tensors)
    parts.push(
      text(name),
      u32(size.length),
      ...size.toReversed().map(u64),
      u32(types[type]),
      u64(targetOffset),
    );
  return padded(Buffer.concat(parts));
}

function fieldsOf(folder: string, shape: Shape): readonly Buffer[] {
  const arch = shape.architecture === 'Qwen3ForCausalLM' ? 'qwen3' : 'llama';
  const count = (key: string, value: number) => field(`${arch}.${key}`, 'u32', u32(value));
  const list = (key: string, type: keyof typeof ggufValueTypes, values: readonly Buffer[]) =>
    field(key, 'array', Buffer.concat([u32(ggufValueTypes[type]), u64(values.length), ...values]));
  const { model } = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8')) as {
    model: { vocab: Record<string, number>; merges: readonly string[] };
  };
  const tokens = Object.keys(model.vocab);
  return [
    field('general.architecture', 'string', text(arch)),
    field('general.name', 'string', text(shape.name)),
    count('context_length', 4096),
    count('embedding_length', shape.hiddenSize),
    count('block_count', shape.layers),
    count('feed_forward_length', shape.intermediateSize),
    count('attention.head_count', shape.heads),
    count('attention.head_count_kv', shape.kvHeads),
    count('attention.key_length', shape.headDim),
    count('attention.value_length', shape.headDim),
    count('rope.dimension_count', shape.headDim),
    field(`${arch}.attention.layer_norm_rms_epsilon`, 'f32', f32(1e-6)),
    field(`${arch}.rope.freq_base`, 'f32', f32(1e6)),
    count('vocab_size', shape.vocabSize),
    field('tokenizer.ggml.model', 'string', text('gpt2')),
    field('tokenizer.ggml.pre', 'string', text('gpt-2')),
    list('tokenizer.ggml.tokens', 'string', tokens.map(text)),
    list(
      'tokenizer.ggml.token_type',
      'i32',
      tokens.map((_, id) => u32(id < 3 ? 3 : 1)),
    ),
    list('tokenizer.ggml.merges', 'string', model.merges.map(text)),
    field('tokenizer.ggml.bos_token_id', 'u32', u32(1)),
    field('tokenizer.ggml.eos_token_id', 'u32', u32(2)),
    field('tokenizer.ggml.add_bos_token', 'bool', Buffer.of(0)),
  ];
}
