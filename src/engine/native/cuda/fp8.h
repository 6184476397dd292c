// Weights of 8 bits: e4m3 (sign, 4 bits of exponent with bias 7, 3 of mantissa; 448 is the greatest) with a scale per
// output, w[n][k] = scale[n] * e4m3. The scale makes a row's largest magnitude 448, so an element is off by at most
// 1/16 of itself, or by 2^-10 scales where it is below 2^-6 scales.
//
// Of each 16 channels a row holds the bytes in the order 0 8 1 9 | 2 10 3 11 | 4 12 5 13 | 6 14 7 15: a lane of a matrix
// product then finds its four weights in one word, and a shift makes bfloat16 pairs of bytes 0, 2 and of bytes 1, 3.
#pragma once

#include <cmath>
#include <cstring>

#include "layout.h"

namespace pm::cuda {

constexpr float kGreatestE4m3 = 448;

// Where channel k lies in its row.
PM_BOTH constexpr int fp8Place(int k) { return k / 16 * 16 + k % 8 / 2 * 4 + k % 2 * 2 + k % 16 / 8; }

// To nearest even; beyond 448 saturates. Not for NaN.
inline uint8_t toE4m3(float x) {
  const uint8_t sign = std::signbit(x) ? 0x80 : 0;
  const float size = std::fabs(x);
  if (size >= kGreatestE4m3) return sign | 0x7e;
  if (size < 0x1p-6f) return (uint8_t)(sign | (int)std::nearbyint(size * 0x1p9f));  // 8 is the least normal number
  uint32_t bits;
  memcpy(&bits, &size, 4);
  bits += 0x7ffff + (bits >> 20 & 1);
  return (uint8_t)(sign | ((bits >> 20) - (120 << 3)));
}

// One row; returns its scale.
inline float quantizeRow(const float* from, int k, uint8_t* to) {
  float most = 0;
  for (int i = 0; i < k; i++) most = std::fmax(most, std::fabs(from[i]));
  const float scale = most > 0 ? most / kGreatestE4m3 : 1;
  for (int i = 0; i < k; i++) to[fp8Place(i)] = toE4m3(from[i] / scale);
  return scale;
}

}  // namespace pm::cuda
