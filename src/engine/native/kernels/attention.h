// Attention of a few adjacent queries of one sequence over its paged keys and values, for one kv head.
#pragma once

#include "rope.h"

namespace pm {

struct AttentionTask {
  const float* q;             // first query's first head of the group; rotated and scaled
  size_t qStride;
  float* out;                 // same head, [headDim] per head
  size_t outStride;
  size_t queries;             // adjacent positions of one sequence
  size_t firstPosition;       // of the first query
  const int32_t* blockTable;  // pages of the sequence in order
  KvPages pages;
  size_t kvHead;
  size_t group;               // query heads per kv head
  size_t window;              // latest tokens that a query sees, itself included; 0 = all
  float softcap;              // scores become cap * tanh(score / cap); 0 = as they are
  float* scratch;             // attentionScratch(...) floats, 64-byte aligned
};

// Tokens per step of the online softmax: four pages.
constexpr size_t kAttentionTokens = 64;

// Floats of scratch for queries * group rows: scores, accumulators, running maximum and sum; and, in bf16, queries of
// whole groups of 32 and probabilities.
constexpr size_t attentionScratch(size_t rows, size_t paddedHeadDim) {
  return (rows + 15) / 16 * 16 * (kAttentionTokens + paddedHeadDim + 2 + (paddedHeadDim + 16 + kAttentionTokens) / 2);
}

}  // namespace pm
