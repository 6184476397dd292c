// out = gelu(gate) * up, with the tanh form of GELU (Hendrycks and Gimpel 2016) that Gemma is trained with:
//   gelu(x) = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).
// Same shapes and parallelization as swiglu.cc.
#include "swiglu.h"

#include "table.h"
#include "tanh.h"

namespace pm::PM_ISA {

void geglu(const SwigluTask& t) {
  const Vec half = set1(0.5f), one = set1(1.0f), cubic = set1(0.044715f), slope = set1(0.7978845608f);
  for (size_t row = 0; row < t.rows; row++) {
    const float* in = t.gateUp + row * t.gateUpStride;
    float* out = t.out + row * t.outStride;
    for (size_t p = 0; p < t.panels; p++) {
      const Vec gate = load(in + p * 2 * kLanes), up = load(in + (p * 2 + 1) * kLanes);
      const Vec inner = mul(slope, fma(mul(mul(gate, gate), gate), cubic, gate));
      store(out + p * kLanes, mul(mul(mul(half, gate), add(one, tanh(inner))), up));
    }
  }
}

}  // namespace pm::PM_ISA
