// The gated activation of the MLP.
#pragma once

#include <cstddef>

namespace pm {

// swiglu: out = silu(gate) * up; geglu: out = gelu(gate) * up. Gate and up come in alternating panels of 16 columns, as the fused product writes them.
struct SwigluTask {
  const float* gateUp;  // [rows, panels, 2, 16]
  float* out;           // [rows, panels, 16]
  size_t rows;
  size_t panels;
  size_t gateUpStride, outStride;
};

}  // namespace pm
