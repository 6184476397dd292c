#include "launched-steps.h"

#include <algorithm>

namespace pm {
namespace {

// One past the last place of `history` that a sample looks at.
size_t historyEnd(const pm_batch& b) {
  size_t end = 0;
  for (size_t r = 0; r < (size_t)b.samples; r++) {
    const int32_t* ints = b.sampling_ints + r * PM_SAMPLING_INTS;
    if (ints[7] > 0) end = std::max(end, (size_t)ints[5] + (size_t)ints[7]);
  }
  return end;
}

template <class T>
void give(const std::vector<T>& from, T* to) {
  std::copy(from.begin(), from.end(), to);
}

}  // namespace

const int32_t* LaunchedSteps::feed(const int32_t* ids, size_t count, std::vector<int32_t>& copy) const {
  if (std::none_of(ids, ids + count, [](int32_t id) { return id < 0; })) return ids;
  const std::vector<int32_t>& chosen = held[(begun - 1) % held.size()].ids;
  copy.assign(ids, ids + count);
  for (int32_t& id : copy)
    if (id < 0) id = chosen[(size_t)(-1 - id)];
  return copy.data();
}

pm_batch LaunchedSteps::fed(const pm_batch& batch) {
  pm_batch result = batch;
  if (begun == 0) return result;
  result.token_ids = feed(batch.token_ids, (size_t)batch.tokens, tokens);
  result.history = feed(batch.history, historyEnd(batch), history);
  return result;
}

pm_results LaunchedSteps::roomFor(const pm_batch& batch) {
  Held& step = held[begun % held.size()];
  const size_t samples = (size_t)batch.samples, top = samples * (size_t)batch.top_stride;
  step.ids.resize(samples);
  step.ranks.resize(samples);
  step.logprobs.resize(samples);
  step.topIds.resize(top);
  step.topLogprobs.resize(top);
  step.logits.resize(batch.keeps_logits ? samples * vocab : 0);
  step.pooledStates.resize((size_t)batch.pooled * hidden);
  return {step.ids.data(), step.logprobs.data(), step.ranks.data(), step.topIds.data(), step.topLogprobs.data(),
          batch.keeps_logits ? step.logits.data() : nullptr, step.pooledStates.data()};
}

void LaunchedSteps::take(const pm_results& to) {
  const Held& step = held[taken++ % held.size()];
  give(step.ids, to.sampled_ids);
  give(step.ranks, to.sampled_ranks);
  give(step.logprobs, to.sampled_logprobs);
  give(step.topIds, to.top_ids);
  give(step.topLogprobs, to.top_logprobs);
  give(step.logits, to.logits);
  give(step.pooledStates, to.pooled_states);
}

}  // namespace pm
