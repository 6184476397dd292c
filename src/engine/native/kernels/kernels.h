// The kernels as a table of functions, one table per instruction set in the binary.
#pragma once

#include "activations.h"
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
  void (*gemmFloat)(const GemmTask&);  // F32, BF16 and F16 weights, activations as floats
  void (*gemmInt8)(const GemmTask&);   // I8 weights, activations as `int8Input`
  void (*gemmBf16)(const GemmTask&);   // BF16 weights and activations; null where there is no instruction for it
  void (*packActivations)(const PackTask&);
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
  void (*ban)(float* x, const uint32_t* allowed, size_t n);
  size_t (*countGreater)(const float* x, size_t n, float limit);
  size_t (*findGreater)(const float* x, size_t from, size_t n, float limit);
  size_t (*findEqual)(const float* x, size_t n, float value);
  Dtype int8Input = Dtype::I8;         // or BF16, where weights of 8 bits are widened for tiles
  bool attendsInBf16 = false;          // queries and probabilities are rounded where pages are BF16
  size_t rowBlock = 192;               // rows of a product taken together, at most
  size_t attentionRows = 24;           // queries * group of a task, about, at most

  // The form in which activations meet these weights: F32 (plain rows), BF16 or I8 (packActivations).
  Dtype inputOf(Dtype weights) const;
  // The product for the task's weights.
  void gemm(const GemmTask& task) const;
};

// Tables that this processor can run, best first; `count` receives how many.
const Kernels* const* availableKernels(int* count);

// The best table, or the one named; null when the processor cannot run it.
const Kernels* findKernels(const char* isa);

}  // namespace pm
