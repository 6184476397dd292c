/**
 * What `scanJson` does, in JavaScript: what SIMD code is compared with, what runs where there is none, and what tells
 * where a text is wrong. Accepts exactly what `JSON.parse` accepts, up to the depth limit. One pass, some 0.4 to 3 ns a
 * byte, by how long the strings are.
 */
import { isUtf8 } from 'node:buffer';
import { KnownTexts } from './known-texts.ts';

export type JsonType = 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null';

/** A value's bytes: `start` inclusive, `end` exclusive; a string's quotes are inside. */
export interface JsonRange {
  readonly type: JsonType;
  readonly start: number;
  readonly end: number;
}

export interface JsonScan extends JsonRange {
  /** Members of a top-level object by decoded key; of duplicate keys the last wins. Empty for other types. */
  readonly members: ReadonlyMap<string, JsonRange>;
  /** Bytes of the longest string value anywhere, quotes included; 0 if there is none. Keys do not count. */
  readonly longestString: number;
}

export const defaultMaxDepth = 256;

export interface JsonScanOptions {
  /** Containers inside one another, at most. 256 by default, which is more than engines accept. */
  readonly maxDepth?: number;
  /** Keeps only members with these keys, so that a hostile body cannot make a huge map. */
  readonly keys?: ReadonlySet<string>;
}

/** `invalid JSON at line L, column C (byte N): expected …, found …`. Lines and columns (characters) count from 1, bytes from 0. */
export class JsonSyntaxError extends Error {
  readonly byteOffset: number;

  constructor(body: Buffer, byteOffset: number, expected: string, found = describeByte(body, byteOffset)) {
    const { line, column } = placeOf(body, byteOffset);
    super(
      `invalid JSON at line ${line}, column ${column} (byte ${byteOffset}): expected ${expected}, found ${found}`,
    );
    this.name = 'JsonSyntaxError';
    this.byteOffset = byteOffset;
  }
}

/**
 * `openers[d]`: the byte that opened the container at depth d. Depth 0 is the document itself. One for all scans, as
 * each is one synchronous step.
 */
let openers = new Uint8Array(257);

/** Throws `JsonSyntaxError`. */
export function scanJsonPlainly(
  body: Buffer,
  { maxDepth = defaultMaxDepth, keys }: JsonScanOptions = {},
): JsonScan {
  if (!isUtf8(body)) {
    throw new JsonSyntaxError(body, firstInvalidUtf8(body), 'UTF-8 text');
  }
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  let longestString = 0;
  const members = new Map<string, JsonRange>();
  if (openers.length <= maxDepth) openers = new Uint8Array(maxDepth + 1);
  let depth = 0;
  let key: string | undefined;
  let memberStart = 0;

  const start = skipSpace(body, 0);
  let at = start;
  for (;;) {
    // A value starts at `at`.
    if (depth === 1) memberStart = at;
    const first = at < body.length ? body[at]! : 0;
    if (first === quote) {
      const open = at;
      at = readString(body, view, at);
      if (at - open > longestString) longestString = at - open;
    } else if (first === openBrace || first === openBracket) {
      if (depth === maxDepth) {
        throw new JsonSyntaxError(body, at, `at most ${maxDepth} nested containers`, 'one more');
      }
      at = skipSpace(body, at + 1);
      // Both closing brackets come two after their opening ones in ASCII.
      if (at < body.length && body[at] === first + 2) at += 1;
      else {
        openers[++depth] = first;
        if (first === openBrace) {
          const keyEnd = readKey(body, view, at, '"}" or a key in double quotes');
          if (depth === 1) key = wantedKey(body, at, keyEnd, keys);
          at = readColon(body, keyEnd);
        }
        continue;
      }
    } else if (isLiteralStart(first)) at = readLiteral(body, at);
    else at = readNumber(body, at);

    // A value ended at `at`: close containers until one goes on.
    for (;;) {
      if (depth === 0) {
        const rest = skipSpace(body, at);
        if (rest < body.length) throw new JsonSyntaxError(body, rest, 'the end of the body');
        return { type: typeAt(body, start), start, end: at, members, longestString };
      }
      const opener = openers[depth]!;
      if (depth === 1 && opener === openBrace && key !== undefined) {
        members.set(key, { type: typeAt(body, memberStart), start: memberStart, end: at });
      }
      at = skipSpace(body, at);
      const byte = at < body.length ? body[at]! : 0;
      if (byte === comma) {
        at = skipSpace(body, at + 1);
        if (opener === openBrace) {
          const keyEnd = readKey(body, view, at, 'a key in double quotes');
          if (depth === 1) key = wantedKey(body, at, keyEnd, keys);
          at = readColon(body, keyEnd);
        }
        break;
      }
      if (byte !== opener + 2) {
        throw new JsonSyntaxError(body, at, opener === openBrace ? '"," or "}"' : '"," or "]"');
      }
      depth -= 1;
      at += 1;
    }
  }
}

/** The string in these bytes, which the scanner has already found to be one. */
export function decodeJsonString(body: Buffer, { start, end }: Pick<JsonRange, 'start' | 'end'>): string {
  const text = body.toString('utf8', start + 1, end - 1);
  return text.includes('\\') ? (JSON.parse(body.toString('utf8', start, end)) as string) : text;
}

const openBrace = 0x7b;
const openBracket = 0x5b;
const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const colon = 0x3a;

