import { closeSync, existsSync, mkdirSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { randomTokenizer } from './random-tokenizer.ts';
import { configOf, elements, type Shape, tensorsOf } from './shapes.ts';

/** Bytes that are made and written at a time. */
const chunkElements = 1 << 20;

/**
 * The folder of a model of that shape with random bfloat16 weights, as Hugging Face would save it; made on the
 * first call, found on later ones. The same shape always gets the same bytes.
 */
export function randomModel(root: string, shape: Shape): string {
  const folder = join(root, shape.name);
  const file = join(folder, 'model.safetensors');
  if (existsSync(file)) return folder;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configOf(shape), null, 2));
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(randomTokenizer(shape.vocabSize)));
  writeFileSync(
    join(folder, 'tokenizer_config.json'),
    JSON.stringify({ tokenizer_class: 'PreTrainedTokenizerFast', eos_token: '<|endoftext|>' }),
  );
  writeWeights(`${file}.new`, shape);
  renameSync(`${file}.new`, file);
  return folder;
}

function writeWeights(file: string, shape: Shape): void {
  const tensors = tensorsOf(shape);
  let offset = 0;
  const header: Record<string, object> = {};
  for (const tensor of tensors) {
    const bytes = 2 * elements(tensor);
    header[tensor.name] = { dtype: 'BF16', shape: tensor.shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(text.length / 8) * 8, ' ');
  text.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const fd = openSync(file, 'w');
  writeSync(fd, length);
  writeSync(fd, padded);
  const random = createRandom(20_260_000 + shape.layers);
  const chunk = new Uint16Array(chunkElements);
  for (const tensor of tensors) {
    const isNorm = tensor.shape.length === 1;
    const scale = Math.sqrt(3 / (tensor.shape[1] ?? 1));
    for (let left = elements(tensor); left > 0; left -= chunkElements) {
      const count = Math.min(left, chunkElements);
      if (isNorm) chunk.fill(bf16(1), 0, count);
      else for (let i = 0; i < count; i++) chunk[i] = bf16(random() * scale);
      writeSync(fd, chunk, 0, 2 * count);
    }
  }
  closeSync(fd);
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

function bf16(value: number): number {
  float[0] = value;
  return (bits[0]! + 0x8000) >>> 16;
}

/** xorshift32, uniform in [-1, 1). */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state | 0) / 0x80000000;
  };
}
