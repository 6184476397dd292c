/**
 * Validates a JSON document (RFC 8259, UTF-8) in place and tells where the members of the top-level object lie,
 * without making any value; bodies are forwarded as they came, so nothing else needs to be known of them.
 */
import { isUtf8 } from 'node:buffer';
import { type SimdScan, simdCode } from '../simd/index.ts';
import {
  defaultMaxDepth,
  type JsonRange,
  type JsonScan,
  type JsonScanOptions,
  scanJsonPlainly,
  typeAt,
  wantedKey,
} from './json-reference.ts';

export type { JsonRange, JsonScan, JsonScanOptions, JsonType } from './json-reference.ts';
export { decodeJsonString } from './json-strings.ts';
export { JsonSyntaxError } from './json-syntax-error.ts';

/** Shorter bodies are scanned before SIMD code has been called. */
const leastSimdBytes = 128;

/** Throws `JsonSyntaxError`. */
export function scanJson(body: Buffer, options: JsonScanOptions = {}): JsonScan {
  if (body.length < leastSimdBytes || !isUtf8(body)) return scanJsonPlainly(body, options);
  const found = simdCode()?.scanJson(body, options.maxDepth ?? defaultMaxDepth);
  return found === undefined ? scanJsonPlainly(body, options) : withMembers(body, found, options.keys);
}

function withMembers(body: Buffer, found: SimdScan, keys: ReadonlySet<string> | undefined): JsonScan {
  const { start, end, longestString, places } = found;
  const members = new Map<string, JsonRange>();
  for (let at = 0; at < 4 * found.members; at += 4) {
    const key = wantedKey(body, places[at]!, places[at + 1]!, keys);
    if (key === undefined) continue;
    const valueStart = places[at + 2]!;
    members.set(key, { type: typeAt(body, valueStart), start: valueStart, end: places[at + 3]! });
  }
  return { type: typeAt(body, start), start, end, members, longestString };
}
