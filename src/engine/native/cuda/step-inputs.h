// What a step sends to the device and gets back, each in one piece of pinned memory with a copy on the device. Where an
// array lies depends on the sizes alone, so steps of equal sizes find their inputs at equal addresses, as graphs need.
#pragma once

#include <cstring>

#include "../backend.h"
#include "device-memory.h"
#include "step-plan.h"

namespace pm::cuda {

// Rows and items of a step, those that fill it up to a graph's sizes included.
struct StepSizes {
  int rows, samples, pooled;
  int decodeItems, prefillItems, merges;
  bool usesGraph;
};

class StepInputs {
 public:
  // Copies a step to the device, filled up with rows that write nothing and samples of row 0 that nobody reads. True if
  // the memory had to grow: pointers of earlier steps are then void.
  // `maskWords`: of one mask.
  bool send(const pm_batch& batch, const StepPlan& plan, const StepSizes& sizes, size_t maskWords, cudaStream_t stream);
  size_t bytes() const { return device.bytes(); }

  // On the device.
  const int32_t *tokens, *positions, *slots, *pickedRows, *samplingInts, *forced, *maskOf, *biasStarts, *history, *biasIds, *tables;
  const float *samplingFloats, *biasValues;
  const uint32_t* masks;
  const AttentionItem *decode, *prefill;
  const MergeItem* merges;

 private:
  PinnedMemory host;
  DeviceMemory device;
};

class StepOutputs {
 public:
  StepOutputs() = default;
  StepOutputs(int samples, int topStride);
  // `withTop`: also what stands in topIds and topLogprobs.
  void fetch(bool withTop, cudaStream_t stream);
  size_t bytes() const { return device.bytes(); }
  int topStride = 0;

  template <class T> struct Both { T *device, *host; };
  Both<int32_t> ids, ranks, topIds;
  Both<float> logprobs, topLogprobs;
  Both<uint32_t> notNumbers;

 private:
  PinnedMemory host;
  DeviceMemory device;
  size_t topStart = 0;
};

}  // namespace pm::cuda
