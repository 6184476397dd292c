// Memory, stream, events and graphs of the device, freed with their owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include <cuda-api.h>

namespace pm::cuda {

// Bytes on the device. Throws with what is free when there are too few.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  explicit DeviceMemory(size_t bytes) : size(bytes) {
    if (bytes == 0) return;
    const cudaError_t result = cudaMalloc(&start, bytes);
    if (result == cudaSuccess) return;
    start = nullptr;
    size_t free = 0, total = 0;
    if (result != cudaErrorMemoryAllocation || cudaMemGetInfo(&free, &total) != cudaSuccess) PM_CUDA(result);
    throw std::runtime_error("the GPU has " + std::to_string(free >> 20) + " MiB of its " + std::to_string(total >> 20) +
                             " MiB free, " + std::to_string((bytes + (1 << 20) - 1) >> 20) +
                             " MiB more are needed: lower --gpu-memory-utilization, --kv-cache-memory-bytes or --max-num-batched-tokens");
  }
  DeviceMemory(DeviceMemory&& other) noexcept { swap(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept { swap(other); return *this; }
  ~DeviceMemory() { cudaFree(start); }

  template <class T> T* as() const { return static_cast<T*>(start); }
  size_t bytes() const { return size; }

 private:
  void swap(DeviceMemory& other) { std::swap(start, other.start); std::swap(size, other.size); }
  void* start = nullptr;
  size_t size = 0;
};

// Host memory that the device copies from and to without a detour.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  explicit PinnedMemory(size_t bytes) : size(bytes) {
    if (bytes) PM_CUDA(cudaHostAlloc(&start, bytes, cudaHostAllocDefault));
  }
  PinnedMemory(PinnedMemory&& other) noexcept { swap(other); }
  PinnedMemory& operator=(PinnedMemory&& other) noexcept { swap(other); return *this; }
  ~PinnedMemory() { cudaFreeHost(start); }

  template <class T> T* as() const { return static_cast<T*>(start); }
  size_t bytes() const { return size; }

 private:
  void swap(PinnedMemory& other) { std::swap(start, other.start); std::swap(size, other.size); }
  void* start = nullptr;
  size_t size = 0;
};

class Stream {
 public:
  Stream() { PM_CUDA(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking)); }
  Stream(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(handle); }
  operator cudaStream_t() const { return handle; }
  void wait() const { PM_CUDA(cudaStreamSynchronize(handle)); }

 private:
  cudaStream_t handle = nullptr;
};

// A place in a stream that the host can wait for.
class Event {
 public:
  Event() { PM_CUDA(cudaEventCreateWithFlags(&handle, cudaEventDisableTiming)); }
  Event(const Event&) = delete;
  ~Event() { cudaEventDestroy(handle); }
  void record(cudaStream_t stream) const { PM_CUDA(cudaEventRecord(handle, stream)); }
  void wait() const { PM_CUDA(cudaEventSynchronize(handle)); }

 private:
  cudaEvent_t handle = nullptr;
};

// Launches recorded once and repeated as one.
class Graph {
 public:
  template <class Body>
  Graph(cudaStream_t stream, const Body& body) {
    PM_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    cudaGraph_t recorded = nullptr;
    try {
      body();
    } catch (...) {
      cudaStreamEndCapture(stream, &recorded);
      if (recorded) cudaGraphDestroy(recorded);
      throw;
    }
    PM_CUDA(cudaStreamEndCapture(stream, &recorded));
    const cudaError_t result = cudaGraphInstantiate(&handle, recorded, 0);
    cudaGraphDestroy(recorded);
    PM_CUDA(result);
  }
  Graph(const Graph&) = delete;
  ~Graph() { if (handle) cudaGraphExecDestroy(handle); }
  void launch(cudaStream_t stream) const { PM_CUDA(cudaGraphLaunch(handle, stream)); }

 private:
  cudaGraphExec_t handle = nullptr;
};

}  // namespace pm::cuda
