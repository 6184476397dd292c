#include "step-outputs.h"

#include <algorithm>
#include <cstring>

#include "../numbers.h"

namespace pm::cuda {
namespace {

size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

// Hands out places in memory, one after the other.
struct Cursor {
  char* start;
  size_t at = 0;
  template <class T>
  void put(T*& place, size_t count) {
    place = reinterpret_cast<T*>(start + at);
    at += aligned(count * sizeof(T));
  }
};

}  // namespace

StepOutputs::StepOutputs(int samples) : samples(samples), each(aligned(4) + 3 * aligned((size_t)samples * 4)) {
  Cursor cursor{each.as<char>()};
  const size_t n = (size_t)samples;
  cursor.put(notNumbers, 1);
  cursor.put(ids, n);
  cursor.put(ranks, n);
  cursor.put(logprobs, n);
}

bool StepOutputs::reserveTop(int stride, const Stream& stream) {
  if (stride <= topStride) return false;
  stream.wait();
  topStride = stride;
  const size_t n = (size_t)samples * (size_t)stride;
  top = DeviceMemory(2 * aligned(n * 4));
  Cursor cursor{top.as<char>()};
  cursor.put(topIds, n);
  cursor.put(topLogprobs, n);
  return true;
}

float* StepReturn::roomForLogits(size_t count) {
  if (logits.bytes() < count * sizeof(float)) logits = PinnedMemory(count * sizeof(float));
  return logits.as<float>();
}

void StepReturn::fetch(const pm_batch& batch, const StepOutputs& outputs, const Bf16* pooledStates, size_t hidden, const Stream& stream) {
  samples = (size_t)batch.samples;
  pooledElements = (size_t)batch.pooled * hidden;
  topStride = (size_t)batch.top_stride;
  deviceStride = (size_t)outputs.topStride;
  hasLogits = batch.keeps_logits != 0;
  topCounts.clear();
  for (size_t r = 0; r < samples && topStride > 0; r++) topCounts.push_back(std::max(0, batch.sampling_ints[r * PM_SAMPLING_INTS + 4]));
  const bool wantsTop = std::any_of(topCounts.begin(), topCounts.end(), [](int32_t count) { return count > 0; });
  if (!wantsTop) topCounts.clear();
  const size_t top = wantsTop ? samples * deviceStride : 0;
  const size_t needed = aligned(4) + 3 * aligned(samples * 4) + 2 * aligned(top * 4) + aligned(pooledElements * sizeof(Bf16));
  if (memory.bytes() < needed) memory = PinnedMemory(2 * needed);
  Cursor cursor{memory.as<char>()};
  const auto bring = [&](auto& place, const auto* from, size_t count) {
    cursor.put(place, count);
    if (count == 0) return;
    PM_CUDA(cudaMemcpyAsync(const_cast<void*>(static_cast<const void*>(place)), from, count * sizeof(*from), cudaMemcpyDeviceToHost, stream));
  };
  bring(notNumbers, outputs.notNumbers, samples > 0 ? 1 : 0);
  bring(ids, outputs.ids, samples);
  bring(ranks, outputs.ranks, samples);
  bring(logprobs, outputs.logprobs, samples);
  bring(topIds, outputs.topIds, top);
  bring(topLogprobs, outputs.topLogprobs, top);
  bring(pooled, pooledStates, pooledElements);
  done.record(stream);
}

void StepReturn::land(const pm_results& to, size_t vocab) {
  done.wait();
  for (size_t i = 0; i < pooledElements; i++) to.pooled_states[i] = fromBf16(pooled[i]);
  if (samples == 0) return;
  memcpy(to.sampled_ids, ids, samples * sizeof(int32_t));
  memcpy(to.sampled_ranks, ranks, samples * sizeof(int32_t));
  memcpy(to.sampled_logprobs, logprobs, samples * sizeof(float));
  for (size_t r = 0; r < topCounts.size(); r++) {
    const size_t count = (size_t)topCounts[r];
    memcpy(to.top_ids + r * topStride, topIds + r * deviceStride, count * sizeof(int32_t));
    memcpy(to.top_logprobs + r * topStride, topLogprobs + r * deviceStride, count * sizeof(float));
  }
  if (hasLogits) memcpy(to.logits, logits.as<float>(), samples * vocab * sizeof(float));
  if (const uint32_t bad = *notNumbers)
    throw std::runtime_error("the logits of " + std::to_string(bad) + " of " + std::to_string(samples) +
                             " rows are not numbers: the weights are damaged, or too large for bfloat16");
}

}  // namespace pm::cuda
