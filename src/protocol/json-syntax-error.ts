import { isUtf8 } from 'node:buffer';

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
export function firstInvalidUtf8(body: Buffer): number {
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
