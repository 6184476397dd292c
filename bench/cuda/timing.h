// Times kernels with device events: warm up, repeat over rotating inputs so that caches hold none of them, take the
// median. Nothing here runs without a GPU but on the emulation, where the times mean nothing.
#pragma once

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include <cuda-api.h>

#include "../../src/engine/native/cuda/device-memory.h"

namespace timing {


// Median microseconds of `body(turn)`.
inline double medianMicroseconds(cudaStream_t stream, bool tiny, const std::function<void(int)>& body) {
  const int warmups = tiny ? 1 : 5, repeats = tiny ? 1 : 50;
  cudaEvent_t from = nullptr, to = nullptr;
  PM_CUDA(cudaEventCreate(&from));
  PM_CUDA(cudaEventCreate(&to));
  std::vector<double> times;
  for (int turn = 0; turn < warmups + repeats; turn++) {
    PM_CUDA(cudaEventRecord(from, stream));
    body(turn);
    PM_CUDA(cudaEventRecord(to, stream));
    PM_CUDA(cudaEventSynchronize(to));
    float milliseconds = 0;
    PM_CUDA(cudaEventElapsedTime(&milliseconds, from, to));
    if (turn >= warmups) times.push_back(1000.0 * (double)milliseconds);
  }
  PM_CUDA(cudaEventDestroy(from));
  PM_CUDA(cudaEventDestroy(to));
  std::nth_element(times.begin(), times.begin() + (ptrdiff_t)(times.size() / 2), times.end());
  return times[times.size() / 2];
}

// The same for launches too short for the gaps between them: `count` of them recorded as one graph.
double medianInGraph(cudaStream_t stream, bool tiny, int count, const std::function<void(int)>& body);

// One row of the table: what, microseconds, and of the copy's bandwidth or of a product's rate.
void row(const std::string& what, double microseconds, double bytes, double operations);

struct Ceilings {
  double bytesPerMicrosecond = 0;       // read plus written
  double operationsPerMicrosecond = 0;  // of a large bfloat16 product
};
extern Ceilings ceilings;

// Random bits that are finite bfloat16 numbers of size 2^-7 to 2, filled on the device by copies of one block.
pm::cuda::DeviceMemory randomMemory(size_t bytes, cudaStream_t stream);

}  // namespace timing
