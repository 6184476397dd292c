import type { Dice } from './dice.ts';

/** Values that lengths, counts and numbers go wrong with. */
const WORDS = [
  0n,
  1n,
  31n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  2n ** 40n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];
/** What a JSON value is replaced by. */
export const commonValues: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  0.5,
  1e9,
  2 ** 53,
  1e308,
  '',
  'x',
  '../..',
  [],
  {},
  [[]],
  [-1],
  [1, 2, 3],
  { a: 1 },
];

type ByteMutation = (bytes: Buffer, dice: Dice, front: number) => Buffer;

/** Each gives new bytes; most work on the first `front` bytes, where a file describes itself. */
const byteMutations: Readonly<Record<string, ByteMutation>> = {
  'flip bits': (bytes, dice, front) => {
    const flipped = Buffer.from(bytes);
    for (let i = dice.below(8); i >= 0; i--) flipped[dice.below(front)]! ^= 1 << dice.below(8);
    return flipped;
  },
  'flip bits anywhere': (bytes, dice) => {
    const flipped = Buffer.from(bytes);
    for (let i = dice.below(64); i >= 0; i--) flipped[dice.below(bytes.length)]! ^= 1 << dice.below(8);
    return flipped;
  },
  truncate: (bytes, dice, front) => bytes.subarray(0, dice.below(dice.chance(0.7) ? front : bytes.length)),
  'overwrite a word': (bytes, dice, front) => {
    const changed = Buffer.from(bytes);
    const at = dice.below(Math.max(1, front - 8));
    if (at + 8 <= changed.length) changed.writeBigUInt64LE(dice.oneOf(WORDS), at);
    return changed;
  },
  'overwrite an early word': (bytes, dice) => {
    const changed = Buffer.from(bytes);
    if (changed.length >= 48) changed.writeBigUInt64LE(dice.oneOf(WORDS), dice.below(11) * 4);
    return changed;
  },
  'insert bytes': (bytes, dice, front) => {
    const at = dice.below(front);
    return Buffer.concat([bytes.subarray(0, at), dice.bytes(1 + dice.below(9)), bytes.subarray(at)]);
  },
  'remove bytes': (bytes, dice, front) => {
    const at = dice.below(front);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + dice.below(40))]);
  },
  'repeat bytes': (bytes, dice, front) => {
    const at = dice.below(front);
    return Buffer.concat([bytes.subarray(0, at + dice.below(200)), bytes.subarray(at)]);
  },
  'any bytes': (_bytes, dice) => dice.bytes(dice.below(200)),
};

export interface Mutated {
  readonly kinds: readonly string[];
  readonly bytes: Buffer;
}

/** A file with one to three mutations. */
export function mutatedBytes(bytes: Buffer, dice: Dice, front: number): Mutated {
  const kinds = Array.from({ length: 1 + dice.below(3) }, () => dice.oneOf(Object.keys(byteMutations)));
  const mutate = (before: Buffer, kind: string) =>
    before.length === 0 ? before : byteMutations[kind]!(before, dice, Math.min(front, before.length));
  return { kinds, bytes: kinds.reduce(mutate, bytes) };
}

/** A JSON file in which one to three values are replaced, removed or added somewhere; or its bytes are mutated. */
export function mutatedJson(value: unknown, dice: Dice, values = commonValues): Mutated {
  if (dice.chance(0.25)) {
    const bytes = Buffer.from(JSON.stringify(value));
    return mutatedBytes(bytes, dice, bytes.length);
  }
  const copy: unknown = structuredClone(value);
  const kinds = Array.from({ length: 1 + dice.below(3) }, () => changeOne(copy, dice, values));
  return { kinds, bytes: Buffer.from(JSON.stringify(copy)) };
}

/** Changes one entry of the object or list, at a depth that dice choose; tells what it did. */
function changeOne(root: unknown, dice: Dice, values: readonly unknown[]): string {
  let holder = root as Record<string, unknown>;
  for (;;) {
    const keys = Object.keys(holder);
    if (keys.length === 0) return 'nothing to change';
    const key = dice.oneOf(keys);
    const inner = holder[key];
    if (typeof inner === 'object' && inner !== null && Object.keys(inner).length > 0 && dice.chance(0.7)) {
      holder = inner as Record<string, unknown>;
      continue;
    }
    if (dice.chance(0.25) && !Array.isArray(holder)) {
      delete holder[key];
      return `remove ${key}`;
    }
    if (dice.chance(0.15) && !Array.isArray(holder)) {
      holder[`${key}x`] = structuredClone(dice.oneOf(values));
      return `add beside ${key}`;
    }
    const wrong = structuredClone(dice.oneOf(values));
    holder[key] = wrong;
    return `${key} = ${JSON.stringify(wrong).slice(0, 60)}`;
  }
}
