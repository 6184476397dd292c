// What the kernels and the runtime use of CUDA. The folder on the include path decides which one this is: here,
// the real one; tests compile the same sources against an emulation on the CPU, whose header has the same name.
#pragma once

#include <cuda_runtime_api.h>

#include "../error.h"

namespace pm::cuda {

#ifdef __CUDACC__

constexpr size_t kPlainSharedBytes = 48 << 10;

// Launches a kernel on a stream. More than 48 KiB of shared memory is asked for once per kernel.
template <auto Kernel, class... Args>
void launch(dim3 grid, int threads, size_t sharedBytes, cudaStream_t stream, const Args&... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  static size_t allowed = kPlainSharedBytes;
  if (sharedBytes > allowed) {
    PM_CUDA(cudaFuncSetAttribute(reinterpret_cast<const void*>(Kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, (int)sharedBytes));
    allowed = sharedBytes;
  }
  Kernel<<<grid, threads, sharedBytes, stream>>>(args...);
  PM_CUDA(cudaGetLastError());
}

#endif

}  // namespace pm::cuda
