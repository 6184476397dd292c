// Per row: x += delta (the block's output joins the residual stream), r = 1 / sqrt(mean(x^2) + eps),
// out = x * r * weight. Sixteen partial sums, folded by a fixed tree. Parallelization: callers cut rows.
#include "rms-norm.h"

#include <cmath>

#include "table.h"

namespace pm::PM_ISA {

void rmsNorm(const RmsNormTask& t) {
  for (size_t row = 0; row < t.rows; row++) {
    float* x = t.x + row * t.xStride;
    float* out = t.out + row * t.outStride;
    Vec sum = zero();
    if (t.delta) {
      const float* delta = t.delta + row * t.deltaStride;
      for (size_t i = 0; i < t.n; i += kLanes) {
        const Vec v = add(load(x + i), load(delta + i));
        store(x + i, v);
        sum = fma(v, v, sum);
      }
    } else {
      for (size_t i = 0; i < t.n; i += kLanes) {
        const Vec v = load(x + i);
        sum = fma(v, v, sum);
      }
    }
    const Vec scale = set1(1.0f / sqrtf(reduceAdd(sum) / (float)t.n + t.eps));
    for (size_t i = 0; i < t.n; i += kLanes) store(out + i, mul(mul(load(x + i), scale), load(t.weight + i)));
  }
}

}  // namespace pm::PM_ISA
