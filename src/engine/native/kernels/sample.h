// From one row of logits to one token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels.h"

namespace pm {

struct SampleTask {
  float* logits;         // [padded], -infinity beyond `vocab`; overwritten
  size_t vocab, padded;  // padded: a multiple of 16
  const float* floats;   // [PM_SAMPLING_FLOATS]
  const int32_t* ints;   // [PM_SAMPLING_INTS]
  const int32_t* history;
  const int32_t* biasIds;
  const float* biasValues;
  size_t biases;
  const uint32_t* allowed;  // one bit per token, set if it may be chosen; or null
  int32_t forced;           // the token that counts as chosen; -1 = choose
  int32_t* id;
  float* logprob;
  int32_t* rank;
  int32_t* topIds;
  float* topLogprobs;
};

// Buffers of one worker, kept from step to step.
struct SampleScratch {
  std::vector<float> raw, scaled, weights;
  std::vector<double> sums;
  std::vector<int32_t> ids, marks;

  void reserve(size_t padded);
};

void sample(const Kernels& kernels, const SampleTask& task, SampleScratch& scratch);

}  // namespace pm
