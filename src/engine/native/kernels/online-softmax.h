// The softmax of attention, step by step over tokens (attention.cc), shared by the ways to compute its products.
#pragma once

#include "attention.h"
#include "simd.h"
#include "tanh.h"

namespace pm::PM_ISA {

constexpr size_t kPages = kAttentionTokens / kLanes;

// What is kept of one row: scores of the current step, then probabilities [64], and the weighted values so far.
struct SoftmaxRow {
  float* scores;
  float* acc;       // [channels]
  size_t channels;  // a multiple of 16
};

// Tokens [low, high) of the current step that a row sees, relative to the step's first token.
struct Range { int low, high; };

// One row's share of a step: scores become probabilities, the accumulator is rescaled.
// `weigh(page, p)`: what the values of a page are to be multiplied by, given their probabilities.
template <class Weigh>
PM_INLINE void soften(const SoftmaxRow& row, Range seen, float cap, float& most, float& sum, const Weigh& weigh) {
  const auto [scores, acc, channels] = row;
  const Vec none = set1(-3.0e38f);
  Vec s[kPages];
  Vec top = none;
  PM_UNROLL for (size_t page = 0; page < kPages; page++) {
    const unsigned lanes = laneRange(seen.low - (int)page * kLanes, seen.high - (int)page * kLanes);
    const Vec score = load(scores + page * kLanes);
    s[page] = select(lanes, cap > 0.0f ? softcap(score, set1(cap)) : score, none);
    top = max(top, s[page]);
  }
  const float now = reduceMax(top);
  const float next = now > most ? now : most;
  const Vec shift = set1(next);
  Vec total = zero();
  PM_UNROLL for (size_t page = 0; page < kPages; page++) {
    const unsigned lanes = laneRange(seen.low - (int)page * kLanes, seen.high - (int)page * kLanes);
    const Vec p = select(lanes, exp(sub(s[page], shift)), zero());
    total = add(total, p);
    store(scores + page * kLanes, lanes ? weigh(page, p) : p);
  }
  if (next != most) {
    const Vec factor = exp(sub(set1(most), shift));
    for (size_t c = 0; c < channels; c += kLanes) store(acc + c, mul(load(acc + c), factor));
    alignas(64) float lanes[kLanes];
    store(lanes, factor);
    sum *= lanes[0];
    most = next;
  }
  sum += reduceAdd(total);
}

// Tokens of the step that row r of the task sees.
PM_INLINE Range visible(const AttentionTask& t, size_t row, size_t step) {
  const long long start = (long long)(step * kAttentionTokens);
  const long long position = (long long)(t.firstPosition + row / t.group);
  const long long first = t.window && position + 1 > (long long)t.window ? position + 1 - (long long)t.window : 0;
  const long long low = first - start, high = position + 1 - start;
  return {(int)(low < 0 ? 0 : low > 64 ? 64 : low), (int)(high < 0 ? 0 : high > 64 ? 64 : high)};
}

// out = the weighted values over the sum of the weights.
PM_INLINE void finish(const AttentionTask& t, const SoftmaxRow& row, size_t index, float sum) {
  float* out = t.out + index / t.group * t.outStride + index % t.group * t.pages.headDim;
  const float scale = 1.0f / sum;
  for (size_t i = 0; i < t.pages.headDim; i++) out[i] = row.acc[i] * scale;
}

}  // namespace pm::PM_ISA
