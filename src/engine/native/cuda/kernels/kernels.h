// The kernels as the runtime calls them: pointers to device memory, sizes, a stream. A launcher allocates nothing and
// waits for nothing, so steps can be captured in graphs. Every kernel has a plain twin of the same task in twins.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda-api.h>

#include "../layout.h"

namespace pm::cuda {

using Bf16 = uint16_t;

// out[row] = table[ids[row]] * scale
struct EmbedTask {
  const Bf16* table;     // [vocab, n]
  const int32_t* ids;    // [rows]
  float* out;            // [rows, n]
  int rows, n;
  float scale;
};
void embed(const EmbedTask& task, cudaStream_t stream);

// x = x + delta where given, first delta = norm(delta) * deltaWeight where given; out = norm(x) * weight as bf16, with
// norm(x) = x / sqrt(mean(x^2) + eps).
struct NormTask {
  float* x;                  // [rows, n]
  const float* delta;        // [rows, n] or null
  const float* deltaWeight;  // [n] or null
  const float* weight;       // [n]
  Bf16* out;                 // [rows, n]
  int rows, n;
  float eps;
};
void rmsNorm(const NormTask& task, cudaStream_t stream);

// cos and sin of position * inverseFrequency, times a factor, for every table.
struct AnglesTask {
  const int32_t* positions;           // [rows]
  const float* inverseFrequencies;    // [tables, half]
  const float* factors;               // [tables]
  float *cosines, *sines;             // [tables, maxRows, half]
  int rows, maxRows, tables, half;
};
void ropeAngles(const AnglesTask& task, cudaStream_t stream);

// Per row: q and k of each head normalized where weights are given and rotated (half-split convention); q goes to
// `q` as bf16, k and v to the row's slot of the pages. Padded channels are zero. A slot below 0 is not written.
struct RopeTask {
  const float* qkv;               // [rows, (heads + 2 kvHeads) * headDim]
  const float *cosines, *sines;   // [rows, half]
  const int32_t* slots;           // [rows], page * 16 + token
  const float *qNorm, *kNorm;     // [headDim] or null
  Bf16* q;                        // [rows, heads, padded]
  void *keys, *values;            // pages of the layer
  KvType type;
  int rows, heads, kvHeads, headDim, padded, half;
  float eps;
};
void rope(const RopeTask& task, cudaStream_t stream);

// Adjacent queries of one sequence, and the tokens [begin, end) that they attend to.
struct AttentionItem {
  int32_t row;       // of the first query
  int32_t queries;   // 0: nothing to do
  int32_t position;  // of the first query
  int32_t table;     // first entry of the sequence's pages in `tables`
  int32_t begin;     // a multiple of 16
  int32_t end;
  int32_t partial;   // which partial result this is; -1: it is the whole result
};

// softmax(scale * q k^T) v over pages, causal. In each row of 16, query i / group and head i % group of the kv head.
struct AttentionTask {
  const Bf16* q;               // [rows, heads, padded]
  const void *keys, *values;
  KvType type;
  const int32_t* tables;
  const AttentionItem* items;
  int itemCount;
  Bf16* out;                   // [rows, heads * headDim]
  float* partials;             // [partials, kvHeads, 16, padded], each over its own tokens
  float* partialSums;          // [partials, kvHeads, 16] log2 of the sum of exponentials
  int heads, kvHeads, headDim, padded;
  int window;                  // latest tokens that a query sees, itself included; 0 = all
  float scale, softcap;        // softcap 0 = none
};
// queries * group <= 16 in every item. Four pages at a time, one per warp.
void attendDecode(const AttentionTask& task, cudaStream_t stream);
// queries * group <= 64 in every item; no partials.
void attendPrefill(const AttentionTask& task, cudaStream_t stream);
// The same on compute capability 9.x for bf16 pages: queries * group <= 128.
void attendPrefillWarpgroups(const AttentionTask& task, cudaStream_t stream);

// The weighted mean of the partial results of some adjacent queries.
struct MergeItem {
  int32_t row, queries;  // 0 queries: nothing to do
  int32_t first, count;  // partials
};
struct MergeTask {
  const MergeItem* items;
  int itemCount;
  const float *partials, *partialSums;
  Bf16* out;
  int heads, kvHeads, headDim, padded;
};
void mergePartials(const MergeTask& task, cudaStream_t stream);

// y = x w^T + bias, or y += x w^T + bias. A row's sums are added in an order that depends on n and k alone.
struct GemmTask {
  const Bf16* x;       // [rows, k]
  const Bf16* w;       // [n, k]
  const float* bias;   // [n] or null
  float* y;            // [rows, n]
  int rows, n, k;      // k a multiple of 8
  bool accumulate;
  float* workspace;    // gemmWorkspace(n, k) floats
  uint32_t* counters;  // [kGemmCounters], zero before and after
  const uint8_t* w8 = nullptr;    // [n, k] in place of w, as in fp8.h; k a multiple of 16
  const float* scales = nullptr;  // [n], with w8
  // Of experts, whose matrices, scales included, lie one after the other: expert e has the rows [starts[e], starts[e + 1])
  // of y, and row i of y takes row rowsOf[i] of x, or i where rowsOf is null. No bias, no workspace.
  int experts = 0;
  const int32_t* starts = nullptr;  // [experts + 1]
  const int32_t* rowsOf = nullptr;  // [rows]
};
constexpr int kSkinnyRows = 64;
constexpr int kGemmCounters = 4096;
size_t gemmWorkspace(int n, int k);
int gemmSplits(int n, int k);
void gemm(const GemmTask& task, cudaStream_t stream);
// The same on compute capability 9.x, for many rows and bfloat16 weights.
void gemmWarpgroups(const GemmTask& task, cudaStream_t stream);

// out = w8 * scales as bfloat16
struct ExpandTask {
  const uint8_t* w8;    // [n, k], as in fp8.h
  const float* scales;  // [n]
  Bf16* out;            // [n, k]
  int n, k;             // k a multiple of 16
};
void expandWeights(const ExpandTask& task, cudaStream_t stream);

// The experts of each row, best first, and their weights, as kernels/experts.h has them.
constexpr int kMaxExperts = 512, kMaxExpertsPerToken = 32;
struct RouteTask {
  const float* logits;  // [rows, experts]
  int32_t* ids;         // [rows, perToken]
  float* weights;       // [rows, perToken]
  int rows, experts, perToken;
  bool renormalizes;
};
void route(const RouteTask& task, cudaStream_t stream);

// Pairs (row, rank) sorted by expert, in the order of rows.
struct ExpertSortTask {
  const int32_t* ids;  // [rows, perToken]
  int32_t* starts;     // [experts + 1]
  int32_t* places;     // [rows, perToken] of each pair
  int32_t* rowsOf;     // [rows * perToken] row of each place
  int rows, experts, perToken;
};
void sortByExpert(const ExpertSortTask& task, cudaStream_t stream);

// out[row] (+)= sum over ranks of weights * outputs[places]
struct CombineTask {
  const float* outputs;    // [rows * perToken, n]
  const int32_t* places;   // [rows, perToken]
  const float* weights;    // [rows, perToken]
  float* out;              // [rows, n]
  int rows, n, perToken;
  bool accumulate;
};
void combineExperts(const CombineTask& task, cudaStream_t stream);

// out = activation(gate) * up
struct GateTask {
  const float* gateUp;  // [rows, 2n]: gate, then up
  Bf16* out;            // [rows, n]
  int rows, n;
  bool gelu;            // tanh form; else SiLU
};
void gate(const GateTask& task, cudaStream_t stream);

// out[i] = in[rows[i]], rows of `bytes`, a multiple of 4.
struct GatherTask {
  const void* in;
  const int32_t* rows;
  void* out;
  int count;
  size_t bytes;
};
void gatherRows(const GatherTask& task, cudaStream_t stream);

// Copies whole pages of one layer: pairs of (from, to).
struct PageCopyTask {
  const void* from;
  void* to;
  const int32_t* pairs;  // [count, 2]
  int count;
  size_t pageBytes;      // over all kv heads, a multiple of 16
};
void copyPages(const PageCopyTask& task, cudaStream_t stream);

// What is as long as a step wants it, and lies elsewhere in every step. Itself in a fixed place, so that launches recorded
// in a graph find the lists of the step that they are repeated for.
struct SampleLists {
  const int32_t* history;
  const int32_t* biasIds;
  const float* biasValues;
  const uint32_t* masks;  // [masks, ceil(vocab / 32)] a bit per id, set if it may be chosen
};

// One token per row of logits, by the rules of kernels/sample.cc.
struct SampleTask {
  float* logits;            // [rows, vocab]; overwritten
  int rows, vocab;
  float softcap;            // applied first; 0 = none
  const float* floats;      // [rows, PM_SAMPLING_FLOATS]
  const int32_t* ints;      // [rows, PM_SAMPLING_INTS]
  const SampleLists* lists;
  const int32_t* biasStarts;  // [rows + 1]
  const int32_t* forced;      // [rows] taken as chosen, -1 = choose
  const int32_t* maskOf;      // [rows] -1 = none
  int32_t* marks;           // [rows, vocab], zero before and after
  float* raw;               // [rows, vocab] out, after the softcap, of rows that want log-probabilities
  bool keepsRaw;            // of all rows
  int32_t *ids, *ranks;     // [rows]
  float* logprobs;          // [rows]
  int topStride;
  int32_t* topIds;          // [rows, topStride]
  float* topLogprobs;
  uint32_t* notNumbers;     // counts rows that hold a NaN
};
void sample(const SampleTask& task, cudaStream_t stream);

}  // namespace pm::cuda
