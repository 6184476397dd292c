// out = softmax(q K^T) V over the tokens that a query sees, with the softmax computed online (Milakov and
// Gimelshein 2018, "Online normalizer calculation for softmax"): for each step of 64 tokens, with running
// maximum m, sum l and weighted values o,
//   m' = max(m, max s),  c = e^(m - m'),  p = e^(s - m'),  l' = l c + sum p,  o' = o c + p V.
//
// A row is one query with one head of the group. Rows are tiled up to R at a time, so that a key or value
// vector is loaded once for all of them. Steps are cut at multiples of 64 positions from the sequence start,
// scores are two chains over even and odd channels, weighted values one chain over tokens in order: a row's
// arithmetic depends on its position alone, not on the tile, the chunk or the batch. Lanes outside the
// causal range or the window count as probability 0 and their values are never read.
//
// In I8 pages a token's keys share a scale, and so do its values: scores are multiplied by the former, probabilities
// by the latter once they are summed, so that sums run over integers as they are stored.
//
// Parallelization: callers cut (sequence, queries, kv head) into tasks.
#include "attention.h"

#include "online-softmax.h"
#include "table.h"

namespace pm::PM_ISA {
namespace {

constexpr int kRows = kAccumulators >= 24 ? 6 : kAccumulators >= 6 ? 3 : 1;
// What R rows take at a time, as registers allow, so that few rows have chains enough not to wait for each other:
// pages of keys, with two chains for each row, and vectors of value channels.
constexpr int atOnce(int room, int most) { return room >= 8 && most >= 8 ? 8 : room >= 4 ? 4 : room >= 2 ? 2 : 1; }
template <int R> constexpr int kPagesAtOnce = R <= 2 ? atOnce(kAccumulators / (2 * R), 4) : 1;
template <int R> constexpr int kChannelsAtOnce = atOnce(kAccumulators / (R + 1), 8);
template <class S>
constexpr bool kIsScaled = sizeof(typename S::Stored) == 1;

// Pages of a sequence lie anywhere, and the processor guesses no further than the end of one: the next step's are
// asked for while this one's are computed.
template <size_t Count, class T>
void fetch(const T* p) {
  const char* bytes = reinterpret_cast<const char*>(p);
  PM_UNROLL for (size_t line = 0; line < Count * sizeof(T); line += 64) __builtin_prefetch(bytes + line, 0, 2);
}

// Two channels of 16 keys, which are 32 elements in every type.
template <class S>
PM_INLINE void readKeys(const typename S::Stored* p, Vec& even, Vec& odd) {
  if constexpr (kvPairs(S::kDtype) == 2) {
    const Bf16Pairs pairs = loadBf16Pairs(p);
    even = firstOf(pairs), odd = secondOf(pairs);
  } else {
    even = S::get(p), odd = S::get(p + kLanes);
  }
}

// Values of 16 channels, of the first token or another of those that stand together.
template <class S, int Token>
PM_INLINE Vec readValues(const typename S::Stored* p) {
  if constexpr (kvPairs(S::kDtype) == 2) return Token ? secondOf(loadBf16Pairs(p)) : firstOf(loadBf16Pairs(p));
  else return S::get(p);
}

template <class S>
struct Walk {
  const AttentionTask& t;
  size_t step;  // index of the 64-token step
  float* scores;  // [rows, 64]
  float* acc;     // [rows, paddedHeadDim]

  // The tiles of this head in a page of the step; pages after the last one stand for the last one.
  size_t tile(size_t page) const {
    const size_t index = step * kPages + page, last = (t.firstPosition + t.queries - 1) / kLanes;
    return (size_t)t.blockTable[index < last ? index : last] * t.pages.kvHeads + t.kvHead;
  }
  const char* keyTile(size_t page) const { return t.pages.keys + tile(page) * kvTileBytes(t.pages.dtype, t.pages.headDim); }
  const char* valueTile(size_t page) const {
    return t.pages.values + tile(page) * kvTileBytes(t.pages.dtype, t.pages.paddedHeadDim);
  }
  static Vec scales(const char* tile, size_t channels) {
    return loadBf16(reinterpret_cast<const uint16_t*>(tile + kvScalesAt(channels)));
  }
  SoftmaxRow rowOf(size_t row) const {
    return {scores + row * kAttentionTokens, acc + row * t.pages.paddedHeadDim, t.pages.paddedHeadDim};
  }
  const typename S::Stored* values(size_t page) const { return reinterpret_cast<const typename S::Stored*>(valueTile(page)); }
  const float* query(size_t row) const {
    return t.q + row / t.group * t.qStride + row % t.group * t.pages.headDim;
  }

