import { emptyPrefix, type PrefixHashes } from '../scheduling/inference-request.ts';

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
 * Two 32-bit lanes, because BigInt is some hundred times slower. Each lane takes every word by its own
 * invertible step; at the end of a block the lanes are mixed into each other, invertibly again. The result is
 * 64 bits that are not safe against an attacker who wants collisions: one can cost a cache hit, no more.
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
  if (count <= 0) return { ...emptyPrefix, blockTokens };

  const low = new Uint32Array(count);
  const high = new Uint32Array(count);
  let a = seedLane(seed, blockTokens, 0x811c9dc5);
  let b = seedLane(seed, blockTokens, 0x9747b28c);
  let block = 0;
  let wordsLeft = blockTokens;
  // Bytes of a word that is cut by the end of a part, little-endian, and how many there are (0 to 3).
  let carry = 0;
  let carried = 0;

  for (const part of parts) {
    let at = 0;
    const view = new DataView(part.buffer, part.byteOffset, part.byteLength);
    while (block < count) {
      if (carried === 0 && at + 4 <= part.length) {
        // The words that lie whole in this part and this block.
        const end = at + 4 * Math.min(wordsLeft, (part.length - at) >>> 2);
        wordsLeft -= (end - at) >>> 2;
        for (; at < end; at += 4) {
          const word = view.getInt32(at, true);
          a = Math.imul(a ^ word, 0x85ebca6b);
          a = (a << 13) | (a >>> 19);
          b = Math.imul((b + word) | 0, 0xc2b2ae35);
          b = (b << 17) | (b >>> 15);
        }
      } else {
        while (carried < 4 && at < part.length) carry |= part[at++]! << (8 * carried++);
        if (carried < 4) break;
        a = Math.imul(a ^ carry, 0x85ebca6b);
        a = (a << 13) | (a >>> 19);
        b = Math.imul((b + carry) | 0, 0xc2b2ae35);
        b = (b << 17) | (b >>> 15);
        carry = 0;
        carried = 0;
        wordsLeft--;
      }
      if (wordsLeft > 0) continue;
      a = avalanche(a ^ ((b << 16) | (b >>> 16)));
      b = avalanche((b + Math.imul(a, 0x9e3779b1)) | 0);
      low[block] = a;
      high[block] = b;
      block++;
      wordsLeft = blockTokens;
    }
  }
  return { count, low, high, blockTokens };
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
