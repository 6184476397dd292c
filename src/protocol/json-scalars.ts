/** Numbers and literals in JSON text: where one ends. */
import { JsonSyntaxError } from './json-syntax-error.ts';

/** `true`, `false` or `null`. */
export function isLiteralStart(byte: number): boolean {
  return byte === 0x74 || byte === 0x66 || byte === 0x6e;
}

/** RFC 8259 section 6: no leading zeros or plus sign, digits on both sides of the point. */
export function readNumber(body: Buffer, from: number): number {
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

export function readLiteral(body: Buffer, at: number): number {
  const word = body[at] === 0x74 ? 'true' : body[at] === 0x66 ? 'false' : 'null';
  for (let index = 1; index < word.length; index += 1) {
    if (body[at + index] !== word.charCodeAt(index)) {
      throw new JsonSyntaxError(body, at + index, `"${word}"`);
    }
  }
  return at + word.length;
}

export function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}