  // scores[row][page * 16 ..] = q . K for R rows and P pages.
  template <int R, int P>
  void score(size_t row, size_t page) const {
    using Stored = typename S::Stored;
    const size_t d = t.pages.headDim;
    const float* q[R];
    const Stored *k[P], *next[P];
    Vec even[P][R], odd[P][R];
    PM_UNROLL for (int r = 0; r < R; r++) q[r] = query(row + r);
    PM_UNROLL for (int p = 0; p < P; p++) {
      k[p] = reinterpret_cast<const Stored*>(keyTile(page + p));
      next[p] = reinterpret_cast<const Stored*>(keyTile(page + p + kPages));
      PM_UNROLL for (int r = 0; r < R; r++) even[p][r] = odd[p][r] = zero();
    }
    for (size_t i = 0; i < d; i += 2)
      PM_UNROLL for (int p = 0; p < P; p++) {
        fetch<2 * kLanes>(next[p] + i * kLanes);
        Vec k0, k1;
        readKeys<S>(k[p] + i * kLanes, k0, k1);
        PM_UNROLL for (int r = 0; r < R; r++) {
          even[p][r] = fma(k0, set1(q[r][i]), even[p][r]);
          odd[p][r] = fma(k1, set1(q[r][i + 1]), odd[p][r]);
        }
      }
    PM_UNROLL for (int p = 0; p < P; p++)
      PM_UNROLL for (int r = 0; r < R; r++) {
        Vec score = add(even[p][r], odd[p][r]);
        if constexpr (kIsScaled<S>) score = mul(score, scales(keyTile(page + p), d));
        store(scores + (row + r) * kAttentionTokens + (page + p) * kLanes, score);
      }
  }

  // The same for the pages that hold tokens [low, high).
  template <int R>
  void scoreAll(size_t row, int low, int high) const {
    constexpr int P = kPagesAtOnce<R>;
    size_t page = (size_t)low / kLanes;
    const size_t end = ((size_t)high + kLanes - 1) / kLanes;
    for (; page + P <= end; page += P) score<R, P>(row, page);
    for (; page < end; page++) score<R, 1>(row, page);
  }

  // acc[row][channel ..] += p V over tokens [low, high), for R rows and C vectors of channels.
  template <int R, int C>
  void weigh(size_t row, size_t channel, int low, int high) const {
    const size_t stride = t.pages.paddedHeadDim;
    float* o = acc + row * stride + channel;
    const float* p = scores + row * kAttentionTokens;
    Vec sum[R][C];
    PM_UNROLL for (int r = 0; r < R; r++)
      PM_UNROLL for (int c = 0; c < C; c++) sum[r][c] = load(o + r * stride + c * kLanes);
    constexpr size_t together = kvPairs(S::kDtype);
    const auto take = [&]<int Token>(const typename S::Stored* v, int token) __attribute__((always_inline)) {
      Vec wide[C];
      PM_UNROLL for (int c = 0; c < C; c++) wide[c] = readValues<S, Token>(v + c * kLanes * together);
      PM_UNROLL for (int r = 0; r < R; r++) {
        const Vec weight = set1(p[r * kAttentionTokens + token]);
        PM_UNROLL for (int c = 0; c < C; c++) sum[r][c] = fma(wide[c], weight, sum[r][c]);
      }
    };
    for (int token = low; token < high;) {
      const size_t page = (size_t)token / kLanes;
      const int end = min(high, ((int)page + 1) * kLanes);
      const auto *from = values(page), *later = values(page + kPages);
      const auto lineOf = [&](int at) { return valueIndex(S::kDtype, stride, (size_t)at % kLanes / together * together, channel); };
      // The second of a pair, whole pairs, the first of a pair.
      if (token % (int)together == 1) take.template operator()<1>(from + lineOf(token), token), token++;
      for (; token + (int)together <= end; token += (int)together) {
        const size_t line = lineOf(token);
        fetch<C * kLanes * together>(later + line);
        take.template operator()<0>(from + line, token);
        if constexpr (together == 2) take.template operator()<1>(from + line, token + 1);
      }
      if (token < end) take.template operator()<0>(from + lineOf(token), token), token++;
    }
    PM_UNROLL for (int r = 0; r < R; r++)
      PM_UNROLL for (int c = 0; c < C; c++) store(o + r * stride + c * kLanes, sum[r][c]);
  }

