// Compares kernels with their twins on random data. Outputs are poisoned before each run, so an element that is not
// written is seen; each case runs several times and must give the same bits every time. On the emulation each run has
// another order of threads, blocks and copies.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <cuda-api.h>

#include "../../../src/engine/native/cuda/kernels/kernels.h"
#include "../../../src/engine/native/cuda/twins.h"
#include "../../../src/engine/native/numbers.h"

namespace check {

// Host memory and its copy on the device.
template <class T>
class Array {
 public:
  explicit Array(size_t n) : host(n) { PM_CUDA(cudaMalloc(&device, std::max<size_t>(1, n) * sizeof(T))); }
  explicit Array(std::vector<T> values) : Array(values.size()) {
    host = std::move(values);
    upload();
  }
  Array(const Array&) = delete;
  ~Array() { cudaFree(device); }

  void upload() { PM_CUDA(cudaMemcpyAsync(device, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice, nullptr)); }
  std::vector<T> download() const {
    std::vector<T> out(host.size());
    PM_CUDA(cudaMemcpyAsync(out.data(), device, out.size() * sizeof(T), cudaMemcpyDeviceToHost, nullptr));
    PM_CUDA(cudaStreamSynchronize(nullptr));
    return out;
  }
  void poison() { PM_CUDA(cudaMemsetAsync(device, 0xff, host.size() * sizeof(T), nullptr)); }
  T* d() const { return static_cast<T*>(device); }
  T* h() { return host.data(); }
  size_t size() const { return host.size(); }

  std::vector<T> host;

 private:
  void* device = nullptr;
};

std::vector<float> randomFloats(size_t n, uint64_t seed, float size = 1);
std::vector<uint16_t> randomBf16(size_t n, uint64_t seed, float size = 1);

std::vector<float> asFloats(const std::vector<uint16_t>& halves);
inline const std::vector<float>& asFloats(const std::vector<float>& values) { return values; }

// Largest difference over the largest expected value; infinite where something is not a number.
double differenceOf(const std::vector<float>& found, const std::vector<float>& expected);

// Runs `body` several times (orders of the emulation, or repetitions), poisoning through `prepare`, and calls `collect`
// after each for the bits that must be equal.
bool isRepeatable(const std::function<void()>& prepare, const std::function<void()>& body,
                  const std::function<std::string()>& collect);
template <class T>
std::string bytesOf(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// Reports one case; the program fails if any error is above its tolerance.
void report(const std::string& name, double error, double tolerance, bool repeats);
bool isFull();  // larger shapes, for a device

void checkRows();
void checkRope();
void checkGemm();
void checkGemmFp8();
void checkGemmWarpgroups();
void checkExperts();
void checkPlan();
void checkDecode();
void checkPrefill();
void checkPrefillWarpgroups();
void checkSample();
void checkFeed();
void checkEmulation();  // on the emulation only

}  // namespace check
