// A layer's mixture of experts: which experts each row goes to, their products, and the weighted sum. Scratch memory for the
// largest step, shared by all layers.
#pragma once

#include "device-memory.h"
#include "kernels/kernels.h"
#include "weight-upload.h"

namespace pm::cuda {

struct MixtureSizes {
  int experts, perToken, size, hidden;  // size: of an expert
  bool renormalizes, gelu;
};

class Mixture {
 public:
  Mixture() = default;
  Mixture(const MixtureSizes& sizes, size_t mostRows);

  // Where the router's product goes, [rows, experts].
  float* logits() const { return routed.as<float>(); }
  // out (+)= what the experts make of `in` [rows, hidden], after logits() is there. `gateUpOut` [pairs, 2 size] and `activated`
  // [pairs, size] are scratch, with a pair for each row and expert of it.
  void run(const Linear& gateUp, const Linear& down, const Bf16* in, float* gateUpOut, Bf16* activated, float* out, int rows,
           bool accumulates, cudaStream_t stream) const;
  size_t bytes() const;

 private:
  MixtureSizes sizes{};
  DeviceMemory routed, ids, weights, starts, places, rowsOf, outputs;
};

}  // namespace pm::cuda
