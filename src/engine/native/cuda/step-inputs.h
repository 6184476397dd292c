// What a step sends to the device, in one piece of pinned memory with a copy on the device. Where an array lies depends on
// the sizes alone, so steps of equal sizes find their inputs at equal addresses, as graphs need. Each step in flight has
// pinned memory of its own; on the device one follows the other.
#pragma once

#include <array>
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
  int32_t *tokens, *history;
  int historyCount;
  const int32_t *positions, *slots, *pickedRows, *samplingInts, *forced, *maskOf, *biasStarts;
  const pm_table_delta* deltas;
  const float* samplingFloats;
  const SampleLists* lists;
  const AttentionItem *decode, *prefill;
  const MergeItem* merges;

 private:
  std::array<PinnedMemory, PM_STEPS_IN_FLIGHT> hosts;
  size_t turn = 0;
  DeviceMemory device;
};

}  // namespace pm::cuda
