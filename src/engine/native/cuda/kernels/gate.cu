// The gate of the MLP: silu(x) = x / (1 + e^-x), or gelu(x) = x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), times
// the other half of the product. One thread per element; bound by bytes.
#include "kernels.h"
#include "warp.h"

namespace pm::cuda {
namespace {

constexpr int kThreads = 256;

PM_KERNEL gateKernel(GateTask t) {
  const int i = (int)(blockIdx.y * kThreads + threadIdx.x);
  if (i >= t.n) return;
  const float* row = t.gateUp + (size_t)blockIdx.x * 2 * t.n;
  const float x = row[i];
  const float activated =
      t.gelu ? x * 0.5f * (1.0f + tanhf(0.7978845608028654f * (x + 0.044715f * x * x * x))) : x / (1.0f + expf(-x));
  t.out[(size_t)blockIdx.x * t.n + i] = (Bf16)packBf16(activated * row[t.n + i], 0.0f);
}

}  // namespace

void gate(const GateTask& t, cudaStream_t stream) {
  launch<gateKernel>(dim3((unsigned)t.rows, (unsigned)((t.n + kThreads - 1) / kThreads)), kThreads, 0, stream, t);
}

}  // namespace pm::cuda
