// The kernels of one instruction set: declarations for the kernel files, and the table through which the rest
// of the core calls them. table.cc is compiled once per full set, like every kernel file; sets that only differ in
// their products (VNNI, bf16) take the rest from the set below them, see kernels.cc.
#pragma once

#include "activations.h"
#include "attention.h"
#include "experts.h"
#include "gemm.h"
#include "logits.h"
#include "rms-norm.h"
#include "rope.h"
#include "simd.h"
#include "swiglu.h"

#include "kernels.h"

namespace pm::PM_ISA {

void gemm(const GemmTask& task);
void gemmInt8(const GemmTask& task);
void packActivations(const PackTask& task);
void rmsNorm(const RmsNormTask& task);
void rope(const RopeTask& task);
void attention(const AttentionTask& task);
void swiglu(const SwigluTask& task);
void geglu(const SwigluTask& task);
void softcap(float* x, size_t n, float cap);
void route(const RouteTask& task);
void combine(const CombineTask& task);
float maxOf(const float* x, size_t n);
double sumExp(const float* x, size_t n, float shift);
void expShifted(float* out, const float* x, size_t n, float shift, double* blockSums);
void divide(float* x, size_t n, float divisor);
void ban(float* x, const uint32_t* allowed, size_t n);
size_t countGreater(const float* x, size_t n, float limit);
size_t findGreater(const float* x, size_t from, size_t n, float limit);
size_t findEqual(const float* x, size_t n, float value);
extern const Kernels kernels;

}  // namespace pm::PM_ISA
