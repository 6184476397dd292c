// What a step takes from those before it: entries of block tables that stay on the device, and tokens that are chosen
// there.
#pragma once

#include "../../backend.h"
#include "kernels.h"

namespace pm::cuda {

// tables[row, column] = block for each delta; one with a block below 0 changes nothing.
struct DeltaTask {
  const pm_table_delta* deltas;
  int count;
  int32_t* tables;  // [rows, columns]
  int columns;
};
void applyDeltas(const DeltaTask& task, cudaStream_t stream);

// ids[i] = chosen[-1 - ids[i]] where ids[i] is below 0.
struct FeedTask {
  int32_t* ids;
  int count;
  const int32_t* chosen;
};
void feedTokens(const FeedTask& task, cudaStream_t stream);

}  // namespace pm::cuda
