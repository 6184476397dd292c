// y[m][n] = sum over k of x[m][k] * w[n][k], plus bias[n].
//
// Weights are packed in panels of 16 outputs, [panel][k][16], so that one k of a panel is one Vec and no
// horizontal sum is needed. A tile holds `MB` rows times `NB` panels of accumulators in registers; each k
// loads NB weight vectors and broadcasts MB activations.
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

// How many k ahead of use a weight is prefetched.
constexpr size_t kAhead = 48;

// `Step`: elements from one k to the next.
template <class W, int MB, int NB, int Step>
void tile(const float* x, size_t xStride, const typename W::Stored* w, size_t panelStride, size_t k, bool first,
          const float* bias, float* y, size_t yStride) {
  Vec acc[MB][NB];
  PM_UNROLL for (int m = 0; m < MB; m++)
    PM_UNROLL for (int b = 0; b < NB; b++) acc[m][b] = first ? zero() : load(y + m * yStride + b * kLanes);
  PM_UNROLL4 for (size_t i = 0; i < k; i++) {
    Vec wv[NB];
    PM_UNROLL for (int b = 0; b < NB; b++) wv[b] = W::get(w + (Step > kLanes ? b * kLanes : b * panelStride) + i * Step);
    // Straight from the checkpoint's panels, memory is the limit: ask for what comes in a few tens of cycles.
    if constexpr (Step == kLanes)
      PM_UNROLL for (int b = 0; b < NB; b++) __builtin_prefetch(w + b * panelStride + (i + kAhead) * kLanes);
    PM_UNROLL for (int m = 0; m < MB; m++) {
      const Vec xv = set1(x[m * xStride + i]);
      PM_UNROLL for (int b = 0; b < NB; b++) acc[m][b] = fma(wv[b], xv, acc[m][b]);
    }
  }
  PM_UNROLL for (int m = 0; m < MB; m++)
    PM_UNROLL for (int b = 0; b < NB; b++)
      store(y + m * yStride + b * kLanes, bias ? add(acc[m][b], load(bias + b * kLanes)) : acc[m][b]);
}

// A block of k for all rows, and where its weights are.
struct Block {
  const GemmTask& task;
  size_t k0, k;
  bool first, last;
};

// All rows for NB panels, in the tallest tiles that fit in registers. `w` is the first panel's k0.
template <class W, int NB, int Step = kLanes>
void runPanels(const Block& block, size_t panel, const typename W::Stored* w, size_t panelStride) {
  const GemmTask& t = block.task;
  const float* bias = block.last && t.bias ? t.bias + panel * kLanes : nullptr;
  size_t row = 0;
  const auto pass = [&]<int MB>() {
    if constexpr (MB * NB <= kAccumulators)
      for (; row + MB <= t.rows; row += MB)
        tile<W, MB, NB, Step>(t.x + row * t.xStride + block.k0, t.xStride, w, panelStride, block.k, block.first, bias,
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
  const size_t panelStride = task.k * kLanes;
  size_t panel = 0;
  const auto pass = [&]<int NB>() {
    if constexpr (NB <= kAccumulators)
      if (NB == 1 || task.rows * NB <= kAccumulators || (NB == 2 && kAccumulators >= 24))
        for (; panel + NB <= task.panels; panel += NB) runPanels<W, NB>(block, panel, w + panel * panelStride, panelStride);
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
  for (size_t k0 = 0; k0 < task.k; k0 += kBlock) {
    const size_t k = task.k - k0 < kBlock ? task.k - k0 : kBlock;
    const Block block{task, k0, k, k0 == 0, k0 + k == task.k};
    const auto widen = [&](size_t panel, int slot, int slots) {
      const auto* from = w + (panel * task.k + k0) * kLanes;
      for (size_t i = 0; i < k; i++) store(wide + (i * slots + slot) * kLanes, W::get(from + i * kLanes));
    };
    size_t panel = 0;
    for (; panel + NB <= task.panels; panel += NB) {
      for (int slot = 0; slot < NB; slot++) widen(panel + (size_t)slot, slot, NB);
      runPanels<AsF32, NB, NB * kLanes>(block, panel, wide, 0);
    }
    for (; panel < task.panels; panel++) {
      widen(panel, 0, 1);
      runPanels<AsF32, 1>(block, panel, wide, 0);
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
    case Dtype::F32: return run<AsF32>(task);
    case Dtype::BF16: return run<AsBf16>(task);
    case Dtype::F16: return run<AsF16>(task);
  }
}

}  // namespace pm::PM_ISA
