// Attention (attention.h, attention.cc) with products of bfloat16 pairs that are added up in float32 (vdpbf16ps), over
// pages of bfloat16: queries and probabilities are rounded to bfloat16 before they are multiplied. Other pages are left
// to the set below.
//
// A line of a page is an operand as it stands: two channels of 16 keys, or 16 channels of two tokens' values. A tile
// holds the sums of up to 6 rows times 4 lines. A score is one chain over its channels, a weighted value one chain over
// tokens in order, steps are cut at multiples of 64 positions, and what a row does not see has probability 0, so a row's
// arithmetic depends on its position alone. Values of tokens that are not there yet count as 0.
#include "page-walk.h"

namespace pm::avx512 { void attention(const AttentionTask& task); }

namespace pm::PM_ISA {

void attention(const AttentionTask& task);

namespace {

using Bits = uint16_t;  // of a bfloat16

// Lines of 16 channels that R rows take at a time; few rows need more chains not to wait for each other.
template <int R> constexpr int kChannelsAtOnce = R <= 3 ? 8 : 4;

PM_INLINE void narrow(const float* x, size_t n, Bits* out) {
  for (size_t i = 0; i < n; i += kLanes) {
    const __mmask16 lanes = (__mmask16)laneRange(0, (int)(n - i));
    _mm256_mask_storeu_epi16(out + i, lanes, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, x + i)));
  }
}

// Lines that a product takes from: C of them side by side, `stride` bytes from one pair to the next. `ahead` is asked
// for on the way.
template <int C>
struct Lines {
  const char *from[C], *ahead[C];
  size_t stride;
};

// sum[r][c] += pairs of row r times pairs of line c, over `count` pairs. Half: of each pair only the first.
template <bool Asks, bool Half, int R, int C>
PM_INLINE void multiply(__m512 (&sum)[R][C], const Bits* pairs, size_t rowStride, const Lines<C>& lines, size_t first, size_t count) {
  for (size_t i = first; i < first + count; i++) {
    __m512i line[C];
    PM_UNROLL for (int c = 0; c < C; c++) {
      line[c] = _mm512_loadu_si512(lines.from[c] + i * lines.stride);
      if constexpr (Half) line[c] = _mm512_and_si512(line[c], _mm512_set1_epi32(0xffff));
      if constexpr (Asks) __builtin_prefetch(lines.ahead[c] + i * lines.stride, 0, 2);
    }
    PM_UNROLL for (int r = 0; r < R; r++) {
      int pair;
      memcpy(&pair, pairs + r * rowStride + 2 * i, 4);
      const __m512bh both = (__m512bh)_mm512_set1_epi32(pair);
      PM_UNROLL for (int c = 0; c < C; c++) sum[r][c] = _mm512_dpbf16_ps(sum[r][c], (__m512bh)line[c], both);
    }
  }
}

struct Walk : PageWalk {
  size_t channels;  // of an accumulator, a multiple of 16
  float *scores, *acc, *most, *sum;
  Bits *queries, *weights;  // [rows, headDim], [rows, 64]
  size_t step = 0;

  explicit Walk(const AttentionTask& task) : PageWalk(task), channels(t.pages.paddedHeadDim) {
    const size_t rows = t.queries * t.group, d = t.pages.headDim;
    scores = t.scratch;
    acc = scores + rows * kAttentionTokens;
    most = acc + rows * channels;
    sum = most + rows;
    queries = reinterpret_cast<Bits*>(sum + rows);
    weights = queries + rows * d;
    memset(acc, 0, rows * channels * sizeof(float));
    for (size_t row = 0; row < rows; row++) {
      narrow(t.q + row / t.group * t.qStride + row % t.group * d, d, queries + row * d);
      most[row] = -3.0e38f;
      sum[row] = 0.0f;
    }
  }

  SoftmaxRow rowOf(size_t row) const { return {scores + row * kAttentionTokens, acc + row * channels, channels}; }

  // scores[row][page * 16 ..] = q . K for R rows and P pages of the step.
  template <int R, int P>
  void score(size_t row, size_t page) const {
    const size_t d = t.pages.headDim;
    Lines<P> lines;
    lines.stride = 64;
    __m512 sums[R][P];
    PM_UNROLL for (int p = 0; p < P; p++) {
      lines.from[p] = keys(step * kPages + page + p);
      lines.ahead[p] = keysAhead(step * kPages + page + p);
      PM_UNROLL for (int r = 0; r < R; r++) sums[r][p] = _mm512_setzero_ps();
    }
    if (row == 0) multiply<true, false>(sums, queries, d, lines, 0, d / 2);
    else multiply<false, false>(sums, queries + row * d, d, lines, 0, d / 2);
    PM_UNROLL for (int p = 0; p < P; p++)
      PM_UNROLL for (int r = 0; r < R; r++)
        _mm512_storeu_ps(scores + (row + r) * kAttentionTokens + (page + p) * kLanes, sums[r][p]);
  }

