import type { PrefixHashes } from '../scheduling/inference-request.ts';
import { simdCode } from '../simd/index.ts';
import { hashRun } from './hash-run.ts';

export interface BlockHashOptions {
  /** Tokens per block, at least 1. */
  readonly blockTokens: number;
  /** Tokens that are hashed, at most; the rest of a long prompt has no hashes. */
  readonly maxTokens: number;
}

/** Bytes that stand for one token where no tokenizer has counted. */
const bytesPerToken = 4;

/**
 * Hashes of the leading full blocks of a text, each over its block and all before it, so that equal hashes
 * mean equal prefixes. `parts` are read as one text; where they are cut makes no difference. `seed` parts
 * what must never match: models, adapters, cache salts; so does `blockTokens`.
 *
 * Two 32-bit lanes, because BigInt is some hundred times slower (hash-run.ts). The 64 bits are not safe against someone
 * who wants collisions; what a collision costs is a cache hit that does not come.
 */
export function hashBlocks(
  seed: string,
  parts: readonly Uint8Array[],
  { blockTokens, maxTokens }: BlockHashOptions,
  run: typeof hashRun = hashRunFast,
): PrefixHashes {
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  const blockBytes = blockTokens * bytesPerToken;
  const count = Math.min(Math.floor(bytes / blockBytes), Math.floor(maxTokens / blockTokens));
  const low = newLane(count);
  const high = newLane(count);
  const chain = {
    low: seedLane(seed, blockTokens, 0x811c9dc5),
    high: seedLane(seed, blockTokens, 0x9747b28c),
  };
  let block = 0;
  // A block that is cut by the end of a part, and how much of it has been read.
  let cut: Uint8Array | undefined;
  let cutBytes = 0;
  for (const part of parts) {
    let at = 0;
    if (cutBytes > 0) {
      at = Math.min(part.length, blockBytes - cutBytes);
      cut!.set(part.subarray(0, at), cutBytes);
      cutBytes += at;
      if (cutBytes < blockBytes) continue;
      run(cut!, 0, 1, blockTokens, chain, low, high, block);
      block++;
      cutBytes = 0;
    }
    const blocks = Math.min(count - block, Math.floor((part.length - at) / blockBytes));
    if (blocks > 0) run(part, at, blocks, blockTokens, chain, low, high, block);
    block += blocks;
    if (block === count) break;
    at += blocks * blockBytes;
    cutBytes = part.length - at;
    if (cutBytes === 0) continue;
    cut ??= new Uint8Array(blockBytes);
    cut.set(part.subarray(at));
  }
  return { count, low, high, blockTokens };
}

/** Fewer blocks are hashed before SIMD code has been called. */
const leastSimdBlocks = 4;

const hashRunFast: typeof hashRun = (bytes, from, blocks, blockWords, chain, low, high, first) => {
  const code = blocks < leastSimdBlocks ? undefined : simdCode();
  if (code?.hashBlocks(bytes, from, blocks, blockWords, chain, low, high, first) === true) return;
  hashRun(bytes, from, blocks, blockWords, chain, low, high, first);
};

/** Room for the lanes of many prompts: memory of its own for each would cost as much as its hashes. */
const slabLength = 4096;
let slab = new Uint32Array(0);
let slabUsed = 0;

function newLane(length: number): Uint32Array {
  if (length > slabLength / 4) return new Uint32Array(length);
  if (slabUsed + length > slab.length) {
    slab = new Uint32Array(slabLength);
    slabUsed = 0;
  }
  slabUsed += length;
  return slab.subarray(slabUsed - length, slabUsed);
}

/** FNV-1a over the seed's UTF-16 units, from a start of each lane's own. */
function seedLane(seed: string, blockTokens: number, start: number): number {
  let lane = start ^ blockTokens;
  for (let i = 0; i < seed.length; i++) lane = Math.imul(lane ^ seed.charCodeAt(i), 0x01000193);
  return avalanche(lane ^ seed.length);
}

/** The finaliser of MurmurHash3: invertible, every input bit reaches every output bit. */
function avalanche(lane: number): number {
  let mixed = Math.imul(lane ^ (lane >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
