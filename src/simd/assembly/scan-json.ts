/**
 * `scanJson` of protocol/json-scan.ts for a body at `bodyAt`: accepts the same texts and tells the same places, but
 * neither keys nor errors. Sixteen bytes a step in strings. The zeros behind the body end every loop: no byte of JSON
 * outside of a string is zero, and in a string zero must be escaped.
 */
import { bodyAt, membersAt, mostDepth, mostMembers, openersAt, resultAt, room } from './layout';

/** The text is no JSON within the limits, or not UTF-8 aside. */
const refused: i32 = -1;
/** There is no room for what was asked. */
const tooMuch: i32 = -2;

/** The number of members of the top-level object that lie at `membersAt`, or `refused`, or `tooMuch`. */
export function scanJson(length: i32, maxDepth: i32): i32 {
  if (length < 0 || length > room() || maxDepth < 0 || maxDepth > mostDepth) return tooMuch;
  const end = bodyAt + <usize>length;
  memory.fill(end, 0, 64);
  let longestString: usize = 0;
  let depth: i32 = 0;
  let opener: u32 = 0;
  let members: i32 = 0;
  let keyStart: usize = 0;
  let keyEnd: usize = 0;
  let memberStart: usize = 0;
  const start = skipSpace(bodyAt);
  let at = start;
  while (true) {
    // A value starts at `at`, in an object after its key.
    if (opener == openBrace) {
      if (depth == 1) keyStart = at;
      at = readKey(at);
      if (at == 0) return refused;
      if (depth == 1) keyEnd = at;
      at = readColon(at);
      if (at == 0) return refused;
    }
    if (depth == 1) memberStart = at;
    const first: u32 = load<u8>(at);
    if (first == quote) {
      const open = at;
      at = readString(at);
      if (at == 0) return refused;
      if (at - open > longestString) longestString = at - open;
    } else if (first == openBrace || first == openBracket) {
      if (depth == maxDepth) return refused;
      at = skipSpace(at + 1);
      if (<u32>load<u8>(at) == first + 2) at += 1;
      else {
        depth += 1;
        store<u8>(openersAt + depth, <u8>first);
        opener = first;
        continue;
      }
    } else {
      at = isDigit(first) || first == minus ? readNumber(at) : readLiteral(at, first);
      if (at == 0) return refused;
    }

    // A value ended at `at`: close containers until one goes on.
    while (true) {
      if (depth == 0) {
        if (skipSpace(at) != end) return refused;
        store<i32>(resultAt, <i32>(start - bodyAt));
        store<i32>(resultAt, <i32>(at - bodyAt), 4);
        store<i32>(resultAt, <i32>longestString, 8);
        return members;
      }
      if (depth == 1 && opener == openBrace) {
        if (members == mostMembers) return tooMuch;
        const entry = membersAt + (<usize>members << 4);
        store<i32>(entry, <i32>(keyStart - bodyAt));
        store<i32>(entry, <i32>(keyEnd - bodyAt), 4);
        store<i32>(entry, <i32>(memberStart - bodyAt), 8);
        store<i32>(entry, <i32>(at - bodyAt), 12);
        members += 1;
      }
      at = skipSpace(at);
      const byte: u32 = load<u8>(at);
      if (byte == comma) {
        at = skipSpace(at + 1);
        break;
      }
      // Both closing brackets come two after their opening ones in ASCII.
      if (byte != opener + 2) return refused;
      depth -= 1;
      opener = load<u8>(openersAt + depth);
      at += 1;
    }
  }
}

const openBrace: u32 = 0x7b;
const openBracket: u32 = 0x5b;
const quote: u32 = 0x22;
const backslash: u32 = 0x5c;
const comma: u32 = 0x2c;
const colon: u32 = 0x3a;
const minus: u32 = 0x2d;

// All of these return the place behind what they read, or 0.

@inline
function skipSpace(at: usize): usize {
  return load<u8>(at) > 0x20 ? at : skipSpaces(at);
}

/** Indentation sixteen bytes at a time. */
function skipSpaces(from: usize): usize {
  let at = from;
  while (true) {
    const byte: u32 = load<u8>(at);
    if (byte == 0x20) {
      const others = i8x16.bitmask(i8x16.ne(v128.load(at), i8x16.splat(0x20)));
      at += others != 0 ? <usize>ctz(others) : 16;
    } else if (byte == 0x0a || byte == 0x0d || byte == 0x09) at += 1;
    else return at;
  }
}

