// How a step is cut into work for the attention kernels, on the host, before it runs. A pure function of the batch.
#pragma once

#include <cstdint>
#include <vector>

#include "../backend.h"
#include "kernels/kernels.h"

namespace pm::cuda {

struct StepPlan {
  std::vector<AttentionItem> decode;   // longest first
  std::vector<AttentionItem> prefill;  // longest first
  std::vector<MergeItem> merges;
  int partials = 0;
};

// Tokens of one part of a sequence's cache. It depends on the length alone, so that a sequence's sums do not depend on
// its neighbours; longer parts for longer sequences bound their number.
constexpr int splitTokens(int tokens) { return tokens <= 16384 ? 256 : tokens <= 65536 ? 512 : 1024; }

// Queries that one item of decoding may hold.
constexpr int decodeQueries(int group) { return 16 / group; }
constexpr int kPrefillRows = 64, kWarpgroupRows = 128;  // of attendPrefill and attendPrefillWarpgroups

// `group`: query heads per kv head, at most 16; `prefillRows`: of the kernel that takes the chunks of prompts;
// `tableColumns`: entries of a row of the block tables. Clears and fills `plan`.
void planStep(const pm_batch& batch, int group, int prefillRows, int tableColumns, StepPlan& plan);

}  // namespace pm::cuda
