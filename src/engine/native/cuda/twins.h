// The readable twin of every kernel: the same task with pointers to host memory, plain loops, sums in double. Tests and
// the check on a device compare with these.
#pragma once

#include "kernels/feed.h"
#include "kernels/kernels.h"

namespace pm::cuda::twin {

void embed(const EmbedTask& task);
void rmsNorm(const NormTask& task);
void ropeAngles(const AnglesTask& task);
void rope(const RopeTask& task);
void attend(const AttentionTask& task);
void mergePartials(const MergeTask& task);
void gemm(const GemmTask& task);
void expandWeights(const ExpandTask& task);
void route(const RouteTask& task);
void sortByExpert(const ExpertSortTask& task);
void combineExperts(const CombineTask& task);
void gate(const GateTask& task);
void gatherRows(const GatherTask& task);
void copyPages(const PageCopyTask& task);
void sample(const SampleTask& task);
void applyDeltas(const DeltaTask& task);
void feedTokens(const FeedTask& task);

// Element access into pages.
double readPage(const void* pages, size_t slot, int kvHead, int channel, int kvHeads, int padded, KvType type);
void writePage(void* pages, size_t slot, int kvHead, int channel, int kvHeads, int padded, KvType type, double value);
double fromE4m3(uint8_t x);
uint8_t toE4m3(double x);

}  // namespace pm::cuda::twin
