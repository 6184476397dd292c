// From rows of logits to tokens, by the rules and in the order of ../../kernels/sample.cc. One block per row.
//
// Nothing is sorted. A cut ("the k-th greatest", "the most likely until their mass reaches p") is found by radix
// selection on the bits of the floats: four passes over the row, each a histogram of 256 bins of the next 8 bits, of
// counts or of masses. Masses are integers in units of 2^-40 of the greatest, so that atomic additions in any order
// give the same sums. Ties at the cut are kept in the order of ids. The draw walks blocks of 1024 ids in order.
#include "../../backend.h"
#include "../../numbers.h"
#include "kernels.h"
#include "warp.h"

namespace pm::cuda {
namespace {

constexpr int kThreads = 512, kWarps = kThreads / 32, kBins = 256, kBlock = 1024;
constexpr float kGreedy = 1e-5f;  // temperatures below it are greedy, as on the CPU
constexpr double kMassUnit = 1099511627776.0;

enum Float { Temperature, TopP, MinP, RepetitionPenalty, PresencePenalty, FrequencyPenalty };
enum Int { TopK, SeedLow, SeedHigh, Draw, Logprobs, HistoryStart, HistoryPromptLength, HistoryLength };

struct Scratch {
  double sums[kWarps];
  float floats[kWarps];
  uint32_t words[kWarps];
  uint64_t bins[kBins];
  uint64_t total;
  uint32_t prefix;
  uint64_t before;
  int32_t found;
  double left;
};

PM_DEVICE float infinity() { return floatOf(0x7f800000u); }

// Greater floats have greater keys.
PM_DEVICE uint32_t keyOf(float x) {
  const uint32_t bits = bitsOf(x);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
PM_DEVICE float valueOf(uint32_t key) { return floatOf(key & 0x80000000u ? key & 0x7fffffffu : ~key); }

PM_DEVICE uint64_t massOf(float x, float top) { return (uint64_t)((double)expf(x - top) * kMassUnit); }

// The value at whose bits the running amount, greatest first, reaches `wanted`: amounts are 1 per id, or its mass.
// `before`: the amount of all greater values. Only values above `floor` take part.
template <bool MASS>
PM_DEVICE float select(const float* x, int n, float top, float floor, uint64_t wanted, uint64_t* before, Scratch& s) {
  if (threadIdx.x == 0) {
    s.prefix = 0;
    s.before = 0;
  }
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = (int)threadIdx.x; i < kBins; i += kThreads) s.bins[i] = 0;
    syncThreads();
    const uint32_t prefix = s.prefix, mask = shift == 24 ? 0u : 0xffffffffu << (shift + 8);
    for (int i = (int)threadIdx.x; i < n; i += kThreads) {
      const float value = x[i];
      const uint32_t key = keyOf(value);
      if (value > floor && (key & mask) == prefix) addAtomic(&s.bins[key >> shift & 255], MASS ? massOf(value, top) : (uint64_t)1);
    }
    syncThreads();
    if (threadIdx.x == 0) {
      uint64_t amount = s.before;
      int bin = kBins - 1, lowest = -1;
      for (; bin >= 0; bin--) {
        if (s.bins[bin] == 0) continue;
        lowest = bin;
        if (amount + s.bins[bin] >= wanted) break;
        amount += s.bins[bin];
      }
      if (bin < 0) {  // less than wanted in all: the last value that is there
        bin = lowest < 0 ? 0 : lowest;
        amount -= s.bins[bin];
      }
      s.prefix = prefix | (uint32_t)bin << shift;
      s.before = amount;
    }
    syncThreads();
  }
  *before = s.before;
  const float result = valueOf(s.prefix);
  syncThreads();
  return result;
}

// The id of the `count`-th value, from 1 on, that equals `value`; the last one if there are fewer.
PM_DEVICE int nthEqual(const float* x, int n, float value, uint64_t count, Scratch& s) {
  if (threadIdx.x == 0) s.found = 0;
  uint64_t seen = 0;
  for (int from = 0; from < n && seen < count; from += kThreads) {
    const int i = from + (int)threadIdx.x;
    const uint32_t votes = ballot(i < n && x[i] == value);
    syncThreads();
    if (laneOf() == 0) s.words[warpOf()] = votes;
    syncThreads();
    for (int w = 0; w < kWarps; w++)
      for (uint32_t left = s.words[w]; left && seen < count; left &= left - 1) {
        seen++;
        if (threadIdx.x == 0) {
          int lane = 0;
          while (!(left >> lane & 1)) lane++;
          s.found = from + w * 32 + lane;
        }
      }
  }
  syncThreads();
  const int found = s.found;
  syncThreads();
  return found;
}

// The lowest id of the greatest value below `limit`, or of those equal to it the lowest id above `after`; n if none.
PM_DEVICE int nextBest(const float* x, int n, float limit, int after, Scratch& s) {
  float best = -infinity();
  int id = n;
  for (int i = (int)threadIdx.x; i < n; i += kThreads) {
    const float value = x[i];
    if (!(value < limit || (value == limit && i > after))) continue;
    if (value > best) {
      best = value;
      id = i;
    }
  }
  const float top = blockMax(best, s.floats);
  // The lowest id among the threads that hold it.
  uint32_t candidate = best == top && top > -infinity() ? (uint32_t)id : (uint32_t)n;
  PM_UNROLL
  for (int mask = 16; mask > 0; mask >>= 1) candidate = min(candidate, shuffleXor(candidate, mask));
  syncThreads();
  if (laneOf() == 0) s.words[warpOf()] = candidate;
  syncThreads();
  for (int w = 0; w < kWarps; w++) candidate = min(candidate, s.words[w]);
  syncThreads();
  return (int)candidate;
}

PM_DEVICE float maxOfRow(const float* x, int n, Scratch& s) {
  float top = -infinity();
  for (int i = (int)threadIdx.x; i < n; i += kThreads) top = fmaxf(top, x[i]);
  return blockMax(top, s.floats);
}

PM_DEVICE void penalize(const SampleTask& t, float* x, int32_t* marks, const float* floats, const int32_t* ints) {
  const float repetition = floats[RepetitionPenalty], presence = floats[PresencePenalty], frequency = floats[FrequencyPenalty];
  const int length = ints[HistoryLength], prompt = ints[HistoryPromptLength];
  if (length <= 0 || (repetition == 1.0f && presence == 0.0f && frequency == 0.0f)) return;
  const int32_t* history = t.lists->history + ints[HistoryStart];
  for (int i = prompt + (int)threadIdx.x; i < length; i += kThreads) addAtomic(marks + history[i], 1);
  syncThreads();
  for (int i = (int)threadIdx.x; i < length; i += kThreads) {
    const int id = history[i], count = exchangeAtomic(marks + id, -1);  // of the output
    if (count < 0) continue;  // another place of the same id came first
    float l = x[id];
    l = l > 0 ? l / repetition : l * repetition;
    if (count > 0) l -= frequency * (float)count + presence;
    x[id] = l;
  }
  syncThreads();
  for (int i = (int)threadIdx.x; i < length; i += kThreads) marks[history[i]] = 0;
  syncThreads();
}

// Kept: value > limit.value, or equal to it with id <= limit.id.
struct Limit {
  float value;
  int id;
};
PM_DEVICE bool keeps(Limit limit, float value, int id) {
  return value > limit.value || (value == limit.value && id <= limit.id && value > -infinity());
}

// Among the values above `floor`: the most likely until their mass, before each, reaches p.
PM_DEVICE Limit cutByMass(const float* x, int n, float top, float floor, float p, Scratch& s) {
  if (threadIdx.x == 0) s.total = 0;
  syncThreads();
  uint64_t mine = 0;
  for (int i = (int)threadIdx.x; i < n; i += kThreads)
    if (x[i] > floor) mine += massOf(x[i], top);
  addAtomic(&s.total, mine);
  syncThreads();
  const uint64_t total = s.total, wanted = max((uint64_t)1, (uint64_t)((double)total * (double)p));
  uint64_t before;
  const float value = select<true>(x, n, top, floor, wanted, &before, s);
  const uint64_t each = max((uint64_t)1, massOf(value, top)), missing = wanted > before ? wanted - before : 1;
  return {value, nthEqual(x, n, value, (missing + each - 1) / each, s)};
}

// The id at u of the mass of what is kept, in the order of ids.
PM_DEVICE int drawOne(const float* x, int n, float top, Limit limit, double u, double* blocks, Scratch& s) {
  const int count = (n + kBlock - 1) / kBlock;
  const auto weight = [&](int i) { return i < n && keeps(limit, x[i], i) ? (double)expf(x[i] - top) : 0.0; };
  for (int b = warpOf(); b < count; b += kWarps) {
    double sum = 0;
    for (int i = laneOf(); i < kBlock; i += 32) sum += weight(b * kBlock + i);
    sum = warpSum(sum);
    if (laneOf() == 0) blocks[b] = sum;
  }
  syncThreads();
  if (threadIdx.x == 0) {
    double total = 0;
    for (int b = 0; b < count; b++) total += blocks[b];
    double left = u * total;
    int b = 0;
    while (b + 1 < count && left >= blocks[b]) left -= blocks[b++];
    while (b > 0 && blocks[b] <= 0) left = blocks[--b];  // rounding went past the last kept id
    s.found = b;
    s.left = left;
  }
  syncThreads();
  const int start = s.found * kBlock;
  double left = s.left;
  syncThreads();
  if (warpOf() == 0) {
    int chosen = -1, last = -1;
    for (int from = 0; from < kBlock && chosen < 0; from += 32) {
      const double own = weight(start + from + laneOf());
      double upTo = own;
      PM_UNROLL
      for (int by = 1; by < 32; by <<= 1) {
        const double other = shuffleUp(upTo, by);
        if (laneOf() >= by) upTo += other;
      }
      const uint32_t there = ballot(own > 0.0), reached = ballot(own > 0.0 && left < upTo);
      for (int i = 0; i < 32; i++) {
        if (there >> i & 1) last = start + from + i;
        if (chosen < 0 && (reached >> i & 1)) chosen = start + from + i;
      }
      const double sum = warpSum(own);
      left -= sum;
    }
    if (laneOf() == 0) s.found = chosen >= 0 ? chosen : last;
  }
  syncThreads();
  return s.found;
}

PM_DEVICE int choose(const SampleTask& t, float* x, const float* floats, const int32_t* ints, double* blocks, Scratch& s) {
  const int n = t.vocab;
  float top = maxOfRow(x, n, s);
  const float temperature = floats[Temperature];
  if (!(temperature >= kGreedy) || !(top > -infinity())) {
    const int found = nextBest(x, n, infinity(), n, s);
    return found < n ? found : 0;  // nothing is allowed: any token is as wrong as another
  }
  if (temperature != 1.0f) {
    for (int i = (int)threadIdx.x; i < n; i += kThreads) x[i] /= temperature;
    top /= temperature;
    syncThreads();
  }
  const int k = ints[TopK];
  const float p = floats[TopP], minP = floats[MinP];
  Limit limit = {-infinity(), n};
  if (k > 0 && k < n) {
    uint64_t before;
    const float least = select<false>(x, n, top, -infinity(), (uint64_t)k, &before, s);
    limit = {least, n};
    // The greatest float below it: equals of the k-th take part.
    if (p < 1.0f) limit = cutByMass(x, n, top, valueOf(keyOf(least) - 1), p, s);
  } else if (p < 1.0f) {
    limit = cutByMass(x, n, top, -infinity(), p, s);
  }
  if (minP > 0.0f) {
    const float least = (float)((double)top + log((double)minP));
    if (least > limit.value) limit = {fminf(least, top), n};
  }
  const uint64_t seed = (uint64_t)(uint32_t)ints[SeedHigh] << 32 | (uint32_t)ints[SeedLow];
  return drawOne(x, n, top, limit, uniform(seed, (uint64_t)(uint32_t)ints[Draw]), blocks, s);
}

PM_KERNEL PM_BOUNDS(kThreads, 1) sampleKernel(SampleTask t) {
  PM_SHARED(shared);
  Scratch& s = *reinterpret_cast<Scratch*>(shared);
  double* blocks = reinterpret_cast<double*>(shared + sizeof(Scratch));
  const int row = (int)blockIdx.x, n = t.vocab;
  float* x = t.logits + (size_t)row * n;
  const float* floats = t.floats + (size_t)row * PM_SAMPLING_FLOATS;
  const int32_t* ints = t.ints + (size_t)row * PM_SAMPLING_INTS;
  const int wanted = ints[Logprobs];

  bool isBad = false;
  for (int i = (int)threadIdx.x; i < n; i += kThreads) {
    float value = x[i];
    if (t.softcap > 0.0f) x[i] = value = t.softcap * tanhf(value / t.softcap);
    if (wanted >= 0 || t.keepsRaw) t.raw[(size_t)row * n + i] = value;
    isBad = isBad || value != value;
  }
  if (blockSum(isBad ? 1 : 0, reinterpret_cast<int*>(s.words)) > 0 && threadIdx.x == 0) addAtomic(t.notNumbers, 1u);
  syncThreads();

  // Log-probabilities are of the raw logits; only the chosen id is not known yet.
  float normalizer = 0;
  if (wanted >= 0) {
    const float top = maxOfRow(x, n, s);
    double sum = 0;
    for (int i = (int)threadIdx.x; i < n; i += kThreads) sum += (double)expf(x[i] - top);
    normalizer = (float)((double)top + log(blockSum(sum, s.sums)));
    float limit = infinity();
    int after = n;
    for (int i = 0; i < wanted; i++) {
      const int id = nextBest(x, n, limit, after, s);
      if (id < n) {
        limit = x[id];
        after = id;
      }
      if (threadIdx.x == 0) {
        t.topIds[(size_t)row * t.topStride + i] = id < n ? id : -1;
        t.topLogprobs[(size_t)row * t.topStride + i] = id < n ? limit - normalizer : -infinity();
      }
      if (id >= n) {
        limit = -infinity();
        after = n;
      }
    }
  }
  const float* raw = t.raw + (size_t)row * n;

  const int from = t.biasStarts[row], to = t.biasStarts[row + 1];
  syncThreads();
  // An id may come twice.
  for (int i = from + (int)threadIdx.x; i < to; i += kThreads) addAtomic(x + t.lists->biasIds[i], t.lists->biasValues[i]);
  syncThreads();
  if (t.maskOf[row] >= 0) {
    const uint32_t* mask = t.lists->masks + (size_t)t.maskOf[row] * ((size_t)(n + 31) / 32);
    for (int i = (int)threadIdx.x; i < n; i += kThreads)
      if (!(mask[i / 32] >> (i % 32) & 1)) x[i] = -infinity();
    syncThreads();
  }
  penalize(t, x, t.marks + (size_t)row * n, floats, ints);
  const int id = t.forced[row] >= 0 ? t.forced[row] : choose(t, x, floats, ints, blocks, s);
  if (threadIdx.x == 0) t.ids[row] = id;
  if (wanted < 0) {
    if (threadIdx.x == 0) {
      t.logprobs[row] = 0;
      t.ranks[row] = 0;
    }
    return;
  }
  const float value = raw[id];
  int greater = 0;
  for (int i = (int)threadIdx.x; i < n; i += kThreads) greater += raw[i] > value;
  greater = blockSum(greater, reinterpret_cast<int*>(s.words));
  if (threadIdx.x == 0) {
    t.logprobs[row] = value - normalizer;
    t.ranks[row] = 1 + greater;
  }
}

}  // namespace

void sample(const SampleTask& t, cudaStream_t stream) {
  const size_t blocks = (size_t)(t.vocab + kBlock - 1) / kBlock;
  launch<sampleKernel>(dim3((unsigned)t.rows), kThreads, (sizeof(Scratch) + blocks * sizeof(double)), stream, t);
}

}  // namespace pm::cuda
