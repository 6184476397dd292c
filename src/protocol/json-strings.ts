/** Strings in JSON text: where one ends, and what it says. */
import { isDigit } from './json-scalars.ts';
import { JsonSyntaxError } from './json-syntax-error.ts';

const quote = 0x22;
const backslash = 0x5c;

/** The string in these bytes, which the scanner has already found to be one. */
export function decodeJsonString(
  body: Buffer,
  { start, end }: { readonly start: number; readonly end: number },
): string {
  const text = body.toString('utf8', start + 1, end - 1);
  return text.includes('\\') ? (JSON.parse(body.toString('utf8', start, end)) as string) : text;
}

/** 1 where a run of plain string bytes stops: the quote, the backslash and control characters. */
const stopsString = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte < 0x20 || byte === quote || byte === backslash ? 1 : 0,
);

/** From the opening quote to behind the closing one. Small enough to be inlined; the rest is rare. */
export function readString(body: Buffer, view: DataView, open: number): number {
  const at = skipPlain(body, view, open + 1);
  return at < body.length && body[at] === quote ? at + 1 : readRestOfString(body, view, at);
}

function readRestOfString(body: Buffer, view: DataView, from: number): number {
  let at = from;
  for (;;) {
    const byte = at < body.length ? body[at]! : 0;
    if (byte === quote) return at + 1;
    if (byte !== backslash) {
      throw new JsonSyntaxError(
        body,
        at,
        at >= body.length ? 'a closing double quote' : 'control characters to be escaped',
      );
    }
    at = skipPlain(body, view, readEscape(body, at));
  }
}

/**
 * To the next quote, backslash or control character. Prompts are strings, so this is where the time goes: sixteen
 * bytes at a time, with the tests for "a byte is zero" and "a byte is less than n" of S. E. Anderson's Bit Twiddling
 * Hacks. These may be wrong about a byte only above one that they are right about, so the lowest is exact.
 */
function skipPlain(body: Buffer, view: DataView, from: number): number {
  let at = from;
  for (const lastFour = view.byteLength - 16; at <= lastFour; at += 16) {
    const first = stopsIn(view.getInt32(at, true));
    const second = stopsIn(view.getInt32(at + 4, true));
    const third = stopsIn(view.getInt32(at + 8, true));
    const fourth = stopsIn(view.getInt32(at + 12, true));
    if (((first | second | third | fourth) & topBits) === 0) continue;
    if ((first & topBits) !== 0) return at + lowestByte(first & topBits);
    if ((second & topBits) !== 0) return at + 4 + lowestByte(second & topBits);
    if ((third & topBits) !== 0) return at + 8 + lowestByte(third & topBits);
    return at + 12 + lowestByte(fourth & topBits);
  }
  while (at < body.length && stopsString[body[at]!] === 0) at += 1;
  return at;
}

const topBits = 0x80808080;

/** Has the top bit of each byte set that a plain run stops at; the other bits say nothing. */
function stopsIn(word: number): number {
  return (
    ((word - 0x20202020) | ((word ^ 0x22222222) - 0x01010101) | ((word ^ 0x5c5c5c5c) - 0x01010101)) & ~word
  );
}

function lowestByte(tops: number): number {
  return (31 - Math.clz32(tops & -tops)) >> 3;
}

function readEscape(body: Buffer, at: number): number {
  switch (body[at + 1]) {
    case 0x22: // "
    case 0x5c: // \
    case 0x2f: // /
    case 0x62: // b
    case 0x66: // f
    case 0x6e: // n
    case 0x72: // r
    case 0x74: // t
      return at + 2;
    case 0x75: // u
      for (let digit = at + 2; digit < at + 6; digit += 1) {
        if (!isHexDigit(body[digit])) throw new JsonSyntaxError(body, digit, 'four hexadecimal digits');
      }
      return at + 6;
    default:
      throw new JsonSyntaxError(body, at + 1, 'one of "\\/bfnrtu after a backslash');
  }
}

function isHexDigit(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  const lower = byte | 0x20;
  return isDigit(byte) || (lower >= 0x61 && lower <= 0x66);
}
