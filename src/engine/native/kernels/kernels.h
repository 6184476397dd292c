// The kernels as a table of functions, one table per instruction set in the binary.
#pragma once

#include "attention.h"
#include "experts.h"
#include "gemm.h"
#include "logits.h"
#include "rms-norm.h"
#include "rope.h"
#include "swiglu.h"

namespace pm {

struct Kernels {
  const char* isa;
  void (*gemm)(const GemmTask&);
  void (*rmsNorm)(const RmsNormTask&);
  void (*rope)(const RopeTask&);
  void (*attention)(const AttentionTask&);
  void (*swiglu)(const SwigluTask&);
  void (*geglu)(const SwigluTask&);
  void (*softcap)(float* x, size_t n, float cap);
  void (*route)(const RouteTask&);
  void (*combine)(const CombineTask&);
  float (*maxOf)(const float* x, size_t n);
  double (*sumExp)(const float* x, size_t n, float shift);
  void (*expShifted)(float* out, const float* x, size_t n, float shift, double* blockSums);
  void (*divide)(float* x, size_t n, float divisor);
  size_t (*countGreater)(const float* x, size_t n, float limit);
  size_t (*findGreater)(const float* x, size_t from, size_t n, float limit);
  size_t (*findEqual)(const float* x, size_t n, float value);
};

// Tables that this processor can run, best first. At most three; `count` receives how many.
const Kernels* const* availableKernels(int* count);

// The best table, or the one named; null when the processor cannot run it.
const Kernels* findKernels(const char* isa);

}  // namespace pm
