#include "mixture.h"

namespace pm::cuda {

Mixture::Mixture(const MixtureSizes& sizes, size_t mostRows) : sizes(sizes) {
  const size_t pairs = mostRows * (size_t)sizes.perToken;
  routed = DeviceMemory(mostRows * (size_t)sizes.experts * sizeof(float));
  for (DeviceMemory* list : {&ids, &places, &rowsOf}) *list = DeviceMemory(pairs * sizeof(int32_t));
  weights = DeviceMemory(pairs * sizeof(float));
  starts = DeviceMemory(((size_t)sizes.experts + 1) * sizeof(int32_t));
  outputs = DeviceMemory(pairs * (size_t)sizes.hidden * sizeof(float));
}

size_t Mixture::bytes() const {
  size_t all = 0;
  for (const DeviceMemory* memory : {&routed, &ids, &weights, &starts, &places, &rowsOf, &outputs}) all += memory->bytes();
  return all;
}

// Rows go to their experts through a list, so that an expert's weights are read once for all of its rows.
void Mixture::run(const Linear& gateUp, const Linear& down, const Bf16* in, float* gateUpOut, Bf16* activated, float* out, int rows,
                  bool accumulates, cudaStream_t stream) const {
  const auto& [experts, perToken, size, hidden, renormalizes, gelu] = sizes;
  const int pairs = rows * perToken;
  route({logits(), ids.as<int32_t>(), weights.as<float>(), rows, experts, perToken, renormalizes}, stream);
  sortByExpert({ids.as<int32_t>(), starts.as<int32_t>(), places.as<int32_t>(), rowsOf.as<int32_t>(), rows, experts, perToken}, stream);
  const auto multiply = [&](const Linear& matrix, const Bf16* x, float* y, const int32_t* rowsOfX) {
    GemmTask task{x, matrix.w.as<Bf16>(), nullptr, y, pairs, matrix.n, matrix.k, false, nullptr, nullptr};
    if (matrix.isFp8()) {
      task.w8 = matrix.w.as<uint8_t>();
      task.scales = matrix.scales.as<float>();
    }
    task.experts = sizes.experts;
    task.starts = starts.as<int32_t>();
    task.rowsOf = rowsOfX;
    gemm(task, stream);
  };
  multiply(gateUp, in, gateUpOut, rowsOf.as<int32_t>());
  gate({gateUpOut, activated, pairs, size, gelu}, stream);
  multiply(down, activated, outputs.as<float>(), nullptr);
  combineExperts({outputs.as<float>(), places.as<int32_t>(), weights.as<float>(), out, rows, hidden, perToken, accumulates}, stream);
}

}  // namespace pm::cuda
