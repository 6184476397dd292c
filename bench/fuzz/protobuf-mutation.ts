import type { Dice } from './dice.ts';
import { randomFrame } from './protobuf-frame.ts';

type Mutation = (bytes: Buffer, dice: Dice) => Buffer;

/** Each gives new bytes. Some keep the message valid: a decoder must read it as before, or as the last says. */
const mutations: Readonly<Record<string, Mutation>> = {
  'flip bits': (bytes, dice) => {
    const flipped = Buffer.from(bytes);
    for (let i = dice.below(6); i >= 0 && flipped.length > 0; i--) {
      flipped[dice.below(flipped.length)]! ^= 1 << dice.below(8);
    }
    return flipped;
  },
  'any bytes': (_bytes, dice) => dice.bytes(dice.below(120)),
  truncate: (bytes, dice) => bytes.subarray(0, dice.below(bytes.length + 1)),
  'insert bytes': (bytes, dice) => {
    const at = dice.below(bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, at), dice.bytes(1 + dice.below(5)), bytes.subarray(at)]);
  },
  'splice two': (bytes, dice) => {
    const other = randomFrame(dice);
    return Buffer.concat([
      bytes.subarray(0, dice.below(bytes.length + 1)),
      other.subarray(dice.below(other.length + 1)),
    ]);
  },
  'append another': (bytes, dice) => Buffer.concat([bytes, randomFrame(dice)]),
  'reorder fields': (bytes, dice) => Buffer.concat(fieldsOf(bytes).toSorted(() => dice.below(3) - 1)),
  'repeat a field': (bytes, dice) => {
    const fields = fieldsOf(bytes);
    return fields.length === 0 ? bytes : Buffer.concat([...fields, dice.oneOf(fields)]);
  },
  'add unknown fields': (bytes, dice) => {
    const fields = fieldsOf(bytes);
    for (let i = dice.below(4); i >= 0; i--)
      fields.splice(dice.below(fields.length + 1), 0, unknownField(dice, 0));
    return Buffer.concat(fields);
  },
  'lie about a length': (bytes, dice) => {
    const fields = fieldsOf(bytes);
    const chosen = fields.findIndex((field) => (field[0]! & 7) === 2);
    if (chosen < 0) return bytes;
    const field = Buffer.from(fields[chosen]!);
    field[1] = dice.oneOf([0, 1, field[1]! + 1, field[1]! - 1, 0x7f, 0xff]) & 0xff;
    return Buffer.concat(fields.toSpliced(chosen, 1, field));
  },
  'nest deeply': (bytes, dice) => {
    let value: Buffer = Buffer.from([0x1a, 1, 0x61]);
    for (let i = dice.oneOf([3, 14, 15, 16, 17, 40, 2000]); i > 0; i--) value = wrapped(6, wrapped(1, value));
    const field = Buffer.concat([wrapped(1, Buffer.from('k')), wrapped(2, value)]);
    const entry = Buffer.concat([wrapped(1, Buffer.from('n')), wrapped(2, wrapped(1, field))]);
    return Buffer.concat([bytes, wrapped(9, entry)]);
  },
};

/** A frame with 0 to 2 mutations, and their names. */
export function mutatedFrame(dice: Dice): { readonly kinds: readonly string[]; readonly bytes: Buffer } {
  const kinds = Array.from({ length: dice.below(3) }, () => dice.oneOf(Object.keys(mutations)));
  const bytes = kinds.reduce((before, kind) => mutations[kind]!(before, dice), randomFrame(dice));
  return { kinds, bytes };
}

/** Top-level fields of a valid message; of another, what could be read of them. */
function fieldsOf(bytes: Buffer): Buffer[] {
  const fields: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    const start = at;
    const [tag, afterTag] = varintAt(bytes, at);
    const [length, afterLength] =
      (tag & 7) === 2 ? varintAt(bytes, afterTag) : [0, varintAt(bytes, afterTag)[1]];
    at = Math.min(bytes.length, afterLength + length);
    fields.push(bytes.subarray(start, at));
  }
  return fields;
}

function varintAt(bytes: Buffer, start: number): [value: number, next: number] {
  let value = 0;
  let at = start;
  for (let shift = 0; at < bytes.length && shift < 28; shift += 7) {
    const byte = bytes[at++]!;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return [value, at];
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

function wrapped(fieldNumber: number, payload: Buffer): Buffer {
  return Buffer.concat([varint((fieldNumber << 3) | 2), varint(payload.length), payload]);
}

function unknownField(dice: Dice, depth: number): Buffer {
  const number = dice.oneOf([12, 100, 20_000]);
  const tag = (type: number) => varint((number << 3) | type);
  return dice.oneOf([
    () =>
      Buffer.concat([
        tag(0),
        dice.oneOf([varint(dice.below(2 ** 31)), Buffer.from('ffffffffffffffffff01', 'hex')]),
      ]),
    () => Buffer.concat([tag(1), dice.bytes(8)]),
    () => wrapped(number, dice.bytes(dice.below(200))),
    () => Buffer.concat([tag(5), dice.bytes(4)]),
    () => Buffer.concat([tag(3), depth > 3 ? Buffer.alloc(0) : unknownField(dice, depth + 1), tag(4)]),
  ])();
}
