// Weights from files, or random ones, to the device as bfloat16 or e4m3: a chunk is filled by all threads in pinned
// memory while the one before it is copied.
#pragma once

#include <vector>

#include "../thread-pool.h"
#include "../weights.h"
#include "device-memory.h"

namespace pm::cuda {

// y = x w^T + bias
struct Linear {
  int n = 0, k = 0;
  DeviceMemory w;       // [n, k] bfloat16, or as in fp8.h where there are scales
  DeviceMemory scales;  // [n] float, or empty
  DeviceMemory bias;    // [n] float, or empty
  bool isFp8() const { return scales.bytes() > 0; }
  size_t bytes() const { return w.bytes() + scales.bytes() + bias.bytes(); }
};

class WeightUpload {
 public:
  WeightUpload(const pm_plan& plan, cudaStream_t stream);

  // The rows of `roles` one after the other; `biases` match them, absent ones count as zero. Inside the layers with 8 bits,
  // if the plan says so.
  Linear linear(const std::vector<pm_role>& roles, const std::vector<pm_role>& biases, int layer, const std::vector<size_t>& rows,
                size_t columns);
  // The same of all experts, one after the other; n is of one. No biases.
  Linear experts(const std::vector<pm_role>& roles, int layer, int count, const std::vector<size_t>& rows, size_t columns);
  // bfloat16 whatever the plan says: small, and an error in it picks another expert.
  Linear router(int layer, int experts, size_t columns);
  // A norm's weights, with the plan's offset added.
  DeviceMemory norm(pm_role role, int layer, size_t length);
  DeviceMemory floats(const float* values, size_t length);

 private:
  // What `experts` and `linear` share: the rows of experts [first, first + count); -1 for a plain one.
  Linear stack(const std::vector<pm_role>& roles, int layer, int first, int count, const std::vector<size_t>& rows, size_t columns, bool isFp8);
  // `scales`: [rows] out, for rows of 8 bits; null for bfloat16.
  void copyRows(const WeightSource::Tensor& tensor, size_t rows, size_t columns, char* to, float* scales);

  WeightSource source;
  bool quantizes;
  cudaStream_t stream;
  ThreadPool pool;
  PinnedMemory chunks[2];
};

}  // namespace pm::cuda
