/**
 * What `scanJson` does, in JavaScript: what SIMD code is compared with, what runs where there is none, and what tells
 * where a text is wrong. Accepts exactly what `JSON.parse` accepts, up to the depth limit. One pass, some 0.4 to 3 ns a
 * byte, by how long the strings are.
 */
import { isUtf8 } from 'node:buffer';
import { isDigit, isLiteralStart, readLiteral, readNumber } from './json-scalars.ts';
import { decodeJsonString, readString } from './json-strings.ts';
import { firstInvalidUtf8, JsonSyntaxError } from './json-syntax-error.ts';
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

const openBrace = 0x7b;
const openBracket = 0x5b;
const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;

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
