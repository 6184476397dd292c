// The C interface on top of the CUDA model, as the library exports it. No exception leaves this file.
#include "../backend.h"

#include <cstdio>
#include <cstring>

#include "../guarded.h"
#include "model.h"

#define PM_EXPORT __attribute__((visibility("default")))

struct pm_model {
  explicit pm_model(const pm_plan& plan) : model(plan) {}
  pm::cuda::Model model;
};

namespace {

// Below it the matrix products and asynchronous copies of the kernels do not exist.
constexpr int kLeastMajor = 8;

cudaDeviceProp findDevice() {
  int count = 0, driver = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result == cudaErrorInsufficientDriver) {
    PM_CUDA(cudaDriverGetVersion(&driver));
    throw std::runtime_error(driver == 0 ? "this machine has no NVIDIA driver"
                                         : "the NVIDIA driver is too old: it supports CUDA " + std::to_string(driver / 1000) + "." +
                                               std::to_string(driver % 1000 / 10) + "; update it");
  }
  if (result == cudaErrorNoDevice || (result == cudaSuccess && count == 0)) throw std::runtime_error("the NVIDIA driver finds no GPU");
  PM_CUDA(result);
  cudaDeviceProp properties{};
  PM_CUDA(cudaGetDeviceProperties(&properties, 0));
  if (properties.major < kLeastMajor)
    throw std::runtime_error(std::string(properties.name) + " has compute capability " + std::to_string(properties.major) + "." +
                             std::to_string(properties.minor) + ", 8.0 or newer is needed");
  PM_CUDA(cudaSetDevice(0));
  return properties;
}

}  // namespace

extern "C" {

PM_EXPORT int pm_abi_version(void) { return PM_ABI_VERSION; }

PM_EXPORT int pm_probe(pm_device* device, char* error, size_t error_size) {
  return pm::guarded(error, error_size, [&] {
    *device = {};
    const cudaDeviceProp properties = findDevice();
    snprintf(device->name, sizeof device->name, "%s", properties.name);
    device->major = properties.major;
    device->minor = properties.minor;
    size_t free = 0, total = 0;
    PM_CUDA(cudaMemGetInfo(&free, &total));
    device->free_bytes = free;
    device->memory_bytes = total;
    std::string reason;
    if (const auto library = pm::cuda::MatrixLibrary::find(reason)) snprintf(device->libraries, sizeof device->libraries, "%s", library->name().c_str());
  });
}

PM_EXPORT int pm_open(const pm_plan* plan, pm_model** model, char* error, size_t error_size) {
  *model = nullptr;
  return pm::guarded(error, error_size, [&] {
    const cudaDeviceProp properties = findDevice();
    if (plan->kv_cache_dtype == PM_F8_E4M3 && properties.major * 10 + properties.minor < 89)
      throw std::runtime_error("--kv-cache-dtype fp8 needs compute capability 8.9 or newer, " + std::string(properties.name) + " has " +
                               std::to_string(properties.major) + "." + std::to_string(properties.minor));
    *model = new pm_model(*plan);
  });
}

PM_EXPORT int pm_launch(pm_model* model, const pm_batch* batch, char* error, size_t error_size) {
  return pm::guarded(error, error_size, [&] {
    PM_CUDA(cudaSetDevice(0));  // the device belongs to the calling thread
    model->model.launch(*batch);
  });
}

PM_EXPORT int pm_wait(pm_model* model, const pm_results* results, char* error, size_t error_size) {
  return pm::guarded(error, error_size, [&] {
    PM_CUDA(cudaSetDevice(0));
    model->model.wait(*results);
  });
}

PM_EXPORT int pm_load_adapter(pm_model*, int32_t, const pm_adapter*, char* error, size_t error_size) {
  return pm::guarded(error, error_size, [] { throw std::runtime_error("the CUDA backend does not run LoRA adapters: use --device cpu"); });
}

PM_EXPORT void pm_unload_adapter(pm_model*, int32_t) {}

PM_EXPORT void pm_memory(const pm_model* model, pm_memory_use* use) { *use = model->model.memory(); }

PM_EXPORT void pm_close(pm_model* model) { delete model; }

}  // extern "C"
