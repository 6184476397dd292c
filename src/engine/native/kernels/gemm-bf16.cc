// y = x W^T + bias with activations and weights in bf16, multiplied in pairs of k and added up in float32
// (vdpbf16ps). A tile holds up to 6 rows times 4 panels of sums; each step takes 4 vectors of weights and
// broadcasts one pair of each row.
//
// Every output is one chain over the pairs k = (0, 1), (2, 3), ..., whatever the tile and the blocking, so a row's
// bits do not depend on the rows beside it. Against float32 activations the rounding of x adds a relative error of
// at most 2^-8 per product.
//
// Parallelization: callers cut rows and panels into rectangles, one GemmTask each.
#include "panel-walk.h"

namespace pm::PM_ISA {

void gemmBf16(const GemmTask& task);

namespace {

struct Bf16Tile {
  static constexpr size_t kRows = 6, kPanels = 4, kBlock = 128;

  template <int MB, int NB, int Lines>
  static void compute(const TileTask& t) {
    __m512 sum[MB][NB];
    PM_UNROLL for (int m = 0; m < MB; m++)
      PM_UNROLL for (int b = 0; b < NB; b++)
        sum[m][b] = t.from == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(t.y + m * t.yStride + b * kLanes);
    const char* x = t.x + t.from * 4;
    const char* w = t.weights + t.from * 64;
    const char* ahead = t.ahead;
    PM_UNROLL4 for (size_t i = t.from; i < t.to; i++, x += 4, w += 64, ahead += 64) {
      __m512bh weights[NB];
      PM_UNROLL for (int b = 0; b < NB; b++) weights[b] = (__m512bh)_mm512_load_si512(w + b * t.panelStride);
      PM_UNROLL for (int l = 0; l < Lines; l++) __builtin_prefetch(ahead + l * t.panelStride, 0, 2);
      PM_UNROLL for (int m = 0; m < MB; m++) {
        int pair;
        memcpy(&pair, x + m * t.xStride, 4);
        const __m512bh both = (__m512bh)_mm512_set1_epi32(pair);
        PM_UNROLL for (int b = 0; b < NB; b++) sum[m][b] = _mm512_dpbf16_ps(sum[m][b], weights[b], both);
      }
    }
    PM_UNROLL for (int m = 0; m < MB; m++)
      PM_UNROLL for (int b = 0; b < NB; b++) {
        if (t.bias) sum[m][b] = _mm512_add_ps(sum[m][b], _mm512_loadu_ps(t.bias + b * kLanes));
        _mm512_storeu_ps(t.y + m * t.yStride + b * kLanes, sum[m][b]);
      }
  }

  template <int NB>
  static void run(const TileTask& t, size_t rows, size_t lines) {
    dispatch<NB>(rows, lines, [&]<int MB, int Lines>() { compute<MB, NB, Lines>(t); });
  }
};

}  // namespace

void gemmBf16(const GemmTask& task) { walk<Bf16Tile>(task, (task.k + 1) / 2); }

}  // namespace pm::PM_ISA
