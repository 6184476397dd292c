import type { CodePointRange } from './expression.ts';

/** Inclusive range of one byte. */
export type ByteRange = readonly [first: number, last: number];

/** Characters with equally long encodings; surrogates are no characters. */
const lengths: readonly CodePointRange[] = [
  [0, 0x7f],
  [0x80, 0x7ff],
  [0x800, 0xd7ff],
  [0xe000, 0xffff],
  [0x10000, 0x10ffff],
];

/** The UTF-8 encodings of a range of code points, as sequences of byte ranges. */
export function utf8Ranges([first, last]: CodePointRange): ByteRange[][] {
  return lengths.flatMap(([low, high]) => {
    const from = Math.max(first, low);
    const to = Math.min(last, high);
    return from > to ? [] : split(encode(from), encode(to));
  });
}

function encode(codePoint: number): number[] {
  return [...Buffer.from(String.fromCodePoint(codePoint), 'utf8')];
}

/** `first` and `last` have one length. Cut so that below the first differing byte each range is full. */
function split(first: readonly number[], last: readonly number[]): ByteRange[][] {
  const [a, ...aRest] = first as [number, ...number[]];
  const [b, ...bRest] = last as [number, ...number[]];
  if (aRest.length === 0) return [[[a, b]]];
  const lowest = aRest.map(() => 0x80);
  const highest = aRest.map(() => 0xbf);
  const isFull = aRest.every((byte) => byte === 0x80) && bRest.every((byte) => byte === 0xbf);
  if (isFull) return [[[a, b], ...aRest.map((): ByteRange => [0x80, 0xbf])]];
  const under = (byte: number, ranges: ByteRange[][]) =>
    ranges.map((rest): ByteRange[] => [[byte, byte], ...rest]);
  if (a === b) return under(a, split(aRest, bRest));
  const middle: ByteRange[][] =
    b - a > 1 ? [[[a + 1, b - 1], ...aRest.map((): ByteRange => [0x80, 0xbf])]] : [];
  return [...under(a, split(aRest, highest)), ...middle, ...under(b, split(lowest, bRest))];
}
