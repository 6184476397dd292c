// Rows of activations in the form that a matrix product reads.
#pragma once

#include "dtype.h"

namespace pm {

// A row of k floats becomes
//   BF16   pairs: [ceil(k / 2)][2], rounded to nearest even, padded with zeros to whole groups of 32
//   I8     [groups][32] signed bytes, then [groups] float scales, then [groups] int32 of -128 * (sum of the group):
//          what the offset of the weights adds to a product, taken off before it starts
struct PackTask {
  const float* x;     // [rows, k], `xStride` floats apart
  size_t xStride;
  void* out;          // rows `outStride` bytes apart
  size_t outStride;
  size_t rows;
  size_t k;
  Dtype form;         // BF16 or I8
};

constexpr size_t scalesAt(size_t k) { return groupsOf(k) * kGroup; }
constexpr size_t offsetsAt(size_t k) { return groupsOf(k) * (kGroup + 4); }

// Bytes from one packed row to the next: an odd number of cache lines, so that rows of a tile do not share cache sets.
constexpr size_t packedStride(Dtype form, size_t k) {
  const size_t bytes = form == Dtype::I8 ? groupsOf(k) * (kGroup + 8) : groupsOf(k) * kGroup * 2;
  return ((bytes + 63) / 64 | 1) * 64;
}

}  // namespace pm
