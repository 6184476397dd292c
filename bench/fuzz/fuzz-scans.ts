import { isUtf8 } from 'node:buffer';
import { hashRun } from '../../src/prefix-index/hash-run.ts';
import { type JsonScan, scanJsonPlainly } from '../../src/protocol/json-reference.ts';
import { decodeJsonString } from '../../src/protocol/json-scan.ts';
import { JsonSyntaxError } from '../../src/protocol/json-syntax-error.ts';
import type { SimdCode } from '../../src/simd/index.ts';
import { type Dice, diceOf } from './dice.ts';
import type { FuzzFailure, FuzzOptions } from './fuzz-http2.ts';
import { bodyToScan } from './scan-bodies.ts';

/** Gives bodies to SIMD code and to JavaScript, which must find the same. */
export function fuzzScans({ seed, from, to, code }: FuzzOptions & { readonly code: SimdCode }): {
  readonly outcomes: ReadonlyMap<string, number>;
  readonly failures: readonly FuzzFailure[];
} {
  const outcomes = new Map<string, number>();
  const failures: FuzzFailure[] = [];
  for (let index = from; index < to; index++) {
    const dice = diceOf(seed, `scan ${index}`);
    const { kind, bytes } = bodyToScan(dice);
    const maxDepth = dice.chance(0.5) ? 256 : dice.below(6);
    const plain = isUtf8(bytes) ? plainly(bytes, maxDepth) : undefined;
    const outcome = `${kind}: ${plain === undefined ? 'refused' : 'read'}`;
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    const faults = [
      ...scanFaults(code, bytes, maxDepth, plain),
      ...hashFaults(code, bytes, dice.below(1 << 16), 4 * (1 + dice.below(12)), dice),
    ];
    if (faults.length > 0)
      failures.push({ seed, index, kinds: [kind], faults, chunks: [bytes.toString('hex')] });
  }
  return { outcomes, failures };
}

function plainly(body: Buffer, maxDepth: number): JsonScan | undefined {
  try {
    return scanJsonPlainly(body, { maxDepth });
  } catch (error) {
    if (error instanceof JsonSyntaxError) return undefined;
    throw error;
  }
}

function scanFaults(code: SimdCode, body: Buffer, maxDepth: number, plain: JsonScan | undefined): string[] {
  let found: ReturnType<SimdCode['scanJson']>;
  try {
    found = code.scanJson(body, maxDepth);
  } catch (error) {
    return [`the scan threw ${error}`];
  }
  if (plain === undefined) return found === undefined || !isUtf8(body) ? [] : ['read what is refused'];
  if (found === undefined) return ['refused what is read'];
  const members = new Map<string, string>();
  for (let at = 0; at < 4 * found.members; at += 4) {
    const [keyStart, keyEnd, start, end] = found.places.subarray(at, at + 4) as unknown as number[];
    members.set(decodeJsonString(body, { start: keyStart!, end: keyEnd! }), `${start} ${end}`);
  }
  const told = [found.start, found.end, found.longestString, ...[...members].flat()].join(' ');
  const expected = [...plain.members].map(([key, { start, end }]) => `${key} ${start} ${end}`);
  const all = [plain.start, plain.end, plain.longestString, ...expected].join(' ');
  return told === all ? [] : [`expected ${all}, found ${told}`];
}

function hashFaults(code: SimdCode, body: Buffer, start: number, blockWords: number, dice: Dice): string[] {
  const [from, first] = [Math.min(body.length, dice.below(20)), dice.below(4)];
  const blocks = Math.floor((body.length - from) / (4 * blockWords));
  const lanes = () => ({
    chain: { low: start, high: ~start },
    low: new Uint32Array(first + blocks),
    high: new Uint32Array(first + blocks),
  });
  const [plain, simd] = [lanes(), lanes()];
  hashRun(body, from, blocks, blockWords, plain.chain, plain.low, plain.high, first);
  code.hashBlocks(body, from, blocks, blockWords, simd.chain, simd.low, simd.high, first);
  return JSON.stringify(plain) === JSON.stringify(simd) ? [] : [`${blocks} blocks have other hashes`];
}
