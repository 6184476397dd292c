import type { Dice } from './dice.ts';
import { mutatedJson } from './file-mutation.ts';
import { requestBases } from './request-bodies.ts';

/** Pieces of JSON, and what is nearly that. */
export const jsonPieces = [
  ...[
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    '"a"',
    '"\\u00e9"',
    '\\u12',
    '0',
    '-1',
    '.5',
    'e+7',
    '"k":',
    '{}',
  ],
  ...[
    'true',
    'false',
    'null',
    'nul',
    ' ',
    '\n',
    '\t',
    '\r',
    '\f',
    '\u00a0',
    'é',
    '\u0001',
    '\u0000',
    '🙂',
    '\ufeff',
  ],
];

/** Lengths about those of a vector, of four, and of a line. */
const lengths = [0, 1, 14, 15, 16, 17, 31, 32, 63, 64, 65, 79, 80, 81, 95, 96, 97, 143, 144, 145, 400];

/** A body for a scanner: of tokens in any order, of strings around the widths of vectors, or a request with changes. */
export function bodyToScan(dice: Dice): { readonly kind: string; readonly bytes: Buffer } {
  const kind = dice.oneOf(['tokens', 'strings', 'request'] as const);
  const bytes = makers[kind](dice);
  return { kind, bytes: dice.chance(0.5) ? bytes : withByteChanged(bytes, dice) };
}

const makers = {
  tokens: (dice: Dice) =>
    Buffer.from(Array.from({ length: dice.below(24) }, () => dice.oneOf(jsonPieces)).join('')),
  strings: (dice: Dice) => {
    const text = () => {
      const plain = dice.oneOf(['x', '~', '\u007f', 'é', '🙂']).repeat(dice.oneOf(lengths) + dice.below(2));
      return plain + (dice.chance(0.5) ? dice.oneOf(['"', '\\', '\n', '\u0002', 'é"']) : '');
    };
    const members = Array.from({ length: dice.below(5) }, () => [
      text(),
      dice.chance(0.3) ? [text()] : text(),
    ]);
    const indent = dice.chance(0.3) ? dice.below(10) : undefined;
    return Buffer.from(JSON.stringify(Object.fromEntries(members), null, indent));
  },
  request: (dice: Dice) => {
    const { body } = dice.oneOf(requestBases);
    if (dice.chance(0.5)) return mutatedJson(body, dice).bytes;
    return Buffer.from(JSON.stringify(body, null, dice.chance(0.5) ? dice.below(5) : undefined));
  },
};

/** One byte is another, is gone or is new, or the text ends early. */
function withByteChanged(bytes: Buffer, dice: Dice): Buffer {
  const at = dice.below(bytes.length + 1);
  const byte = dice.chance(0.5) ? dice.bytes(1) : Buffer.from(dice.oneOf(jsonPieces)).subarray(0, 1);
  switch (dice.below(4)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return Buffer.concat([bytes.subarray(0, at), byte, bytes.subarray(at)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
    default:
      return Buffer.concat([bytes.subarray(0, at), byte, bytes.subarray(at + 1)]);
  }
}
