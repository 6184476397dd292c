// Residual addition and root-mean-square normalization of rows.
#pragma once

#include <cstddef>

namespace pm {

// out = x / sqrt(mean(x^2) + eps) * weight, after x += delta where delta is given.
// Rows are padded with zeros to a multiple of 16; `n` is the true length and divides the sum.
struct RmsNormTask {
  float* x;            // [rows, n], updated in place when delta is given
  const float* delta;  // [rows, n] or null
  const float* weight; // [n], zero in the padding
  float* out;          // [rows, n]
  size_t rows;
  size_t n;
  size_t xStride, deltaStride, outStride;
  float eps;
};

}  // namespace pm