  template <int R>
  void weighAll(size_t row, int low, int high) const {
    if (low >= high) return;
    const size_t channels = t.pages.paddedHeadDim;
    constexpr size_t C = kChannelsAtOnce<R>;
    size_t c = 0;
    for (; c + C * kLanes <= channels; c += C * kLanes) weigh<R, C>(row, c, low, high);
    for (; c < channels; c += kLanes) weigh<R, 1>(row, c, low, high);
  }

  static int min(int a, int b) { return a < b ? a : b; }
};

template <class S, int R>
void stepRows(const Walk<S>& walk, size_t row, float* most, float* sum) {
  const AttentionTask& t = walk.t;
  Range seen[R];
  int anyLow = 64, anyHigh = 0, allLow = 0, allHigh = 64;
  for (int r = 0; r < R; r++) {
    seen[r] = visible(t, row + r, walk.step);
    if (seen[r].low >= seen[r].high) seen[r] = {64, 0};
    anyLow = seen[r].low < anyLow ? seen[r].low : anyLow;
    anyHigh = seen[r].high > anyHigh ? seen[r].high : anyHigh;
    allLow = seen[r].low > allLow ? seen[r].low : allLow;
    allHigh = seen[r].high < allHigh ? seen[r].high : allHigh;
  }
  if (anyLow >= anyHigh) return;
  walk.template scoreAll<R>(row, anyLow, anyHigh);
  for (int r = 0; r < R; r++)
    if (seen[r].low < seen[r].high)
      soften(walk.rowOf(row + r), seen[r], t.softcap, most[row + r], sum[row + r], [&](size_t page, Vec p) {
        if constexpr (kIsScaled<S>) return mul(p, walk.scales(walk.valueTile(page), t.pages.paddedHeadDim));
        else return p;
      });
  // Tokens that all rows see go through the tile; the ragged ends, before and after, row by row.
  if (allLow >= allHigh) {
    for (int r = 0; r < R; r++) walk.template weighAll<1>(row + r, seen[r].low, seen[r].high);
    return;
  }
  for (int r = 0; r < R; r++) walk.template weighAll<1>(row + r, seen[r].low, allLow);
  walk.template weighAll<R>(row, allLow, allHigh);
  for (int r = 0; r < R; r++) walk.template weighAll<1>(row + r, allHigh, seen[r].high);
}

template <class S>
void run(const AttentionTask& t) {
  const size_t rows = t.queries * t.group, channels = t.pages.paddedHeadDim;
  Walk<S> walk{t, 0, t.scratch, t.scratch + rows * kAttentionTokens};
  float* most = walk.acc + rows * channels;
  float* sum = most + (rows + 15) / 16 * 16;
  for (size_t i = 0; i < rows * channels; i++) walk.acc[i] = 0.0f;
  for (size_t r = 0; r < rows; r++) most[r] = -3.0e38f, sum[r] = 0.0f;

  const size_t lastPosition = t.firstPosition + t.queries - 1;
  const size_t firstSeen = t.window && t.firstPosition + 1 > t.window ? t.firstPosition + 1 - t.window : 0;
  for (size_t step = firstSeen / kAttentionTokens; step <= lastPosition / kAttentionTokens; step++) {
    walk.step = step;
    size_t row = 0;
    const auto pass = [&]<int R>() {
      if constexpr (R <= kRows)
        for (; row + R <= rows; row += R) stepRows<S, R>(walk, row, most, sum);
    };
    pass.template operator()<6>();
    pass.template operator()<5>();
    pass.template operator()<4>();
    pass.template operator()<3>();
    pass.template operator()<2>();
    pass.template operator()<1>();
  }
  for (size_t r = 0; r < rows; r++) finish(t, walk.rowOf(r), r, sum[r]);
}

}  // namespace

void attention(const AttentionTask& task) {
  if (task.pages.dtype == Dtype::F32) return run<AsF32>(task);
  if (task.pages.dtype == Dtype::I8) return run<AsI8>(task);
  return run<AsBf16>(task);
}

}  // namespace pm::PM_ISA
