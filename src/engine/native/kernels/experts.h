// Mixture of experts: which experts a token goes to, and how their outputs come together again.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pm {

// Per row: the `perToken` experts with the largest router logits, best first, equal ones in index order, and
// their weights: softmax over all experts, scaled to sum to 1 over the picked ones when `renormalize`.
struct RouteTask {
  float* logits;      // [rows, experts padded to 16]; overwritten
  size_t stride;
  int32_t* ids;       // [rows, perToken]
  float* weights;     // [rows, perToken]
  size_t rows;
  size_t experts;
  size_t perToken;
  bool renormalize;
};

// Per row: out = sum over its experts, best first, of weight * their output.
struct CombineTask {
  const float* outputs;    // rows of expert outputs
  size_t outputStride;
  const int32_t* places;   // [rows, perToken] rows in `outputs`
  const float* weights;    // [rows, perToken]
  float* out;              // [rows, n padded to 16]
  size_t outStride;
  size_t rows;
  size_t n;
  size_t perToken;
};

}  // namespace pm
