// Element types in memory and how each lies in a packed panel of 16 outputs. Sums are float32 everywhere.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pm {

// I8: signed 8-bit integers in groups of 32 along k that share one scale.
enum class Dtype : int32_t { F32 = 0, BF16 = 1, F16 = 2, I8 = 4 };

// Elements that share a scale in I8; the length of a row is padded to whole groups with zeros.
constexpr size_t kGroup = 32;

// Cutting a float32 to bf16 makes it smaller by this part on average (magnitudes spread evenly over a binade).
constexpr float kCutLoss = 0.7f / 256;

constexpr size_t bytesOf(Dtype dtype) { return dtype == Dtype::F32 ? 4 : dtype == Dtype::I8 ? 1 : 2; }
constexpr size_t groupsOf(size_t k) { return (k + kGroup - 1) / kGroup; }

// Bytes of one panel, always a multiple of 64:
//   F32, F16   [k][16]
//   BF16       [ceil(k / 2)][16][2]     pairs of k, as dot-product instructions read them
//   I8         [groups][8][16][4] of value + 128, then scales [groups][16] as float16
constexpr size_t panelBytes(Dtype dtype, size_t k) {
  switch (dtype) {
    case Dtype::F32: return k * 64;
    case Dtype::F16: return (k * 32 + 63) / 64 * 64;
    case Dtype::BF16: return (k + 1) / 2 * 64;
    case Dtype::I8: return (groupsOf(k) * (kGroup * 16 + 32) + 63) / 64 * 64;
  }
  return 0;
}

}  // namespace pm
