// Matrix product of activations with packed weights.
#pragma once

#include "dtype.h"

namespace pm {

// One rectangle of y = x * W^T + bias: `rows` rows of x by `panels` panels of 16 output columns.
// All pointers are already moved to the first row or panel of the rectangle.
struct GemmTask {
  const void* x;         // rows in the form that `inputOf` names, `xStride` bytes apart (activations.h)
  size_t xStride;
  const void* weights;   // panels in `dtype`, panelBytes(dtype, k) apart
  Dtype dtype;
  size_t k;
  const float* bias;     // [panels * 16] or null
  float* y;              // [rows, panels * 16], rows `yStride` floats apart
  size_t yStride;
  size_t rows;
  size_t panels;
};

}  // namespace pm
