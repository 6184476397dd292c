// Rows of floats to bf16 pairs or to 8-bit groups; see activations.h. A group's scale is its largest magnitude
// over 127, values are rounded to nearest even. A pure function of the row. Parallelization: callers cut rows.
#include "activations.h"

#include "table.h"

namespace pm::PM_ISA {
namespace {

void narrow(const float* x, size_t k, char* out) {
  uint16_t* pairs = reinterpret_cast<uint16_t*>(out);
  for (size_t i = 0; i < k; i++) pairs[i] = floatToBf16(x[i]);
  for (size_t i = k; i < groupsOf(k) * kGroup; i++) pairs[i] = 0;
}

// One group of 32 floats; -128 * (sum of the bytes).
int32_t quantizeGroup(const float* x, int8_t* q, float* scale) {
  const Vec low = load(x), high = load(x + kLanes);
  const float most = reduceMax(max(max(low, sub(zero(), low)), max(high, sub(zero(), high))));
  // Below that, 127 / most overflows; such a group counts as zero.
  const bool isZero = !(most > 1e-36f);
  *scale = isZero ? 0.0f : most * (1.0f / 127.0f);
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low mantissa bits. Not fused: the same on every
  // instruction set.
  const Vec inverse = set1(isZero ? 0.0f : 127.0f / most), magic = set1(12582912.0f);
  alignas(64) float shifted[kGroup];
  store(shifted, add(mul(low, inverse), magic));
  store(shifted + kLanes, add(mul(high, inverse), magic));
  int32_t sum = 0;
  for (size_t i = 0; i < kGroup; i++) {
    int32_t bits;
    memcpy(&bits, shifted + i, 4);
    q[i] = (int8_t)bits;
    sum += (int8_t)bits;
  }
  return -128 * sum;
}

void quantize(const float* x, size_t k, char* out) {
  int8_t* q = reinterpret_cast<int8_t*>(out);
  float* scales = reinterpret_cast<float*>(out + scalesAt(k));
  int32_t* offsets = reinterpret_cast<int32_t*>(out + offsetsAt(k));
  const size_t whole = k / kGroup;
  for (size_t g = 0; g < whole; g++) offsets[g] = quantizeGroup(x + g * kGroup, q + g * kGroup, scales + g);
  if (k % kGroup) {
    alignas(64) float rest[kGroup] = {};
    memcpy(rest, x + whole * kGroup, k % kGroup * sizeof(float));
    offsets[whole] = quantizeGroup(rest, q + whole * kGroup, scales + whole);
  }
}

}  // namespace

void packActivations(const PackTask& t) {
  for (size_t row = 0; row < t.rows; row++) {
    char* out = static_cast<char*>(t.out) + row * t.outStride;
    if (t.form == Dtype::BF16) narrow(t.x + row * t.xStride, t.k, out);
    else quantize(t.x + row * t.xStride, t.k, out);
  }
}

}  // namespace pm::PM_ISA
