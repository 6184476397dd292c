import type { PrefixHashes } from '../scheduling/inference-request.ts';

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
 * Two 32-bit lanes, because BigInt is some hundred times slower. Every word
 * enters both by different invertible steps; at the end of a block they are mixed into each other. The 64 bits
 * are not safe against someone who wants collisions; what a collision costs is a cache hit that does not come.
 */
export function hashBlocks(
  seed: string,
  parts: readonly Uint8Array[],
  { blockTokens, maxTokens }: BlockHashOptions,
): PrefixHashes {
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  const blockBytes = blockTokens * bytesPerToken;
  const count = Math.min(Math.floor(bytes / blockBytes), Math.floor(maxTokens / blockTokens));
  const low = newLane(count);
  const high = newLane(count);
  // Lanes of even words (a0, b0) and of odd words (a1, b1): two chains that the processor runs side by side.
  let a0 = seedLane(seed, blockTokens, 0x811c9dc5);
  let b0 = seedLane(seed, blockTokens, 0x9747b28c);
  let a1 = ~a0;
  let b1 = ~b0;
  let block = 0;
  let wordsLeft = blockTokens;
  // Bytes of a word that is cut by the end of a part, little-endian, and how many there are (0 to 3).
  let carry = 0;
  let carried = 0;

  for (const part of parts) {
    let at = 0;
    const view = new DataView(part.buffer, part.byteOffset, part.byteLength);
    while (block < count) {
      if (carried === 0) {
        const pairs = Math.min(wordsLeft, (part.length - at) >>> 2) >>> 1;
        wordsLeft -= 2 * pairs;
        for (const end = at + 8 * pairs; at < end; at += 8) {
          const even = view.getInt32(at, true);
          const odd = view.getInt32(at + 4, true);
          a0 = Math.imul(a0 ^ even, 0x85ebca6b);
          a1 = Math.imul(a1 ^ odd, 0x85ebca6b);
          b0 = Math.imul((b0 + even) | 0, 0xc2b2ae35);
          b1 = Math.imul((b1 + odd) | 0, 0xc2b2ae35);
          a0 = (a0 << 13) | (a0 >>> 19);
          a1 = (a1 << 13) | (a1 >>> 19);
          b0 = (b0 << 17) | (b0 >>> 15);
          b1 = (b1 << 17) | (b1 >>> 15);
        }
      }
      if (wordsLeft > 0) {
        // One word: cut by the end of a part, before such a cut, or the last of an odd block.
        while (carried < 4 && at < part.length) carry |= part[at++]! << (8 * carried++);
        if (carried < 4) break;
        const a = Math.imul(a0 ^ carry, 0x85ebca6b);
        const b = Math.imul((b0 + carry) | 0, 0xc2b2ae35);
        a0 = a1;
        b0 = b1;
        a1 = (a << 13) | (a >>> 19);
        b1 = (b << 17) | (b >>> 15);
        carry = 0;
        carried = 0;
        wordsLeft--;
        if (wordsLeft > 0) continue;
      }
      a0 = avalanche(a0 ^ avalanche(a1 ^ ((b0 << 16) | (b0 >>> 16))));
      b0 = avalanche(b0 ^ avalanche((b1 + a0) | 0));
      low[block] = a0;
      high[block] = b0;
      a1 = ~a0;
      b1 = ~b0;
      block++;
      wordsLeft = blockTokens;
    }
  }
  return { count, low, high, blockTokens };
}

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
