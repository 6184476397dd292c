/**
 * `hashRun` of prefix-index/hash-run.ts, where the arithmetic is explained, for blocks of whole groups of four words at
 * `bodyAt`. Four blocks at a time: their groups side by side, then their lanes transposed and tied together.
 */
import { bodyAt, highAt, lowAt, mostBlocks, resultAt, room } from './layout';

/** Odd, so that multiplying can be undone; of MurmurHash3. */
const factor: i32 = 0x85ebca6b;
const otherFactor: i32 = 0xc2b2ae35;

/** Hashes go to `lowAt` and `highAt`, the chain's lanes to `resultAt`. False where there is no room. */
export function hashBlocks(blocks: i32, groups: i32, chainLow: i32, chainHigh: i32): bool {
  if (blocks < 0 || blocks > mostBlocks || groups < 1 || groups > 1 << 20) return false;
  const blockBytes = <usize>groups << 4;
  if (<u64>blocks * <u64>blockBytes > <u64>room()) return false;
  let a = chainLow;
  let b = chainHigh;
  for (let block = 0; block < blocks; block += 4) {
    const left = blocks - block;
    const first = bodyAt + <usize>block * blockBytes;
    // Where fewer than four are left, the last is read again.
    const second = left > 1 ? first + blockBytes : first;
    const third = left > 2 ? second + blockBytes : second;
    const fourth = left > 3 ? third + blockBytes : third;
    let a0 = i32x4(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    let b0 = i32x4(0xa4093822, 0x299f31d0, 0x082efa98, 0xec4e6c89);
    let b1 = b0;
    let b2 = b0;
    let b3 = b0;
    for (let at: usize = 0; at < blockBytes; at += 16) {
      a0 = step(a0, v128.load(first + at));
      a1 = step(a1, v128.load(second + at));
      a2 = step(a2, v128.load(third + at));
      a3 = step(a3, v128.load(fourth + at));
      b0 = sum(b0, a0);
      b1 = sum(b1, a1);
      b2 = sum(b2, a2);
      b3 = sum(b3, a3);
    }
    const tiedLow = tieAcross(a0, a1, a2, a3, true);
    const tiedHigh = tieAcross(b0, b1, b2, b3, false);
    const digestLow = finish(v128.xor(tiedLow, swapHalves(tiedHigh)));
    const digestHigh = finish(i32x4.add(tiedHigh, digestLow));
    const low = lowAt + (<usize>block << 2);
    const high = highAt + (<usize>block << 2);
    v128.store(low, digestLow);
    v128.store(high, digestHigh);
    const end: usize = left < 4 ? <usize>left << 2 : 16;
    for (let at: usize = 0; at < end; at += 4) {
      a = (a ^ load<i32>(low + at) ^ rotl<i32>(b, 16)) * factor;
      b = (b + load<i32>(high + at) + rotl<i32>(a, 13)) * otherFactor;
      store<i32>(low + at, a ^ (a >>> 15));
      store<i32>(high + at, b ^ (b >>> 15));
    }
  }
  store<i32>(resultAt, a);
  store<i32>(resultAt, b, 4);
  return true;
}

@inline
function step(lane: v128, words: v128): v128 {
  const mixed = i32x4.mul(v128.xor(lane, words), i32x4.splat(factor));
  return v128.xor(mixed, i32x4.shr_u(mixed, 15));
}

@inline
function sum(lane: v128, mixed: v128): v128 {
  return i32x4.add(i32x4.add(lane, i32x4.shl(lane, 5)), mixed);
}

// Of four blocks with four lanes each: one number for each block.

@inline
function tieAcross(first: v128, second: v128, third: v128, fourth: v128, isLow: bool): v128 {
  const front12 = v128.shuffle<u32>(first, second, 0, 4, 1, 5);
  const front34 = v128.shuffle<u32>(third, fourth, 0, 4, 1, 5);
  const back12 = v128.shuffle<u32>(first, second, 2, 6, 3, 7);
  const back34 = v128.shuffle<u32>(third, fourth, 2, 6, 3, 7);
  const lane0 = v128.shuffle<u64>(front12, front34, 0, 2);
  const lane1 = v128.shuffle<u64>(front12, front34, 1, 3);
  const lane2 = v128.shuffle<u64>(back12, back34, 0, 2);
  const lane3 = v128.shuffle<u64>(back12, back34, 1, 3);
  return isLow
    ? tie(lane0, lane1, lane2, lane3, i32x4.splat(otherFactor))
    : tie(lane3, lane1, lane2, lane0, i32x4.splat(factor));
}

@inline
function tie(lane0: v128, lane1: v128, lane2: v128, lane3: v128, by: v128): v128 {
  const front = v128.xor(i32x4.mul(lane0, by), lane1);
  const back = v128.xor(i32x4.mul(lane2, by), lane3);
  return v128.xor(i32x4.mul(v128.xor(front, i32x4.shr_u(front, 15)), by), back);
}

@inline
function finish(digest: v128): v128 {
  const mixed = i32x4.mul(v128.xor(digest, i32x4.shr_u(digest, 16)), i32x4.splat(factor));
  return v128.xor(mixed, i32x4.shr_u(mixed, 15));
}

@inline
function swapHalves(words: v128): v128 {
  return v128.or(i32x4.shl(words, 16), i32x4.shr_u(words, 16));
}
