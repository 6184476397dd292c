// The checks of self-test.cc: each gives the largest error of a kernel beside its plain twin, on random data.
// Random shapes, chosen so that every tile height, panel width, ragged end and dtype is met.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/kernels.h"
#include "numbers.h"

namespace pm {

using Floats = std::vector<float>;

// Uniform in [-1, 1), a function of the seed and the index.
inline Floats random(size_t n, uint64_t seed) {
  Floats out(n);
  for (size_t i = 0; i < n; i++) out[i] = (float)(uniform(seed, i) * 2 - 1);
  return out;
}

inline double compare(const Floats& found, const Floats& expected) {
  double difference = 0, most = 1e-30;
  for (size_t i = 0; i < expected.size(); i++) {
    if (!std::isfinite(found[i])) return INFINITY;
    difference = std::max(difference, std::fabs((double)found[i] - (double)expected[i]));
    most = std::max(most, std::fabs((double)expected[i]));
  }
  return difference / most;
}

double checkGemm(const Kernels& kernels, Dtype dtype);
double checkPackActivations(const Kernels& kernels, Dtype form);
double checkInt8Bound(const Kernels& kernels);
double checkRmsNorm(const Kernels& kernels);
double checkInt8Pages(const Kernels& kernels);
double checkRope(const Kernels& kernels, Dtype dtype);
double checkAttention(const Kernels& kernels, Dtype dtype);
double checkGate(void (*kernel)(const SwigluTask&), void (*twin)(const SwigluTask&));
double checkSoftcap(const Kernels& kernels);
double checkExperts(const Kernels& kernels);
double checkBan(const Kernels& kernels);
double checkLogits(const Kernels& kernels);

}  // namespace pm
