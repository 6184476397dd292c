#include "step-inputs.h"

#include <algorithm>
#include <vector>

namespace pm::cuda {
namespace {

size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

// Walks over memory twice: first to measure, then to hand out places.
struct Cursor {
  char *host = nullptr, *device = nullptr;
  size_t at = 0;

  // A place for `count` elements: `values` and then `filler`.
  template <class T>
  T* put(const T* values, size_t given, size_t count, const T& filler) {
    const size_t start = at;
    at += aligned(count * sizeof(T));
    if (!host) return nullptr;
    T* to = reinterpret_cast<T*>(host + start);
    if (given) memcpy(to, values, given * sizeof(T));
    std::fill(to + given, to + count, filler);
    return reinterpret_cast<T*>(device + start);
  }
};

size_t historyLength(const pm_batch& b) {
  size_t length = 0;
  for (int r = 0; r < b.samples; r++) {
    const int32_t* ints = b.sampling_ints + (size_t)r * PM_SAMPLING_INTS;
    if (ints[7] > 0) length = std::max(length, (size_t)ints[5] + (size_t)ints[7]);
  }
  return length;
}

}  // namespace

bool StepInputs::send(const pm_batch& b, const StepPlan& plan, const StepSizes& sizes, size_t maskWords, cudaStream_t stream) {
  SampleLists found{};
  const auto walk = [&](Cursor& c) {
    const size_t rows = (size_t)sizes.rows, samples = (size_t)sizes.samples, given = (size_t)b.samples;
    tokens = c.put(b.token_ids, (size_t)b.tokens, rows, 0);
    positions = c.put(b.positions, (size_t)b.tokens, rows, 0);
    slots = c.put(b.slot_mapping, (size_t)b.tokens, rows, -1);
    std::vector<int32_t> picked(b.sample_rows, b.sample_rows + given);
    picked.resize(samples, 0);
    picked.insert(picked.end(), b.pooled_rows, b.pooled_rows + b.pooled);
    pickedRows = c.put(picked.data(), picked.size(), picked.size(), 0);
    forced = c.put(b.forced_ids, b.forced_ids ? given : 0, samples, -1);
    maskOf = c.put(b.mask_of, b.mask_of ? given : 0, samples, -1);
    samplingFloats = c.put(b.sampling_floats, given * PM_SAMPLING_FLOATS, samples * PM_SAMPLING_FLOATS, 0.0f);
    samplingInts = c.put(b.sampling_ints, given * PM_SAMPLING_INTS, samples * PM_SAMPLING_INTS, -1);
    const int32_t biases = b.bias_starts[given];
    biasStarts = c.put(b.bias_starts, given + 1, samples + 1, biases);
    decode = c.put(plan.decode.data(), plan.decode.size(), (size_t)sizes.decodeItems, AttentionItem{});
    prefill = c.put(plan.prefill.data(), plan.prefill.size(), (size_t)sizes.prefillItems, AttentionItem{});
    lists = c.put(&found, 1, 1, found);
    merges = c.put(plan.merges.data(), plan.merges.size(), (size_t)sizes.merges, MergeItem{});
  };
  // The parts whose length no graph can fix have the second half of the memory, and `lists` says where.
  const auto walkRest = [&](Cursor& c) {
    const size_t past = historyLength(b), biases = (size_t)b.bias_starts[b.samples];
    history = c.put(b.history, past, past, 0);
    historyCount = (int)past;
    found.history = history;
    found.biasIds = c.put(b.bias_ids, biases, biases, 0);
    found.biasValues = c.put(b.bias_values, biases, biases, 0.0f);
    const size_t words = b.mask_of ? (size_t)b.mask_count * maskWords : 0;
    found.masks = c.put(b.masks, words, words, 0u);
    const size_t changes = (size_t)b.table_delta_count;
    deltas = c.put(b.table_deltas, changes, changes, pm_table_delta{});
  };
  Cursor measured, rest;
  walk(measured);
  walkRest(rest);
  const size_t needed = std::max(measured.at, rest.at);
  const bool grows = 2 * needed > device.bytes();
  if (grows) {
    PM_CUDA(cudaStreamSynchronize(stream));
    device = DeviceMemory(4 * aligned(needed));
  }
  // Its earlier step has been waited for.
  PinnedMemory& host = hosts[turn++ % hosts.size()];
  if (host.bytes() < device.bytes()) host = PinnedMemory(device.bytes());
  const size_t half = device.bytes() / 2;
  Cursor first{host.as<char>(), device.as<char>(), 0}, second{host.as<char>() + half, device.as<char>() + half, 0};
  walkRest(second);
  walk(first);
  PM_CUDA(cudaMemcpyAsync(device.as<char>(), host.as<char>(), first.at, cudaMemcpyHostToDevice, stream));
  if (second.at) PM_CUDA(cudaMemcpyAsync(device.as<char>() + half, host.as<char>() + half, second.at, cudaMemcpyHostToDevice, stream));
  return grows;
}

}  // namespace pm::cuda
