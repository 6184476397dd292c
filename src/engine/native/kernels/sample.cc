// One row, in this order (the definitions are those of Hugging Face's logits processors and of vLLM):
//   log-probabilities from the raw logits: l[id] - log sum e^l, rank = 1 + how many are greater
//   bias: l[id] += value; -infinity bans
//   mask: -infinity where the bit is 0
//   repetition penalty r over prompt and output: l > 0 ? l / r : l * r            (Keskar et al. 2019, "CTRL")
//   frequency and presence penalties over output: l -= f * count + p * (count > 0)
//   temperature 0: the greatest, the lowest id among equals. Otherwise l /= temperature, then
//   top-k: keep l >= the k-th greatest (equals of the k-th stay)
//   top-p: keep the most likely until their mass, before each, reaches p of what is kept so far
//   min-p: keep probability >= min-p times the greatest
//   draw: inverse of the cumulative distribution in id order, at number `draw` of the stream `seed`.
//
// Nothing sorts the whole vocabulary: top-k scans with a bounded heap, top-p finds its cut by a histogram of
// mass over the distance to the maximum and sorts one bin of it.
// Parallelization: callers cut rows; all state is in the worker's scratch.
#include "sample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "../numbers.h"

namespace pm {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();
// Temperatures below this are greedy, as in vLLM: dividing by them overflows.
constexpr float kGreedy = 1e-5f;

enum Float { Temperature, TopP, MinP, RepetitionPenalty, PresencePenalty, FrequencyPenalty };
enum Int { TopK, SeedLow, SeedHigh, Draw, Logprobs, HistoryStart, HistoryPromptLength, HistoryLength };

struct Entry {
  float value;
  int32_t id;
};
bool better(const Entry& a, const Entry& b) { return a.value > b.value || (a.value == b.value && a.id < b.id); }

// The `count` best entries, best first: a heap whose root is the worst kept, fed only by values above it.
std::vector<Entry> bestOf(const Kernels& kernels, const float* x, size_t n, size_t count) {
  std::vector<Entry> kept;
  if (count == 0) return kept;
  kept.reserve(count);
  size_t i = 0;
  for (; i < n && kept.size() < count; i++)
    if (x[i] > kNone) {
      kept.push_back({x[i], (int32_t)i});
      std::push_heap(kept.begin(), kept.end(), better);
    }
  if (kept.size() == count)
    for (i = kernels.findGreater(x, i, n, kept.front().value); i < n;
         i = kernels.findGreater(x, i + 1, n, kept.front().value)) {
      std::pop_heap(kept.begin(), kept.end(), better);
      kept.back() = {x[i], (int32_t)i};
      std::push_heap(kept.begin(), kept.end(), better);
    }
  std::sort_heap(kept.begin(), kept.end(), better);
  return kept;
}

void applyPenalties(const SampleTask& t, SampleScratch& s) {
  const float repetition = t.floats[RepetitionPenalty];
  const float presence = t.floats[PresencePenalty], frequency = t.floats[FrequencyPenalty];
  const int32_t length = t.ints[HistoryLength], prompt = t.ints[HistoryPromptLength];
  if (length <= 0 || (repetition == 1.0f && presence == 0.0f && frequency == 0.0f)) return;
  const int32_t* history = t.history + t.ints[HistoryStart];
  // marks[id] = 1 + how often the output has it; 0 = not seen, or done.
  for (int32_t i = 0; i < length; i++) {
    int32_t& mark = s.marks[(size_t)history[i]];
    if (mark == 0) mark = 1;
    if (i >= prompt) mark++;
  }
  for (int32_t i = 0; i < length; i++) {
    const size_t id = (size_t)history[i];
    const int32_t count = s.marks[id] - 1;
    if (count < 0) continue;
    s.marks[id] = 0;
    float& l = t.logits[id];
    l = l > 0 ? l / repetition : l * repetition;
    if (count > 0) l -= frequency * (float)count + presence;
  }
}

// Tokens kept: value > limit.value, or equal to it with id <= limit.id.
using Limit = Entry;
constexpr Limit kKeepAll = {kNone, std::numeric_limits<int32_t>::max()};

// The last entry of `sorted` (best first) whose preceding mass is below p of the total.
Limit cutByMass(const std::vector<Entry>& sorted, double before, double reach, float top) {
  Limit limit = sorted.front();
  for (const Entry& entry : sorted) {
    if (before >= reach) break;
    limit = entry;
    before += std::exp((double)entry.value - (double)top);
  }
  return limit;
}

Limit topK(const Kernels& kernels, const SampleTask& t, size_t k, float p, float top, SampleScratch& s) {
  float least;
  if (k <= 2048) {
    const auto kept = bestOf(kernels, t.logits, t.padded, k);
    if (kept.size() < k) least = std::nextafter(kNone, 0.0f);  // fewer tokens than k are allowed at all
    else least = kept.back().value;
  } else {
    memcpy(s.scaled.data(), t.logits, t.vocab * sizeof(float));
    float* const values = s.scaled.data();
    std::nth_element(values, values + (k - 1), values + t.vocab, std::greater<float>());
    least = std::max(s.scaled[k - 1], std::nextafter(kNone, 0.0f));
  }
  if (p >= 1.0f) return {least, kKeepAll.id};
  // Top-p among the survivors, equals of the k-th included.
  std::vector<Entry> sorted;
  const float below = std::nextafter(least, kNone);
  for (size_t i = kernels.findGreater(t.logits, 0, t.padded, below); i < t.padded;
       i = kernels.findGreater(t.logits, i + 1, t.padded, below))
    sorted.push_back({t.logits[i], (int32_t)i});
  std::sort(sorted.begin(), sorted.end(), better);
  double total = 0;
  for (const Entry& entry : sorted) total += std::exp((double)entry.value - (double)top);
  return cutByMass(sorted, 0, total * (double)p, top);
}

// Bins by distance to the maximum, 64 per octave between 2^-12 and 2^7: the float's bits are its order.
constexpr uint32_t kFirstBin = (127u - 12) << 6, kBins = 20u << 6;
uint32_t binOf(float distance) {
  uint32_t bits;
  memcpy(&bits, &distance, 4);
  const uint32_t bin = bits >> 17;
  return bin <= kFirstBin ? 0 : std::min(bin - kFirstBin, kBins - 1);
}

Limit topP(const Kernels& kernels, const SampleTask& t, float p, float top, SampleScratch& s) {
  kernels.expShifted(s.weights.data(), t.logits, t.padded, top, s.sums.data());
  double mass[kBins] = {}, total = 0;
  for (size_t i = 0; i < t.vocab; i++) mass[binOf(top - t.logits[i])] += (double)s.weights[i];
  for (const double m : mass) total += m;
  const double reach = total * (double)p;
  double before = 0;
  uint32_t bin = 0;
  while (bin + 1 < kBins && before + mass[bin] < reach) before += mass[bin++];
  std::vector<Entry> sorted;
  for (size_t i = 0; i < t.vocab; i++)
    if (t.logits[i] > kNone && binOf(top - t.logits[i]) == bin) sorted.push_back({t.logits[i], (int32_t)i});
  if (sorted.empty()) return kKeepAll;
  std::sort(sorted.begin(), sorted.end(), better);
  return cutByMass(sorted, before, reach, top);
}

// Draws among the n weights whose blocks of 1024 sum to `sums`.
size_t drawFrom(const float* weights, const double* sums, size_t n, double u) {
  double total = 0;
  const size_t blocks = (n + kSumBlock - 1) / kSumBlock;
  for (size_t b = 0; b < blocks; b++) total += sums[b];
  double left = u * total;
  size_t block = 0;
  while (block + 1 < blocks && left >= sums[block]) left -= sums[block++];
  size_t last = n;
  for (size_t i = block * kSumBlock; i < n && i < (block + 1) * kSumBlock; i++) {
    if (!(weights[i] > 0.0f)) continue;
    last = i;
    left -= (double)weights[i];
    if (left < 0) return i;
  }
  if (last < n) return last;  // rounding left a remainder at the end of the block
  return (size_t)(std::max_element(weights, weights + n) - weights);
}

int32_t draw(const Kernels& kernels, const SampleTask& t, Limit limit, float top, double u, SampleScratch& s) {
  if (limit.value == kNone) {
    kernels.expShifted(s.weights.data(), t.logits, t.padded, top, s.sums.data());
    return (int32_t)drawFrom(s.weights.data(), s.sums.data(), t.padded, u);
  }
  size_t count = 0;
  const float below = std::nextafter(limit.value, kNone);
  for (size_t i = kernels.findGreater(t.logits, 0, t.padded, below); i < t.padded;
       i = kernels.findGreater(t.logits, i + 1, t.padded, below)) {
    if (t.logits[i] == limit.value && (int32_t)i > limit.id) continue;
    s.scaled[count] = t.logits[i];
    s.ids[count++] = (int32_t)i;
  }
  const size_t padded = (count + 15) / 16 * 16;
  std::fill(s.scaled.begin() + (ptrdiff_t)count, s.scaled.begin() + (ptrdiff_t)padded, kNone);
  kernels.expShifted(s.weights.data(), s.scaled.data(), padded, top, s.sums.data());
  return s.ids[drawFrom(s.weights.data(), s.sums.data(), padded, u)];
}

int32_t choose(const Kernels& kernels, const SampleTask& t, SampleScratch& s) {
  for (size_t i = 0; i < t.biases; i++) t.logits[(size_t)t.biasIds[i]] += t.biasValues[i];
  if (t.allowed) kernels.ban(t.logits, t.allowed, t.padded);
  applyPenalties(t, s);
  const float temperature = t.floats[Temperature];
  float top = kernels.maxOf(t.logits, t.padded);
  if (!(temperature >= kGreedy) || top == kNone) {
    const size_t found = kernels.findEqual(t.logits, t.padded, top);
    return found < t.vocab ? (int32_t)found : 0;  // nothing is allowed: any token is as wrong as another
  }
  if (temperature != 1.0f) {
    kernels.divide(t.logits, t.padded, temperature);
    top /= temperature;
  }
  const float p = t.floats[TopP], minP = t.floats[MinP];
  const size_t k = t.ints[TopK] > 0 ? (size_t)t.ints[TopK] : 0;
  Limit limit = kKeepAll;
  if (k > 0 && k < t.vocab) limit = topK(kernels, t, k, p, top, s);
  else if (p < 1.0f) limit = topP(kernels, t, p, top, s);
  if (minP > 0.0f) {
    const float least = (float)((double)top + std::log((double)minP));
    if (least > limit.value) limit = {std::min(least, top), kKeepAll.id};
  }
  const uint64_t seed = (uint64_t)(uint32_t)t.ints[SeedHigh] << 32 | (uint32_t)t.ints[SeedLow];
  return draw(kernels, t, limit, top, uniform(seed, (uint64_t)(uint32_t)t.ints[Draw]), s);
}

}  // namespace

