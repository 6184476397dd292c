// x = cap * tanh(x / cap), elementwise. Parallelization: callers cut rows of logits.
#include "table.h"
#include "tanh.h"

namespace pm::PM_ISA {

void softcap(float* x, size_t n, float cap) {
  const Vec c = set1(cap);
  for (size_t i = 0; i < n; i += kLanes) store(x + i, softcap(load(x + i), c));
}

}  // namespace pm::PM_ISA