  template <int R>
  void scoreAll(size_t row, Range seen) const {
    size_t page = (size_t)seen.low / kLanes;
    const size_t end = ((size_t)seen.high + kLanes - 1) / kLanes;
    for (; page + 4 <= end; page += 4) score<R, 4>(row, page);
    for (; page + 2 <= end; page += 2) score<R, 2>(row, page);
    for (; page < end; page++) score<R, 1>(row, page);
  }

  // acc[row][channel ..] += p V over the pairs of tokens that hold [low, high), for R rows and C lines of channels.
  template <int R, int C>
  void weigh(size_t row, size_t channel, Range seen) const {
    float* o = acc + row * channels + channel;
    __m512 sums[R][C];
    PM_UNROLL for (int r = 0; r < R; r++)
      PM_UNROLL for (int c = 0; c < C; c++) sums[r][c] = _mm512_loadu_ps(o + r * channels + c * kLanes);
    Lines<C> lines;
    lines.stride = channels * 2 * sizeof(Bits);
    for (int token = seen.low & ~1; token < seen.high;) {
      const size_t page = (size_t)token / kLanes;
      const int start = (int)page * kLanes, end = seen.high < start + kLanes ? seen.high : start + kLanes;
      const size_t first = (size_t)(token - start) / 2, whole = (size_t)(end - start) / 2 - first;
      PM_UNROLL for (int c = 0; c < C; c++) {
        const size_t at = (channel + c * kLanes) * 2 * sizeof(Bits);
        lines.from[c] = values(step * kPages + page) + at;
        lines.ahead[c] = valuesAhead(step * kPages + page) + at;
      }
      const Bits* p = weights + row * kAttentionTokens + start;
      if (row == 0) multiply<true, false>(sums, p, kAttentionTokens, lines, first, whole);
      else multiply<false, false>(sums, p, kAttentionTokens, lines, first, whole);
      if (end % 2) multiply<false, true>(sums, p, kAttentionTokens, lines, first + whole, 1);
      token = end;
    }
    PM_UNROLL for (int r = 0; r < R; r++)
      PM_UNROLL for (int c = 0; c < C; c++) _mm512_storeu_ps(o + r * channels + c * kLanes, sums[r][c]);
  }

  template <int R>
  void weighAll(size_t row, Range seen) const {
    constexpr int most = kChannelsAtOnce<R>;
    size_t channel = 0;
    for (; channel + most * kLanes <= channels; channel += most * kLanes) weigh<R, most>(row, channel, seen);
    for (; channel + 4 * kLanes <= channels; channel += 4 * kLanes) weigh<R, 4>(row, channel, seen);
    for (; channel < channels; channel += kLanes) weigh<R, 1>(row, channel, seen);
  }

  template <int R>
  void stepRows(size_t row) const {
    Range seen[R], any{(int)kAttentionTokens, 0};
    for (int r = 0; r < R; r++) {
      seen[r] = visible(t, row + r, step);
      if (seen[r].low >= seen[r].high) continue;
      any = {seen[r].low < any.low ? seen[r].low : any.low, seen[r].high > any.high ? seen[r].high : any.high};
    }
    if (any.low >= any.high) return;
    scoreAll<R>(row, any);
    for (int r = 0; r < R; r++) {
      Bits* p = weights + (row + r) * kAttentionTokens;
      if (seen[r].low >= seen[r].high) {
        memset(p, 0, kAttentionTokens * sizeof(Bits));
        continue;
      }
      const SoftmaxRow own = rowOf(row + r);
      soften(own, seen[r], t.softcap, most[row + r], sum[row + r], [](size_t, Vec x) { return x; });
      narrow(own.scores, kAttentionTokens, p);
    }
    weighAll<R>(row, any);
  }
};

void run(const AttentionTask& t) {
  Walk walk(t);
  const size_t rows = t.queries * t.group;
  for (walk.step = walk.firstPage / kPages; walk.step <= walk.lastPage / kPages; walk.step++) {
    size_t row = 0;
    const auto pass = [&]<int R>() {
      for (; row + R <= rows; row += R) walk.stepRows<R>(row);
    };
    pass.operator()<6>();
    pass.operator()<5>();
    pass.operator()<4>();
    pass.operator()<3>();
    pass.operator()<2>();
    pass.operator()<1>();
  }
  for (size_t row = 0; row < rows; row++) finish(t, walk.rowOf(row), row, walk.sum[row]);
}

}  // namespace

void attention(const AttentionTask& task) {
  if (task.pages.dtype == Dtype::BF16) return run(task);
  avx512::attention(task);
}

}  // namespace pm::PM_ISA
