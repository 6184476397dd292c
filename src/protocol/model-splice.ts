/** Changes the model that a body names, and not one other byte of it. */
import type { JsonRange, JsonScan } from './json-scan.ts';

/**
 * The body with another model, as pieces: the bytes before, the name, the bytes after. A body without a model gets
 * one as its first member. `scan` must be of an object.
 */
export function spliceModel(
  body: Buffer,
  scan: JsonScan,
  range: JsonRange | undefined,
  model: string,
): readonly Buffer[] {
  const name = JSON.stringify(model);
  if (range !== undefined) {
    return [body.subarray(0, range.start), Buffer.from(name), body.subarray(range.end)];
  }
  const afterBrace = scan.start + 1;
  const member = `"model":${name}${isEmptyObject(body, afterBrace) ? '' : ','}`;
  return [body.subarray(0, afterBrace), Buffer.from(member), body.subarray(afterBrace)];
}

function isEmptyObject(body: Buffer, afterBrace: number): boolean {
  let at = afterBrace;
  while (body[at] === 0x20 || body[at] === 0x0a || body[at] === 0x0d || body[at] === 0x09) at += 1;
  return body[at] === 0x7d;
}
