// What happens to q, k and v between their projection and attention.
#pragma once

#include "dtype.h"

namespace pm {

// Pages of one layer, 16 tokens each. Keys keep the token as the fastest index, so that the scores of a page
// are one Vec; values keep the channel as the fastest index, so that the weighted sum is made of Vecs.
//
// In BF16 two channels of a key stand together, and so do a channel's values of two tokens: a page is tiles of B as
// it stands (amx.h), and a line is two Vecs without a permutation.
//
// I8: a token's keys of one head are integers of -127 to 127 times one scale, and so are its values. The scale is
// the largest magnitude / 127, rounded up to bfloat16, so that an element is off by at most half of that:
//   |x - scale * i| <= scale / 2 <= max |x| / 252.
// A token's numbers depend on that token alone, never on the others in its page.
struct KvPages {
  char* keys;            // [blocks, kvHeads] tiles of [headDim / p, 16, p], then of I8 the scales [16] as BF16
  char* values;          // [blocks, kvHeads] tiles of [16 / p, paddedHeadDim, p], then of I8 the same; p = kvPairs(dtype)
  Dtype dtype;           // F32, BF16 or I8
  size_t kvHeads;
  size_t headDim;
  size_t paddedHeadDim;  // headDim rounded up to 16

};

// Neighbours that stand together in a page, and where a token's key and value of a channel are in its tile.
constexpr size_t kvPairs(Dtype dtype) { return dtype == Dtype::BF16 ? 2 : 1; }
constexpr size_t keyIndex(Dtype dtype, size_t token, size_t channel) {
  const size_t p = kvPairs(dtype);
  return channel / p * p * 16 + token * p + channel % p;
}
constexpr size_t valueIndex(Dtype dtype, size_t paddedHeadDim, size_t token, size_t channel) {
  const size_t p = kvPairs(dtype);
  return token / p * p * paddedHeadDim + channel * p + token % p;
}

// Bytes of what one page holds of one head, and where the scales of I8 lie in it.
constexpr size_t kvScalesAt(size_t channels) { return channels * 16; }
constexpr size_t kvTileBytes(Dtype dtype, size_t channels) {
  return channels * 16 * bytesOf(dtype) + (dtype == Dtype::I8 ? 16 * bytesOf(Dtype::BF16) : 0);
}

// Per row: RMSNorm of each q and k head where weights are given, rotation by the token's position, q scaled by
// queryScale in place, k and v written to the row's slot.
struct RopeTask {
  float* qkv;             // [rows, heads + 2 * kvHeads, headDim]
  size_t qkvStride;
  const int32_t* positions;  // [rows]
  const int32_t* slots;      // [rows], block * 16 + offset
  size_t rows;
  size_t heads;
  size_t rotaryDim;       // leading channels that are rotated, even
  const float* cosines;   // [positions, paddedHalf(rotaryDim)], times the attention factor
  const float* sines;
  const float* qNorm;     // [headDim] or null
  const float* kNorm;
  float eps;
  float queryScale;
  KvPages pages;
};

// Largest head dimension of the kernels' stack buffers.
constexpr size_t kMaxHeadDim = 512;

// Floats of one row of the cos and sin tables.
constexpr size_t paddedHalf(size_t rotaryDim) { return (rotaryDim / 2 + 15) / 16 * 16; }

}  // namespace pm
