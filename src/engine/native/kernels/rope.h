// What happens to q, k and v between their projection and attention.
#pragma once

#include "dtype.h"

namespace pm {

// Pages of one layer, 16 tokens each. Keys keep the token as the fastest index, so that the scores of a page
// are one Vec; values keep the channel as the fastest index, so that the weighted sum is made of Vecs.
struct KvPages {
  void* keys;            // [blocks, kvHeads, headDim, 16]
  void* values;          // [blocks, kvHeads, 16, paddedHeadDim]
  Dtype dtype;           // F32 or BF16
  size_t kvHeads;
  size_t headDim;
  size_t paddedHeadDim;  // headDim rounded up to 16
};

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
