/**
 * The arithmetic of block hashes. A block is read as little-endian words of 32 bits and reduced to a digest of its own,
 * so that blocks can be worked on side by side; only the digests go through the chain, one after the other:
 *
 *     words 0 4 8 ..  ─▶ a0, b0 ┐
 *     words 1 5 9 ..  ─▶ a1, b1 ├─ tie ─▶ digest ─▶ chain ─▶ hash of this block and all before it
 *     words 2 6 10 .. ─▶ a2, b2 │                     │
 *     words 3 7 11 .. ─▶ a3, b3 ┘                     ▼ next block
 *
 * Each step can be undone, given the word: lanes differ where one word does. `b` is a weighted sum of what `a` goes
 * through: where two ways of `a` meet again, the sums still differ. SIMD code does the same (src/simd/assembly).
 */
import type { HashChain } from '../simd/index.ts';

/** Odd, so that multiplying can be undone; of MurmurHash3. */
const factor = 0x85ebca6b;
const otherFactor = 0xc2b2ae35;

/** Where the lanes of every block begin: digits of pi. */
const start0 = 0x243f6a88;
const start1 = 0x85a308d3;
const start2 = 0x13198a2e;
const start3 = 0x03707344;
const start4 = 0xa4093822;
const start5 = 0x299f31d0;
const start6 = 0x082efa98;
const start7 = 0xec4e6c89;

/**
 * Hashes `blocks` blocks of `blockWords` words each, from byte `from` on; their hashes go to `low` and `high` from index
 * `first` on. `chain` comes from the block before and goes on to the next.
 */
export function hashRun(
  bytes: Uint8Array,
  from: number,
  blocks: number,
  blockWords: number,
  chain: HashChain,
  low: Uint32Array,
  high: Uint32Array,
  first: number,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset + from, 4 * blockWords * blocks);
  const groupBytes = (blockWords >>> 2) << 4;
  const rest = blockWords & 3;
  let a = chain.low;
  let b = chain.high;
  let at = 0;
  for (let block = first; block < first + blocks; block++) {
    let a0 = start0 | 0;
    let a1 = start1 | 0;
    let a2 = start2 | 0;
    let a3 = start3 | 0;
    let b0 = start4 | 0;
    let b1 = start5 | 0;
    let b2 = start6 | 0;
    let b3 = start7 | 0;
    for (const end = at + groupBytes; at < end; at += 16) {
      a0 = step(a0, view.getInt32(at, true));
      a1 = step(a1, view.getInt32(at + 4, true));
      a2 = step(a2, view.getInt32(at + 8, true));
      a3 = step(a3, view.getInt32(at + 12, true));
      b0 = sum(b0, a0);
      b1 = sum(b1, a1);
      b2 = sum(b2, a2);
      b3 = sum(b3, a3);
    }
    if (rest > 0) {
      a0 = step(a0, view.getInt32(at, true));
      b0 = sum(b0, a0);
    }
    if (rest > 1) {
      a1 = step(a1, view.getInt32(at + 4, true));
      b1 = sum(b1, a1);
    }
    if (rest > 2) {
      a2 = step(a2, view.getInt32(at + 8, true));
      b2 = sum(b2, a2);
    }
    at += 4 * rest;

    const tiedLow = tie(a0, a1, a2, a3, otherFactor);
    const tiedHigh = tie(b3, b1, b2, b0, factor);
    const digestLow = finish(tiedLow ^ ((tiedHigh << 16) | (tiedHigh >>> 16)));
    const digestHigh = finish((tiedHigh + digestLow) | 0);
    a = Math.imul(a ^ digestLow ^ ((b << 16) | (b >>> 16)), factor);
    b = Math.imul((b + digestHigh + ((a << 13) | (a >>> 19))) | 0, otherFactor);
    low[block] = a ^ (a >>> 15);
    high[block] = b ^ (b >>> 15);
  }
  chain.low = a;
  chain.high = b;
}

/** `b` of 33 times `b` and what `a` is now: a plain sum would not tell some differences of one bit in three words. */
function sum(lane: number, mixed: number): number {
  return (lane + (lane << 5) + mixed) | 0;
}

function step(lane: number, word: number): number {
  const mixed = Math.imul(lane ^ word, factor);
  return mixed ^ (mixed >>> 15);
}

/** Four lanes become one number; each order and factor is another way to do it. */
function tie(lane0: number, lane1: number, lane2: number, lane3: number, by: number): number {
  const front = Math.imul(lane0, by) ^ lane1;
  const back = Math.imul(lane2, by) ^ lane3;
  return Math.imul(front ^ (front >>> 15), by) ^ back;
}

function finish(digest: number): number {
  const mixed = Math.imul(digest ^ (digest >>> 16), factor);
  return mixed ^ (mixed >>> 15);
}
