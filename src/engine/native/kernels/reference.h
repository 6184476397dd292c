// The readable twin of every kernel: same tasks, plain loops, double arithmetic. Tests compare against these.
#pragma once

#include "kernels.h"

namespace pm::reference {

// `form`: of the activations.
void gemm(const GemmTask& task, Dtype form);
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

// Element access into packed weights, packed activations and pages.
double activationAt(const void* row, Dtype form, size_t k, size_t index);
double weightAt(const GemmTask& task, size_t output, size_t k);
double keyAt(const KvPages& pages, size_t slot, size_t kvHead, size_t channel);
double valueAt(const KvPages& pages, size_t slot, size_t kvHead, size_t channel);

}  // namespace pm::reference
