// Attention (attention.h, attention.cc) with its products on matrix tiles, over pages of bfloat16: queries and
// probabilities are rounded to bfloat16 before they are multiplied, sums are float32. Other pages are left to the set
// below.
//
// A step of 64 tokens turns keys and values into tiles of B once, for all rows: keys by pairs of channels, values by
// pairs of tokens. Rows stand in tiles of equal height, filled up with rows that are thrown away. Steps are cut at
// multiples of 64 positions, and what a row does not see has probability 0, so a row's arithmetic depends on its
// position alone. Values of tokens that are not there yet count as 0.
#include "online-softmax.h"

#include "amx.h"

namespace pm::avx512 { void attention(const AttentionTask& task); }

namespace pm::PM_ISA {

void attention(const AttentionTask& task);

namespace {

using Bits = uint16_t;  // of a bfloat16

// Two lines of 16 numbers as 16 pairs.
struct PairOrder {
  alignas(64) uint16_t at[32] = {};
  constexpr PairOrder() {
    for (size_t i = 0; i < 32; i++) at[i] = (uint16_t)(i / 2 + i % 2 * 16);
  }
};
constexpr PairOrder kPairOrder;
PM_INLINE void storePairs(char* to, __m512i lines) {
  _mm512_store_si512(to, _mm512_permutexvar_epi16(_mm512_load_si512(kPairOrder.at), lines));
}

PM_INLINE void narrow(const float* x, Bits* out) {
  _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + kLanes), _mm512_loadu_ps(x)));
}

struct Walk {
  const AttentionTask& t;
  size_t rows, height, tiles;  // real rows, and `tiles` tiles of `height` rows for them
  size_t channels, queryLength;  // of an accumulator, a multiple of 16; of a query, a multiple of 32
  float *scores, *acc, *most, *sum;
  Bits *queries, *weights;  // [tiles * height, queryLength], [tiles * height, 64]
  char* b;                  // tiles of B of one step
  size_t step = 0;

  Walk(const AttentionTask& task, char* b)
      : t(task), rows(t.queries * t.group), tiles((rows + kTileRows - 1) / kTileRows), channels(t.pages.paddedHeadDim),
        queryLength((t.pages.headDim + kTileK - 1) / kTileK * kTileK), b(b) {
    height = (rows + tiles - 1) / tiles;
    const size_t all = tiles * kTileRows;
    scores = t.scratch;
    acc = scores + all * kAttentionTokens;
    most = acc + all * channels;
    sum = most + all;
    queries = reinterpret_cast<Bits*>(sum + all);
    weights = queries + all * queryLength;
  }

  SoftmaxRow rowOf(size_t row) const { return {scores + row * kAttentionTokens, acc + row * channels, channels}; }

  void begin() const {
    const size_t all = tiles * height, d = t.pages.headDim;
    memset(queries, 0, all * queryLength * sizeof(Bits));
    memset(weights, 0, all * kAttentionTokens * sizeof(Bits));
    memset(acc, 0, all * channels * sizeof(float));
    for (size_t row = 0; row < rows; row++) {
      const float* q = t.q + row / t.group * t.qStride + row % t.group * d;
      for (size_t i = 0; i < d; i++) queries[row * queryLength + i] = floatToBf16(q[i]);
      most[row] = -3.0e38f;
      sum[row] = 0.0f;
    }
  }

  // What a page of the step holds of this head; pages after the last one stand for the last one.
  size_t pageOf(size_t page) const {
    const size_t index = step * kPages + page, last = (t.firstPosition + t.queries - 1) / kLanes;
    return (size_t)t.blockTable[index < last ? index : last] * t.pages.kvHeads + t.kvHead;
  }
  const char* keys(size_t page) const { return t.pages.keys + pageOf(page) * kvTileBytes(Dtype::BF16, t.pages.headDim); }
  const char* values(size_t page) const { return t.pages.values + pageOf(page) * kvTileBytes(Dtype::BF16, channels); }

  // Scores of the pages that hold tokens [low, high), 16 rows at a time.
  void score(int low, int high) const {
    const size_t lines = t.pages.headDim / 2, depth = queryLength / kTileK;
    const size_t first = (size_t)low / kLanes, end = ((size_t)high + kLanes - 1) / kLanes;
    for (size_t page = first; page < end; page++) {
      const char *from = keys(page), *next = keys(page + kPages);
      char* to = b + page * depth * kTileBytes;
      for (size_t i = 0; i < lines; i++) {
        __builtin_prefetch(next + i * 64, 0, 2);
        storePairs(to + i * 64, _mm512_loadu_si512(from + i * 64));
      }
      memset(to + lines * 64, 0, depth * kTileBytes - lines * 64);
    }
    const auto multiply = [&]<int Page>(size_t tile) {
      if (Page < first || Page >= end) return;
      const Bits* q = queries + tile * height * queryLength;
      zeroTile<Page>();
      for (size_t i = 0; i < depth; i++) {
        loadTile<4>(q + i * kTileK, queryLength * sizeof(Bits));
        loadTile<6>(b + (Page * depth + i) * kTileBytes, 64);
        multiplyTiles<Page, 4, 6>();
      }
      storeTile<Page>(scores + tile * height * kAttentionTokens + Page * kLanes, kAttentionTokens * sizeof(float));
    };
    for (size_t tile = 0; tile < tiles; tile++) {
      multiply.template operator()<0>(tile);
      multiply.template operator()<1>(tile);
      multiply.template operator()<2>(tile);
      multiply.template operator()<3>(tile);
    }
  }

