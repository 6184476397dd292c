import { readFileSync, writeFileSync } from 'node:fs';
import { field, padded, text, u16, u32, u64 } from '../../../../bench/engine/gguf-values.ts';
import { readGguf } from '../../../../src/engine/model/gguf/gguf-file.ts';

/** Writes a GGUF file in parts, as llama.cpp's gguf-split: metadata in the first, tensors in all. Returns their names. */
export function splitGguf(file: string, stem: string, parts: number): readonly string[] {
  const bytes = readFileSync(file);
  const { tensors } = readGguf(file);
  const entries = [...tensors.values()].map((tensor, _, all) => {
    const next = all.map(({ offset }) => offset).filter((offset) => offset > tensor.offset);
    return { name: tensor.name, start: tensor.offset, end: Math.min(bytes.length, ...next) };
  });
  const descriptions = readDescriptions(
    bytes,
    entries.map(({ name }) => name),
  );
  const keys = Number(bytes.readBigUInt64LE(16));
  const perPart = Math.ceil(entries.length / parts);
  return Array.from({ length: parts }, (_, part) => {
    const own = entries.slice(part * perPart, (part + 1) * perPart);
    let offset = 0;
    const described = own.map(({ name, start, end }) => {
      const description = Buffer.from(descriptions.get(name)!);
      description.writeBigUInt64LE(BigInt(offset), description.length - 8);
      offset += Math.ceil((end - start) / 32) * 32;
      return description;
    });
    const metadata = part === 0 ? bytes.subarray(24, descriptions.start) : Buffer.alloc(0);
    const front = Buffer.concat([
      bytes.subarray(0, 8),
      u64(own.length),
      u64((part === 0 ? keys : 0) + 3),
      field('split.no', 'u16', u16(part)),
      field('split.count', 'u16', u16(parts)),
      field('split.tensors.count', 'i32', u32(entries.length)),
      metadata,
      ...described,
    ]);
    const data = own.map(({ start, end }) => padded(bytes.subarray(start, end)));
    const name = `${stem}-${five(part + 1)}-of-${five(parts)}.gguf`;
    writeFileSync(name, Buffer.concat([padded(front), ...data]));
    return name;
  });
}

/** Descriptions of tensors as they are in the file, and where they begin. */
function readDescriptions(bytes: Buffer, names: readonly string[]) {
  const found = new Map<string, Buffer>();
  const first = text(names[0]!);
  const start = bytes.indexOf(first);
  let at = start;
  for (const name of names) {
    const dimensions = bytes.readUInt32LE(at + 8 + name.length);
    const end = at + 8 + name.length + 4 + 8 * dimensions + 4 + 8;
    found.set(name, bytes.subarray(at, end));
    at = end;
  }
  return Object.assign(found, { start });
}

function five(value: number): string {
  return String(value).padStart(5, '0');
}
