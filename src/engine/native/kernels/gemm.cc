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
// Blocking: with many rows, k goes in blocks of 512 so that a row block of x ([96, 512] floats, 192 KiB) and
// a panel pair stay in L2. Parallelization: callers cut rows and panels into rectangles, one GemmTask each.
#include "gemm.h"

#include "table.h"

namespace pm::PM_ISA {
namespace {

template <class W, int MB, int NB>
void tile(const float* x, size_t xStride, const typename W::Stored* w, size_t panelStride, size_t k, bool first,
          const float* bias, float* y, size_t yStride) {
  Vec acc[MB][NB];
  PM_UNROLL for (int m = 0; m < MB; m++)
    PM_UNROLL for (int b = 0; b < NB; b++) acc[m][b] = first ? zero() : load(y + m * yStride + b * kLanes);
  PM_UNROLL4 for (size_t i = 0; i < k; i++) {
    Vec wv[NB];
    PM_UNROLL for (int b = 0; b < NB; b++) wv[b] = W::get(w + b * panelStride + i * kLanes);
    PM_UNROLL for (int m = 0; m < MB; m++) {
      const Vec xv = set1(x[m * xStride + i]);
      PM_UNROLL for (int b = 0; b < NB; b++) acc[m][b] = fma(wv[b], xv, acc[m][b]);
    }
  }
  PM_UNROLL for (int m = 0; m < MB; m++)
    PM_UNROLL for (int b = 0; b < NB; b++)
      store(y + m * yStride + b * kLanes, bias ? add(acc[m][b], load(bias + b * kLanes)) : acc[m][b]);
}

// A block of k for all rows and panels of the task.
struct Block {
  const GemmTask& task;
  size_t k0, k;
  bool first, last;
};

template <class W, int MB, int NB>
void runTile(const Block& block, size_t row, size_t panel) {
  const GemmTask& t = block.task;
  const auto* w = static_cast<const typename W::Stored*>(t.weights) + (panel * t.k + block.k0) * kLanes;
  const float* bias = block.last && t.bias ? t.bias + panel * kLanes : nullptr;
  tile<W, MB, NB>(t.x + row * t.xStride + block.k0, t.xStride, w, t.k * kLanes, block.k, block.first, bias,
                  t.y + row * t.yStride + panel * kLanes, t.yStride);
}

// All rows for NB panels, in the tallest tiles that fit in registers.
template <class W, int NB>
void runPanels(const Block& block, size_t panel) {
  constexpr int most = kAccumulators / NB;
  const size_t rows = block.task.rows;
  size_t row = 0;
  const auto pass = [&]<int MB>() {
    if constexpr (MB <= most)
      for (; row + MB <= rows; row += MB) runTile<W, MB, NB>(block, row, panel);
  };
  pass.template operator()<12>();
  pass.template operator()<8>();
  pass.template operator()<6>();
  pass.template operator()<4>();
  pass.template operator()<3>();
  pass.template operator()<2>();
  pass.template operator()<1>();
}

template <class W>
void run(const GemmTask& task) {
  constexpr size_t kBlock = 512;
  const size_t step = task.rows > 12 ? kBlock : task.k;
  for (size_t k0 = 0; k0 < task.k; k0 += step) {
    const size_t k = task.k - k0 < step ? task.k - k0 : step;
    const Block block{task, k0, k, k0 == 0, k0 + k == task.k};
    size_t panel = 0;
    // Few rows: more panels at once, to hide the latency of the multiply-add behind independent chains.
    const auto wide = [&]<int NB>() {
      if constexpr (NB <= kAccumulators)
        if (task.rows * NB <= kAccumulators || (NB == 2 && kAccumulators == 24))
          for (; panel + NB <= task.panels; panel += NB) runPanels<W, NB>(block, panel);
    };
    wide.template operator()<8>();
    wide.template operator()<4>();
    wide.template operator()<2>();
    for (; panel < task.panels; panel++) runPanels<W, 1>(block, panel);
  }
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
