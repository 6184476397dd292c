// Where a key or value lies in device memory. Pages of 16 tokens, [page][kv head][16][d], d padded to 64, 128 or
// 256 channels, so that the tokens of a page and head are one stretch of memory. Within it, the 16-byte chunk c of
// token t lies at c ^ swizzle(t): matrix loads of 8 tokens then touch all 32 banks of shared memory, and a page is
// copied there as it is.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#define PM_BOTH __host__ __device__ __forceinline__
#else
#define PM_BOTH inline
#endif

namespace pm::cuda {

constexpr int kPageTokens = 16;

// Element types of a KV cache.
enum class KvType : int { Bf16, E4m3 };

PM_BOTH constexpr int bytesOf(KvType type) { return type == KvType::Bf16 ? 2 : 1; }

// Channels of a head in memory; those beyond the head's own are zero. 0: too many.
PM_BOTH constexpr int paddedHead(int headDim) { return headDim <= 64 ? 64 : headDim <= 128 ? 128 : headDim <= 256 ? 256 : 0; }

// Bytes of a line in rows of `rowBytes`.
PM_BOTH constexpr int lineBytes(int rowBytes) { return rowBytes < 128 ? rowBytes : 128; }

// Two lines of 64 bytes share a line of banks.
PM_BOTH constexpr int swizzle(int token, int rowBytes) { return rowBytes >= 128 ? token & 7 : token >> 1 & 3; }

// Bytes from the start of a tile to chunk 2 * pair + odd of a token. A `pair` known to the compiler costs nothing.
PM_BOTH constexpr int chunkOffset(int token, int pair, int odd, int rowBytes) {
  const int line = lineBytes(rowBytes), pairs = line / 32;
  return pair / pairs * kPageTokens * line + token * line + (((pair % pairs * 2 + odd) ^ swizzle(token, rowBytes)) << 4);
}

// Bytes from the start of a (page, head) tile to a channel of a token.
PM_BOTH constexpr int offsetInTile(int token, int channel, int paddedHeadDim, KvType type) {
  const int at = channel * bytesOf(type);
  return chunkOffset(token, at / 32, at / 16 % 2, paddedHeadDim * bytesOf(type)) + at % 16;
}

PM_BOTH constexpr size_t tileBytes(int paddedHeadDim, KvType type) { return (size_t)kPageTokens * paddedHeadDim * bytesOf(type); }

// Bytes from the start of a layer's keys or values to the tile of a page and head.
PM_BOTH constexpr size_t tileOffset(size_t page, int kvHead, int kvHeads, int paddedHeadDim, KvType type) {
  return (page * kvHeads + kvHead) * tileBytes(paddedHeadDim, type);
}

}  // namespace pm::cuda
