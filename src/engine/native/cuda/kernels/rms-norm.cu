// Residual addition and root-mean-square normalization: out = x / sqrt(mean(x^2) + eps) * weight. Where the model
// normalizes what is added (Gemma), delta goes through a norm of its own first. The residual stays float32.
// One block per row; a row is read twice, the second time from cache.
#include "kernels.h"
#include "warp.h"

namespace pm::cuda {
namespace {

constexpr int kThreads = 256;

PM_DEVICE float inverseRoot(const float* x, int n, float eps, float* scratch) {
  float sum = 0;
  for (int i = (int)threadIdx.x; i < n; i += kThreads) sum += x[i] * x[i];
  return 1.0f / sqrtf(blockSum(sum, scratch) / (float)n + eps);
}

PM_KERNEL normKernel(NormTask t) {
  PM_SHARED(shared);
  float* scratch = reinterpret_cast<float*>(shared);
  const size_t start = (size_t)blockIdx.x * t.n;
  float* x = t.x + start;
  if (t.delta) {
    const float* delta = t.delta + start;
    const float scale = t.deltaWeight ? inverseRoot(delta, t.n, t.eps, scratch) : 1.0f;
    for (int i = (int)threadIdx.x; i < t.n; i += kThreads) x[i] += t.deltaWeight ? delta[i] * scale * t.deltaWeight[i] : delta[i];
  }
  // Each thread reads again only what it wrote itself.
  const float scale = inverseRoot(x, t.n, t.eps, scratch);
  for (int i = (int)threadIdx.x; i < t.n; i += kThreads) t.out[start + i] = (Bf16)packBf16(x[i] * scale * t.weight[i], 0.0f);
}

}  // namespace

void rmsNorm(const NormTask& t, cudaStream_t stream) {
  launch<normKernel>(dim3((unsigned)t.rows), kThreads, kThreads / 32 * sizeof(float), stream, t);
}

}  // namespace pm::cuda
