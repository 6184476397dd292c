// Attention (attention.h, attention.cc) with its products on matrix tiles, over pages of bfloat16: queries and
// probabilities are rounded to bfloat16 before they are multiplied, sums are float32. Other pages are left to the set
// below.
//
// Pages are tiles of B as they stand: 32 channels of a page's keys, and 16 channels of a page's values, half as high
// because it has only 8 pairs of tokens. Copied are only a last tile of fewer channels and a page that is not full.
// Rows stand in tiles of equal height, filled up with rows that are thrown away. Steps are cut at multiples of 64
// positions, and what a row does not see has probability 0, so a row's arithmetic depends on its position alone. Values
// of tokens that are not there yet count as 0.
#include "page-walk.h"

#include "amx.h"

namespace pm::avx512 { void attention(const AttentionTask& task); }

namespace pm::PM_ISA {

void attention(const AttentionTask& task);

namespace {

using Bits = uint16_t;  // of a bfloat16

PM_INLINE void narrow(const float* x, Bits* out) {
  _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + kLanes), _mm512_loadu_ps(x)));
}

// Sums of scores or of weighted values in 0 to 3, queries in 4, probabilities of a page in 5, keys in 6, values in 7.
PM_INLINE void shapeTiles(size_t height) {
  TileShapes shapes;
  for (int i = 0; i < 8; i++) shapes.bytes[i] = 64, shapes.rows[i] = (uint8_t)height;
  shapes.bytes[5] = kLanes * sizeof(Bits);
  shapes.rows[6] = kTileRows;
  shapes.rows[7] = kTileRows / 2;
  configureTiles(shapes);
}

template <int Lines>
PM_INLINE void fetch(const char* p, size_t stride) {
  PM_UNROLL for (int i = 0; i < Lines; i++) __builtin_prefetch(p + i * stride, 0, 2);
}

struct Walk : PageWalk {
  size_t rows, height, tiles;  // real rows, and `tiles` tiles of `height` rows for them
  size_t channels, queryLength;  // of an accumulator, a multiple of 16; of a query, a multiple of 32
  float *scores, *acc, *most, *sum;
  Bits *queries, *weights;  // [tiles * height, queryLength], [tiles * height, 64]
  char* b;                  // tiles of B that do not lie in pages as they stand
  size_t step = 0;

  Walk(const AttentionTask& task, char* b)
      : PageWalk(task), rows(t.queries * t.group), tiles((rows + kTileRows - 1) / kTileRows), channels(t.pages.paddedHeadDim),
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

  // Calls f<Page>() for those of the step's four pages that hold tokens [low, high).
  template <class F>
  static void forPages(int low, int high, const F& f) {
    const int first = low / kLanes, end = (high + kLanes - 1) / kLanes;
    const auto take = [&]<int Page>() {
      if (Page >= first && Page < end) f.template operator()<Page>();
    };
    take.template operator()<0>();
    take.template operator()<1>();
    take.template operator()<2>();
    take.template operator()<3>();
  }

  // Scores of the pages that hold tokens [low, high), 16 rows at a time.
  void score(int low, int high) const {
    const size_t lines = t.pages.headDim / 2, whole = lines / kTileRows, depth = queryLength / kTileK;
    const char* from[kPages];
    forPages(low, high, [&]<int Page>() {
      from[Page] = keys(step * kPages + Page);
      if (whole == depth) return;
      const size_t rest = (lines - whole * kTileRows) * 64;
      memcpy(b + Page * kTileBytes, from[Page] + whole * kTileBytes, rest);
      memset(b + Page * kTileBytes + rest, 0, kTileBytes - rest);
    });
    for (size_t tile = 0; tile < tiles; tile++) {
      const Bits* q = queries + tile * height * queryLength;
      forPages(low, high, [&]<int Page>() { zeroTile<Page>(); });
      for (size_t i = 0; i < depth; i++) {
        loadTile<4>(q + i * kTileK, queryLength * sizeof(Bits));
        forPages(low, high, [&]<int Page>() {
          loadTile<6>(i < whole ? from[Page] + i * kTileBytes : b + Page * kTileBytes, 64);
          multiplyTiles<Page, 4, 6>();
          if (tile == 0) fetch<kTileRows>(keysAhead(step * kPages + Page) + i * kTileBytes, 64);
        });
      }
      float* to = scores + tile * height * kAttentionTokens;
      forPages(low, high, [&]<int Page>() { storeTile<Page>(to + Page * kLanes, kAttentionTokens * sizeof(float)); });
    }
  }

