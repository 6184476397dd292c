// Kernels that move rows: token embeddings, rows picked by index, whole pages. One block per row or pair; bound by
// the bytes they move.
#include "kernels.h"
#include "warp.h"

namespace pm::cuda {
namespace {

constexpr int kThreads = 256;

PM_KERNEL embedKernel(EmbedTask t) {
  const int row = (int)blockIdx.x;
  const uint32_t* from = reinterpret_cast<const uint32_t*>(t.table + (size_t)t.ids[row] * t.n);
  float2* to = reinterpret_cast<float2*>(t.out + (size_t)row * t.n);
  for (int i = (int)threadIdx.x; i < t.n / 2; i += kThreads) {
    const uint32_t pair = from[i];
    to[i] = make_float2(lowBf16(pair) * t.scale, highBf16(pair) * t.scale);
  }
}

PM_KERNEL gatherKernel(GatherTask t) {
  const uint32_t* from = reinterpret_cast<const uint32_t*>(static_cast<const char*>(t.in) + (size_t)t.rows[blockIdx.x] * t.bytes);
  uint32_t* to = reinterpret_cast<uint32_t*>(static_cast<char*>(t.out) + (size_t)blockIdx.x * t.bytes);
  for (size_t i = threadIdx.x; i < t.bytes / 4; i += kThreads) to[i] = from[i];
}

PM_KERNEL copyPagesKernel(PageCopyTask t) {
  const int32_t* pair = t.pairs + (size_t)blockIdx.x * 2;
  const uint4* from = reinterpret_cast<const uint4*>(static_cast<const char*>(t.from) + (size_t)pair[0] * t.pageBytes);
  uint4* to = reinterpret_cast<uint4*>(static_cast<char*>(t.to) + (size_t)pair[1] * t.pageBytes);
  for (size_t i = threadIdx.x; i < t.pageBytes / 16; i += kThreads) to[i] = from[i];
}

}  // namespace

void embed(const EmbedTask& t, cudaStream_t stream) { launch<embedKernel>(dim3((unsigned)t.rows), kThreads, 0, stream, t); }
void gatherRows(const GatherTask& t, cudaStream_t stream) { launch<gatherKernel>(dim3((unsigned)t.count), kThreads, 0, stream, t); }
void copyPages(const PageCopyTask& t, cudaStream_t stream) { launch<copyPagesKernel>(dim3((unsigned)t.count), kThreads, 0, stream, t); }

}  // namespace pm::cuda