/** 1 where a run of plain string bytes stops: the quote, the backslash and control characters. */
const stopsString = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte < 0x20 || byte === quote || byte === backslash ? 1 : 0,
);

/** Bodies are mostly written without spaces. Never reads behind the end, which makes a typed array slow. */
function skipSpace(body: Buffer, from: number): number {
  return from < body.length && body[from]! > 0x20 ? from : skipSpaces(body, from);
}

function skipSpaces(body: Buffer, from: number): number {
  let at = from;
  while (at < body.length) {
    const byte = body[at]!;
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
    at += 1;
  }
  return at;
}

/** `true`, `false` or `null`. */
function isLiteralStart(byte: number): boolean {
  return byte === 0x74 || byte === 0x66 || byte === 0x6e;
}

/** Of the value that begins there. */
export function typeAt(body: Buffer, at: number): JsonType {
  const byte = body[at];
  switch (byte) {
    case openBrace:
      return 'object';
    case openBracket:
      return 'array';
    case quote:
      return 'string';
    case 0x74:
    case 0x66:
      return 'boolean';
    case 0x6e:
      return 'null';
    default:
      if (byte === 0x2d || isDigit(byte)) return 'number';
      throw new JsonSyntaxError(body, at, 'a JSON value');
  }
}

function readKey(body: Buffer, view: DataView, at: number, expected: string): number {
  if (at >= body.length || body[at] !== quote) fail(body, at, expected);
  return readString(body, view, at);
}

function readColon(body: Buffer, from: number): number {
  const at = skipSpace(body, from);
  if (at >= body.length || body[at] !== colon) fail(body, at, '":"');
  return skipSpace(body, at + 1);
}

/** Apart, so that what calls it stays small. */
function fail(body: Buffer, at: number, expected: string): never {
  throw new JsonSyntaxError(body, at, expected);
}

/** From the opening quote to behind the closing one. Small enough to be inlined; the rest is rare. */
function readString(body: Buffer, view: DataView, open: number): number {
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

/** RFC 8259 section 6: no leading zeros or plus sign, digits on both sides of the point. */
function readNumber(body: Buffer, from: number): number {
  let at = from;
  if (body[at] !== 0x2d && !isDigit(body[at])) throw new JsonSyntaxError(body, at, 'a JSON value');
  if (body[at] === 0x2d) at += 1;
  if (body[at] === 0x30) at += 1;
  else at = readDigits(body, at);
  if (body[at] === 0x2e) at = readDigits(body, at + 1);
  if (body[at] === 0x65 || body[at] === 0x45) {
    at += 1;
    if (body[at] === 0x2b || body[at] === 0x2d) at += 1;
    at = readDigits(body, at);
  }
  return at;
}

function readDigits(body: Buffer, from: number): number {
  let at = from;
  while (isDigit(body[at])) at += 1;
  if (at === from) throw new JsonSyntaxError(body, at, 'a digit');
  return at;
}

function readLiteral(body: Buffer, at: number): number {
  const word = body[at] === 0x74 ? 'true' : body[at] === 0x66 ? 'false' : 'null';
  for (let index = 1; index < word.length; index += 1) {
    if (body[at + index] !== word.charCodeAt(index)) {
      throw new JsonSyntaxError(body, at + index, `"${word}"`);
    }
  }
  return at + word.length;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

function isHexDigit(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  const lower = byte | 0x20;
  return isDigit(byte) || (lower >= 0x61 && lower <= 0x66);
}

/** Keys, which are the same in most bodies. */
const memberNames = new KnownTexts(32, (bytes, start, end) => decodeJsonString(bytes, { start, end }));

/** The key in these quotes, if it is asked for. */
export function wantedKey(
  body: Buffer,
  start: number,
  end: number,
  keys: ReadonlySet<string> | undefined,
): string | undefined {
  const key = memberNames.at(body, start, end);
  return keys === undefined || keys.has(key) ? key : undefined;
}

function describeByte(body: Buffer, at: number): string {
  const byte = body[at];
  if (byte === undefined) return 'the end of the body';
  if (byte > 0x20 && byte < 0x7f) return JSON.stringify(String.fromCharCode(byte));
  return `byte 0x${byte.toString(16).padStart(2, '0')}`;
}

function placeOf(body: Buffer, offset: number): { line: number; column: number } {
  let line = 1;
  let column = 1;
  for (let at = 0; at < offset; at += 1) {
    const byte = body[at]!;
    if (byte === 0x0a) {
      line += 1;
      column = 1;
    } else if ((byte & 0xc0) !== 0x80) {
      column += 1; // continuation bytes belong to a character already counted
    }
  }
  return { line, column };
}

/** Where the longest valid prefix ends. Only for messages: halves the body, as `isUtf8` tells no place. */
function firstInvalidUtf8(body: Buffer): number {
  let low = 0;
  let high = body.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (isUtf8(body.subarray(0, cutBeforeCharacter(body, middle)))) low = middle;
    else high = middle - 1;
  }
  return cutBeforeCharacter(body, low);
}

/** Moves a cut that would divide a character to before it. */
function cutBeforeCharacter(body: Buffer, cut: number): number {
  let at = cut;
  while (at > 0 && cut - at < 3 && at < body.length && (body[at]! & 0xc0) === 0x80) at -= 1;
  return at;
}
