// What the kernels of a step write for the host, and its way there: results are copied to pinned memory of their own step,
// so the next step may run before anybody has looked at them.
#pragma once

#include <vector>

#include "../backend.h"
#include "device-memory.h"
#include "kernels/kernels.h"

namespace pm::cuda {

// On the device, one for all steps: each is fetched before the next one writes.
class StepOutputs {
 public:
  StepOutputs() = default;
  explicit StepOutputs(int samples);
  // Makes room for this many top tokens per sample, with nothing under way. True if pointers have changed.
  bool reserveTop(int stride, const Stream& stream);
  size_t bytes() const { return each.bytes() + top.bytes(); }

  uint32_t* notNumbers = nullptr;
  int32_t *ids = nullptr, *ranks = nullptr;  // [samples]; ids stay where they are and what they are until the next step
  float* logprobs = nullptr;
  int topStride = 0;
  int32_t* topIds = nullptr;                 // [samples, topStride]
  float* topLogprobs = nullptr;

 private:
  int samples = 0;
  DeviceMemory each, top;
};

// The results of one step on the host.
class StepReturn {
 public:
  // Where the step's raw logits go, if it keeps them.
  float* roomForLogits(size_t count);
  // Begins to copy. `pooled`: [batch.pooled, hidden] on the device.
  void fetch(const pm_batch& batch, const StepOutputs& outputs, const Bf16* pooled, size_t hidden, const Stream& stream);
  // Waits for the copies, and hands them out. Throws if a row of logits was not made of numbers.
  void land(const pm_results& to, size_t vocab);

 private:
  Event done;
  PinnedMemory memory, logits;
  size_t samples = 0, pooledElements = 0, topStride = 0, deviceStride = 0;
  bool hasLogits = false;
  std::vector<int32_t> topCounts;  // [samples]; empty: none has any
  const uint32_t* notNumbers = nullptr;
  const int32_t *ids = nullptr, *ranks = nullptr, *topIds = nullptr;
  const float *logprobs = nullptr, *topLogprobs = nullptr;
  const Bf16* pooled = nullptr;
};

}  // namespace pm::cuda
