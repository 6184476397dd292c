// out = gate / (1 + e^-gate) * up, elementwise over [rows, panels, 16].
// Parallelization: called on the rectangle that a GEMM task has just written, while it is in cache.
#include "swiglu.h"

#include "table.h"

namespace pm::PM_ISA {

void swiglu(const SwigluTask& t) {
  const Vec one = set1(1.0f);
  for (size_t row = 0; row < t.rows; row++) {
    const float* in = t.gateUp + row * t.gateUpStride;
    float* out = t.out + row * t.outStride;
    for (size_t p = 0; p < t.panels; p++) {
      const Vec gate = load(in + p * 2 * kLanes), up = load(in + (p * 2 + 1) * kLanes);
      store(out + p * kLanes, mul(div(gate, add(one, exp(sub(zero(), gate)))), up));
    }
  }
}

}  // namespace pm::PM_ISA
