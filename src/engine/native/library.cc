#include "library.h"

#include <dlfcn.h>

#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>

namespace pm {
namespace {

std::mutex guard;
std::map<std::string, std::unique_ptr<Backend>> opened;

template <class F>
F* function(void* library, const std::string& path, const char* name) {
  void* found = dlsym(library, name);
  if (!found) throw std::runtime_error(path + " does not export " + name + ": it is not a backend of this engine");
  return reinterpret_cast<F*>(found);
}

#define PM_FUNCTION(name) function<decltype(name)>(library, path, #name)

std::unique_ptr<Backend> load(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw std::runtime_error(std::string("it cannot be opened: ") + dlerror());
  const int version = PM_FUNCTION(pm_abi_version)();
  if (version != PM_ABI_VERSION)
    throw std::runtime_error(path + " was built for version " + std::to_string(version) + " of the interface, this engine has " +
                             std::to_string(PM_ABI_VERSION) + ": build both again");
  return std::make_unique<Backend>(Backend{PM_FUNCTION(pm_open), PM_FUNCTION(pm_launch), PM_FUNCTION(pm_wait), PM_FUNCTION(pm_load_adapter),
                                           PM_FUNCTION(pm_unload_adapter), PM_FUNCTION(pm_memory), PM_FUNCTION(pm_close)});
}

}  // namespace

const Backend& ownBackend() {
  static const Backend backend{pm_open, pm_launch, pm_wait, pm_load_adapter, pm_unload_adapter, pm_memory, pm_close};
  return backend;
}

const Backend& openBackend(const std::string& path, pm_device& device) {
  const std::lock_guard<std::mutex> lock(guard);
  auto& backend = opened[path];
  if (!backend) backend = load(path);
  char error[1024] = "";
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
  if (PM_FUNCTION(pm_probe)(&device, error, sizeof error) != 0) throw std::runtime_error(error);
  return *backend;
}

}  // namespace pm
