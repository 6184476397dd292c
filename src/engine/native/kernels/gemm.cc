// y[m][n] = sum over k of x[m][k] * w[n][k], plus bias[n].
//
// This file: products in float32, weights of any floating type. Weights are packed in panels of 16 outputs
// (dtype.h), so that one k of a panel is one Vec and no horizontal sum is needed. A tile holds `MB` rows times
// `NB` panels of accumulators in registers; each k takes NB weight vectors and broadcasts MB activations.
//
// Every output is one chain of fused multiply-adds over k = 0, 1, 2, ..., whatever the tile and the blocking
// (between blocks of k the accumulator rests in y, which is exact). A row's result therefore does not depend
// on the rows beside it: the same bits alone, in a batch, or in a prompt chunk of any size.
//
// Blocking: with many rows, k goes in blocks of 128 whose weights are widened to float once, into 8 KiB a panel.
// Parallelization: callers cut rows and panels into rectangles, one GemmTask each.
#include "gemm.h"

#include "table.h"

namespace pm::PM_ISA {
namespace {

// How many bytes ahead of use a weight is prefetched.
constexpr size_t kAhead = 2048;

// Weights as a tile reads them: `kPer` values of k at once, each then taken out as a Vec.
struct ReadF32 {
  using Stored = float;
  static constexpr size_t kPer = 1;
  struct Raw { Vec v; };
  PM_INLINE Raw read(const Stored* p) { return {load(p)}; }
  PM_INLINE Vec part(Raw raw, int) { return raw.v; }
};
struct ReadF16 {
  using Stored = uint16_t;
  static constexpr size_t kPer = 1;
  struct Raw { Vec v; };
  PM_INLINE Raw read(const Stored* p) { return {loadF16(p)}; }
  PM_INLINE Vec part(Raw raw, int) { return raw.v; }
};
struct ReadBf16 {
  using Stored = uint16_t;
  static constexpr size_t kPer = 2;
  using Raw = Bf16Pairs;
  PM_INLINE Raw read(const Stored* p) { return loadBf16Pairs(p); }
  PM_INLINE Vec part(Raw raw, int r) { return r == 0 ? firstOf(raw) : secondOf(raw); }
};

// `step`: elements from one read to the next; panels lie `panelStride` elements apart. Streams: from memory.
template <class W, int MB, int NB, bool Streams>
void tile(const float* x, size_t xStride, const typename W::Stored* w, size_t panelStride, size_t step, size_t k,
          bool first, const float* bias, float* y, size_t yStride) {
  Vec acc[MB][NB];
  PM_UNROLL for (int m = 0; m < MB; m++)
    PM_UNROLL for (int b = 0; b < NB; b++) acc[m][b] = first ? zero() : load(y + m * yStride + b * kLanes);
  const auto take = [&](size_t i, int parts) __attribute__((always_inline)) {
    typename W::Raw raw[NB];
    PM_UNROLL for (int b = 0; b < NB; b++) {
      const auto* at = w + b * panelStride + i / W::kPer * step;
      raw[b] = W::read(at);
      if constexpr (Streams) __builtin_prefetch(reinterpret_cast<const char*>(at) + kAhead);
    }
    PM_UNROLL for (int r = 0; r < parts; r++)
      PM_UNROLL for (int m = 0; m < MB; m++) {
        const Vec xv = set1(x[m * xStride + i + (size_t)r]);
        PM_UNROLL for (int b = 0; b < NB; b++) acc[m][b] = fma(W::part(raw[b], r), xv, acc[m][b]);
      }
  };
  size_t i = 0;
  PM_UNROLL4 for (; i + W::kPer <= k; i += W::kPer) take(i, (int)W::kPer);
  if constexpr (W::kPer > 1)
    if (i < k) take(i, 1);
  PM_UNROLL for (int m = 0; m < MB; m++)
    PM_UNROLL for (int b = 0; b < NB; b++)
      store(y + m * yStride + b * kLanes, bias ? add(acc[m][b], load(bias + b * kLanes)) : acc[m][b]);
}

// A block of k for all rows.
struct Block {
  const GemmTask& task;
  size_t k0, k;
  bool first, last;