  // A page's values with those of tokens from `there` on as 0.
  const char* shortened(const char* page, size_t there) const {
    const size_t line = channels * 2 * sizeof(Bits), whole = there / 2 * line, end = (there + 1) / 2 * line;
    memcpy(b, page, whole);
    const __m512i first = _mm512_set1_epi32(0xffff);
    for (size_t i = whole; i < end; i += 64) _mm512_store_si512(b + i, _mm512_and_si512(first, _mm512_loadu_si512(page + i)));
    memset(b + end, 0, kTileRows / 2 * line - end);
    return b;
  }

  // acc += probabilities * values of tokens [low, high).
  void weigh(int low, int high) const {
    const size_t line = channels * 2 * sizeof(Bits), accBytes = channels * sizeof(float);
    const char* from[kPages];
    forPages(low, high, [&]<int Page>() {
      const int there = high - Page * kLanes;
      from[Page] = values(step * kPages + Page);
      if (there < kLanes) from[Page] = shortened(from[Page], (size_t)there);
    });
    for (size_t tile = 0; tile < tiles; tile++) {
      const Bits* p = weights + tile * height * kAttentionTokens;
      const auto panels = [&]<int N>(size_t channel) {
        float* o = acc + tile * height * channels + channel;
        loadTile<0>(o, accBytes);
        if constexpr (N > 1) loadTile<1>(o + kLanes, accBytes);
        if constexpr (N > 2) loadTile<2>(o + 2 * kLanes, accBytes), loadTile<3>(o + 3 * kLanes, accBytes);
        forPages(low, high, [&]<int Page>() {
          loadTile<5>(p + Page * kLanes, kAttentionTokens * sizeof(Bits));
          const char* v = from[Page] + channel * 4;
          const auto add = [&]<int C>() {
            loadTile<7>(v + C * 64, line);
            multiplyTiles<C, 5, 7>();
            if (tile == 0) fetch<kTileRows / 2>(valuesAhead(step * kPages + Page) + channel * 4 + C * 64, line);
          };
          add.template operator()<0>();
          if constexpr (N > 1) add.template operator()<1>();
          if constexpr (N > 2) add.template operator()<2>(), add.template operator()<3>();
        });
        storeTile<0>(o, accBytes);
        if constexpr (N > 1) storeTile<1>(o + kLanes, accBytes);
        if constexpr (N > 2) storeTile<2>(o + 2 * kLanes, accBytes), storeTile<3>(o + 3 * kLanes, accBytes);
      };
      size_t channel = 0;
      for (; channel + 4 * kLanes <= channels; channel += 4 * kLanes) panels.template operator()<4>(channel);
      for (; channel + 2 * kLanes <= channels; channel += 2 * kLanes) panels.template operator()<2>(channel);
      if (channel < channels) panels.template operator()<1>(channel);
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
  alignas(64) char b[kMaxHeadDim * kLanes * sizeof(Bits)];
  Walk walk(t, b);
  walk.begin();
  shapeTiles(walk.height);
  for (walk.step = walk.firstPage / kPages; walk.step <= walk.lastPage / kPages; walk.step++) walk.compute();
  releaseTiles();
  for (size_t row = 0; row < walk.rows; row++) finish(t, walk.rowOf(row), row, walk.sum[row]);
}

}  // namespace

void attention(const AttentionTask& task) {
  if (task.pages.dtype == Dtype::BF16) return run(task);
  avx512::attention(task);
}

}  // namespace pm::PM_ISA
