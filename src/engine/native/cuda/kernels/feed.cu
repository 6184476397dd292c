// One thread per delta or token.
#include "feed.h"

#include "warp.h"

namespace pm::cuda {
namespace {

constexpr int kThreads = 256;

PM_KERNEL deltaKernel(DeltaTask t) {
  const int i = (int)blockIdx.x * kThreads + (int)threadIdx.x;
  if (i >= t.count) return;
  const pm_table_delta delta = t.deltas[i];
  if (delta.block >= 0) t.tables[(size_t)delta.row * t.columns + delta.column] = delta.block;
}

PM_KERNEL feedKernel(FeedTask t) {
  const int i = (int)blockIdx.x * kThreads + (int)threadIdx.x;
  if (i >= t.count) return;
  const int32_t id = t.ids[i];
  if (id < 0) t.ids[i] = t.chosen[-1 - id];
}

dim3 gridFor(int count) { return dim3((unsigned)((count + kThreads - 1) / kThreads)); }

}  // namespace

void applyDeltas(const DeltaTask& t, cudaStream_t stream) { launch<deltaKernel>(gridFor(t.count), kThreads, 0, stream, t); }
void feedTokens(const FeedTask& t, cudaStream_t stream) { launch<feedKernel>(gridFor(t.count), kThreads, 0, stream, t); }

}  // namespace pm::cuda