@inline
function readKey(at: usize): usize {
  return <u32>load<u8>(at) == quote ? readString(at) : 0;
}

@inline
function readColon(from: usize): usize {
  const at = skipSpace(from);
  return <u32>load<u8>(at) == colon ? skipSpace(at + 1) : 0;
}

@inline
function readString(open: usize): usize {
  const at = skipPlain(open + 1);
  return <u32>load<u8>(at) == quote ? at + 1 : readRestOfString(at);
}

function readRestOfString(from: usize): usize {
  let at = from;
  while (true) {
    const byte: u32 = load<u8>(at);
    if (byte == quote) return at + 1;
    if (byte != backslash) return 0;
    at = readEscape(at);
    if (at == 0) return 0;
    at = skipPlain(at);
  }
}

/** To the next quote, backslash or control character. */
@inline
function skipPlain(from: usize): usize {
  const stops = i8x16.bitmask(stopsIn(v128.load(from)));
  return stops != 0 ? from + ctz(stops) : skipLongPlain(from + 16);
}

/** A line's length one by one, then four vectors for each test. */
function skipLongPlain(from: usize): usize {
  let at = from;
  for (const line = from + 80; at < line; at += 16) {
    const stops = i8x16.bitmask(stopsIn(v128.load(at)));
    if (stops != 0) return at + ctz(stops);
  }
  while (
    !v128.any_true(
      v128.or(
        v128.or(stopsIn(v128.load(at)), stopsIn(v128.load(at, 16))),
        v128.or(stopsIn(v128.load(at, 32)), stopsIn(v128.load(at, 48))),
      ),
    )
  )
    at += 64;
  while (true) {
    const stops = i8x16.bitmask(stopsIn(v128.load(at)));
    if (stops != 0) return at + ctz(stops);
    at += 16;
  }
}

@inline
function stopsIn(bytes: v128): v128 {
  return v128.or(
    v128.or(i8x16.eq(bytes, i8x16.splat(0x22)), i8x16.eq(bytes, i8x16.splat(0x5c))),
    i8x16.le_u(bytes, i8x16.splat(0x1f)),
  );
}

function readEscape(at: usize): usize {
  const byte: u32 = load<u8>(at, 1);
  switch (byte) {
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
      return isHexDigit(load<u8>(at, 2)) &&
        isHexDigit(load<u8>(at, 3)) &&
        isHexDigit(load<u8>(at, 4)) &&
        isHexDigit(load<u8>(at, 5))
        ? at + 6
        : 0;
    default:
      return 0;
  }
}

function readNumber(from: usize): usize {
  let at = from;
  if (<u32>load<u8>(at) == minus) at += 1;
  if (load<u8>(at) == 0x30) at += 1;
  else {
    at = readDigits(at);
    if (at == 0) return 0;
  }
  if (load<u8>(at) == 0x2e) {
    at = readDigits(at + 1);
    if (at == 0) return 0;
  }
  if ((load<u8>(at) | 0x20) == 0x65) {
    at += 1;
    const sign = load<u8>(at);
    if (sign == 0x2b || sign == 0x2d) at += 1;
    at = readDigits(at);
  }
  return at;
}

function readDigits(from: usize): usize {
  let at = from;
  while (isDigit(load<u8>(at))) at += 1;
  return at == from ? 0 : at;
}

/** `true`, `false` or `null`, compared as numbers, little-endian. */
function readLiteral(at: usize, first: u32): usize {
  if (first == 0x74) return load<u32>(at) == 0x65757274 ? at + 4 : 0;
  if (first == 0x66) return load<u32>(at, 1) == 0x65736c61 ? at + 5 : 0;
  if (first == 0x6e) return load<u32>(at) == 0x6c6c756e ? at + 4 : 0;
  return 0;
}

@inline
function isDigit(byte: u32): bool {
  return byte - 0x30 < 10;
}

@inline
function isHexDigit(byte: u32): bool {
  return isDigit(byte) || (byte | 0x20) - 0x61 < 6;
}