  // Two tokens' values, of which the first `there` are read, as a line of each tile of B.
  void pairTokens(const char* from, const char* next, int there, char* to) const {
    const __mmask8 first = there > 0 ? 0xff : 0, second = there > 1 ? 0xff : 0;
    const size_t bytes = channels * sizeof(Bits);
    for (size_t i = 0; i < bytes; i += 32, to += kTileBytes) {
      __builtin_prefetch(next + 2 * i, 0, 2);
      const __m256i own = _mm256_maskz_loadu_epi32(first, from + i), other = _mm256_maskz_loadu_epi32(second, from + bytes + i);
      storePairs(to, _mm512_inserti64x4(_mm512_castsi256_si512(own), other, 1));
    }
  }

  // acc += probabilities * values of tokens [low, high).
  void weigh(int low, int high) const {
    const size_t panels = channels / kLanes;
    const int first = low / (int)kTileK, end = (high + (int)kTileK - 1) / (int)kTileK;
    for (size_t page = 2 * (size_t)first; page < 2 * (size_t)end; page++) {
      char* to = b + page / 2 * panels * kTileBytes + page % 2 * kTileBytes / 2;
      const int there = high - (int)page * kLanes;  // tokens of the page that are there
      if (there <= 0 || ((int)page + 1) * kLanes <= low) {
        for (size_t i = 0; i < panels; i++) memset(to + i * kTileBytes, 0, kTileBytes / 2);
        continue;
      }
      for (int token = 0; token < kLanes; token += 2, to += 64)
        pairTokens(values(page) + (size_t)token * channels * sizeof(Bits), values(page + kPages) + (size_t)token * channels * sizeof(Bits),
                   there - token, to);
    }
    const size_t accBytes = channels * sizeof(float);
    for (size_t tile = 0; tile < tiles; tile++) {
      const Bits* p = weights + tile * height * kAttentionTokens;
      for (size_t panel = 0; panel < panels; panel += 2) {
        float* o = acc + tile * height * channels + panel * kLanes;
        const bool isPair = panel + 1 < panels;
        loadTile<0>(o, accBytes);
        if (isPair) loadTile<1>(o + kLanes, accBytes);
        for (int half = first; half < end; half++) {
          const char* v = b + ((size_t)half * panels + panel) * kTileBytes;
          loadTile<4>(p + (size_t)half * kTileK, kAttentionTokens * sizeof(Bits));
          loadTile<6>(v, 64);
          multiplyTiles<0, 4, 6>();
          if (!isPair) continue;
          loadTile<7>(v + kTileBytes, 64);
          multiplyTiles<1, 4, 7>();
        }
        storeTile<0>(o, accBytes);
        if (isPair) storeTile<1>(o + kLanes, accBytes);
      }
    }
  }

  void compute() const {
    Range any{(int)kAttentionTokens, 0};
    for (size_t row = 0; row < rows; row += t.group) {
      const Range seen = visible(t, row, step);
      if (seen.low >= seen.high) continue;
      any = {seen.low < any.low ? seen.low : any.low, seen.high > any.high ? seen.high : any.high};
    }
    if (any.low >= any.high) return;
    score(any.low, any.high);
    for (size_t row = 0; row < rows; row++) {
      const Range seen = visible(t, row, step);
      Bits* p = weights + row * kAttentionTokens;
      if (seen.low >= seen.high) {
        memset(p, 0, kAttentionTokens * sizeof(Bits));
        continue;
      }
      const SoftmaxRow own = rowOf(row);
      soften(own, seen, t.softcap, most[row], sum[row], [](size_t, Vec x) { return x; });
      narrow(own.scores, p);
      narrow(own.scores + 2 * kLanes, p + 2 * kLanes);
    }
    weigh(any.low, any.high);
  }
};

void run(const AttentionTask& t) {
  alignas(64) char b[kMaxHeadDim * kAttentionTokens * sizeof(Bits)];
  Walk walk(t, b);
  walk.begin();
  shapeTiles(walk.height, walk.height);
  const size_t lastPosition = t.firstPosition + t.queries - 1;
  const size_t firstSeen = t.window && t.firstPosition + 1 > t.window ? t.firstPosition + 1 - t.window : 0;
  for (walk.step = firstSeen / kAttentionTokens; walk.step <= lastPosition / kAttentionTokens; walk.step++) walk.compute();
  releaseTiles();
  for (size_t row = 0; row < walk.rows; row++) finish(t, walk.rowOf(row), row, walk.sum[row]);
}

}  // namespace

void attention(const AttentionTask& task) {
  if (task.pages.dtype == Dtype::BF16) return run(task);
  avx512::attention(task);
}

}  // namespace pm::PM_ISA
