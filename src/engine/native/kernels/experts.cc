// Routing: p = softmax(logits) over all experts; the perToken largest p are kept, and divided by their sum when
// renormalized (Jiang et al. 2024, "Mixtral of Experts", section 2.1; Qwen3-MoE leaves that to its configuration).
// Combination: one chain of multiply-adds per element in order of rank. Both look at one row only, so that a
// token's result does not depend on the tokens beside it.
// Parallelization: callers cut rows.
#include "experts.h"

#include "table.h"

namespace pm::PM_ISA {

void route(const RouteTask& t) {
  const size_t padded = (t.experts + kLanes - 1) / kLanes * kLanes;
  for (size_t row = 0; row < t.rows; row++) {
    float* logits = t.logits + row * t.stride;
    for (size_t i = t.experts; i < padded; i++) logits[i] = -3.0e38f;
    const Vec most = set1(maxOf(logits, padded));
    Vec sum = zero();
    for (size_t i = 0; i < padded; i += kLanes) {
      const Vec p = exp(sub(load(logits + i), most));
      store(logits + i, p);
      sum = add(sum, p);
    }
    float total = reduceAdd(sum), picked = 0;
    for (size_t k = 0; k < t.perToken; k++) {
      size_t best = 0;
      for (size_t i = 1; i < t.experts; i++) best = logits[i] > logits[best] ? i : best;
      t.ids[row * t.perToken + k] = (int32_t)best;
      t.weights[row * t.perToken + k] = logits[best];
      picked += logits[best];
      logits[best] = -1.0f;
    }
    if (t.renormalize) total = picked;
    for (size_t k = 0; k < t.perToken; k++) t.weights[row * t.perToken + k] /= total;
  }
}

void combine(const CombineTask& t) {
  for (size_t row = 0; row < t.rows; row++) {
    const int32_t* places = t.places + row * t.perToken;
    const float* weights = t.weights + row * t.perToken;
    for (size_t i = 0; i < t.n; i += kLanes) {
      Vec sum = zero();
      for (size_t k = 0; k < t.perToken; k++)
        sum = fma(load(t.outputs + (size_t)places[k] * t.outputStride + i), set1(weights[k]), sum);
      store(t.out + row * t.outStride + i, sum);
    }
  }
}

}  // namespace pm::PM_ISA
