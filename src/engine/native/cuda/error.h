// Every CUDA call goes through PM_CUDA: a failure becomes an exception with the call, its place and CUDA's words.
#pragma once

#include <stdexcept>
#include <string>

namespace pm::cuda {

[[noreturn]] inline void failCall(const char* expression, const char* file, int line, const char* name, const char* words) {
  std::string place(file);
  place = place.substr(place.rfind('/') + 1);
  throw std::runtime_error("CUDA: " + std::string(words) + " (" + name + ") in " + expression + " at " + place + ":" + std::to_string(line));
}

}  // namespace pm::cuda

#define PM_CUDA(expression)                                                                                 \
  do {                                                                                                      \
    const cudaError_t pm_result = (expression);                                                             \
    if (pm_result != cudaSuccess)                                                                           \
      pm::cuda::failCall(#expression, __FILE__, __LINE__, cudaGetErrorName(pm_result), cudaGetErrorString(pm_result)); \
  } while (0)