  const float* x(size_t row) const {
    return reinterpret_cast<const float*>(static_cast<const char*>(task.x) + row * task.xStride) + k0;
  }
};

// All rows for NB panels, in the tallest tiles that fit in registers. `w` is the first panel's k0.
template <class W, int NB, bool Streams>
void runPanels(const Block& block, size_t panel, const typename W::Stored* w, size_t panelStride, size_t step) {
  const GemmTask& t = block.task;
  const float* bias = block.last && t.bias ? t.bias + panel * kLanes : nullptr;
  size_t row = 0;
  const auto pass = [&]<int MB>() {
    if constexpr (MB * NB <= kAccumulators)
      for (; row + MB <= t.rows; row += MB)
        tile<W, MB, NB, Streams>(block.x(row), t.xStride / sizeof(float), w, panelStride, step, block.k, block.first, bias,
                                 t.y + row * t.yStride + panel * kLanes, t.yStride);
  };
  pass.template operator()<12>();
  pass.template operator()<8>();
  pass.template operator()<6>();
  pass.template operator()<4>();
  pass.template operator()<3>();
  pass.template operator()<2>();
  pass.template operator()<1>();
}

// Few rows: weights are read once, in order; several panels at once hide the latency of the multiply-add
// behind independent chains.
template <class W>
void runShort(const GemmTask& task) {
  const Block block{task, 0, task.k, true, true};
  const auto* w = static_cast<const typename W::Stored*>(task.weights);
  const size_t panelStride = panelBytes(task.dtype, task.k) / sizeof(typename W::Stored);
  size_t panel = 0;
  const auto pass = [&]<int NB>() {
    if constexpr (NB <= kAccumulators)
      if (NB == 1 || task.rows * NB <= kAccumulators || (NB == 2 && kAccumulators >= 24))
        for (; panel + NB <= task.panels; panel += NB)
          runPanels<W, NB, true>(block, panel, w + panel * panelStride, panelStride, W::kPer * kLanes);
  };
  pass.template operator()<8>();
  pass.template operator()<4>();
  pass.template operator()<2>();
  pass.template operator()<1>();
}

// Many rows: a block of k of NB panels is widened to float once, stays in L1, and serves all row tiles.
template <class W>
void runTall(const GemmTask& task) {
  constexpr int NB = kAccumulators >= 24 ? 2 : 1;
  constexpr size_t kBlock = 128;
  alignas(64) float wide[NB * kBlock * kLanes];
  const auto* w = static_cast<const typename W::Stored*>(task.weights);
  const size_t panelStride = panelBytes(task.dtype, task.k) / sizeof(typename W::Stored);
  for (size_t k0 = 0; k0 < task.k; k0 += kBlock) {
    const size_t k = task.k - k0 < kBlock ? task.k - k0 : kBlock;
    const Block block{task, k0, k, k0 == 0, k0 + k == task.k};
    const auto widen = [&](size_t panel, int slot, int slots) {
      const auto* from = w + panel * panelStride + k0 * kLanes;
      float* to = wide + slot * kLanes;
      for (size_t i = 0; i < k; i += W::kPer) {
        const auto raw = W::read(from + i * kLanes);
        for (size_t r = 0; r < W::kPer && i + r < k; r++) store(to + (i + r) * (size_t)slots * kLanes, W::part(raw, (int)r));
      }
    };
    size_t panel = 0;
    for (; panel + NB <= task.panels; panel += NB) {
      for (int slot = 0; slot < NB; slot++) widen(panel + (size_t)slot, slot, NB);
      runPanels<ReadF32, NB, false>(block, panel, wide, kLanes, NB * kLanes);
    }
    for (; panel < task.panels; panel++) {
      widen(panel, 0, 1);
      runPanels<ReadF32, 1, false>(block, panel, wide, 0, kLanes);
    }
  }
}

template <class W>
void run(const GemmTask& task) {
  // Below about six tiles the widening costs more than it saves.
  if (task.rows >= 72) return runTall<W>(task);
  runShort<W>(task);
}

}  // namespace

void gemm(const GemmTask& task) {
  switch (task.dtype) {
    case Dtype::F32: return run<ReadF32>(task);
    case Dtype::BF16: return run<ReadBf16>(task);
    case Dtype::F16: return run<ReadF16>(task);
    case Dtype::I8: return;  // gemm-int8.cc
  }
}

}  // namespace pm::PM_ISA