void SampleScratch::reserve(size_t padded) {
  if (marks.size() >= padded) return;
  raw.resize(padded);
  scaled.resize(padded);
  weights.resize(padded);
  ids.resize(padded);
  marks.resize(padded);
  sums.resize(padded / kSumBlock + 1);
}

void sample(const Kernels& kernels, const SampleTask& t, SampleScratch& s) {
  s.reserve(t.padded);
  const int32_t wanted = t.ints[Logprobs];
  float normalizer = 0;
  std::vector<Entry> best;
  // The raw values are read before the row is overwritten; only the chosen id is not known yet.
  if (wanted >= 0) {
    const float top = kernels.maxOf(t.logits, t.padded);
    normalizer = (float)((double)top + std::log(kernels.sumExp(t.logits, t.padded, top)));
    best = bestOf(kernels, t.logits, t.padded, std::min((size_t)wanted, t.vocab));
    memcpy(s.raw.data(), t.logits, t.padded * sizeof(float));
  }
  *t.id = t.forced >= 0 ? t.forced : choose(kernels, t, s);
  *t.logprob = 0;
  *t.rank = 0;
  if (wanted < 0) return;
  const float value = s.raw[(size_t)*t.id];
  *t.logprob = value - normalizer;
  *t.rank = 1 + (int32_t)kernels.countGreater(s.raw.data(), t.padded, value);
  for (size_t i = 0; i < best.size(); i++) {
    t.topIds[i] = best[i].id;
    t.topLogprobs[i] = best[i].value - normalizer;
  }
  for (size_t i = best.size(); i < (size_t)wanted; i++) {
    t.topIds[i] = -1;
    t.topLogprobs[i] = kNone;
  }
}

}  // namespace pm
