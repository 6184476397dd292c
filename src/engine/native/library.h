// A backend: the one linked into the addon, or one in a shared library of its own that exports the same functions.
#pragma once

#include <string>

#include "backend.h"

namespace pm {

struct Backend {
  decltype(&pm_open) open;
  decltype(&pm_launch) launch;
  decltype(&pm_wait) wait;
  decltype(&pm_load_adapter) loadAdapter;
  decltype(&pm_unload_adapter) unloadAdapter;
  decltype(&pm_memory) memory;
  decltype(&pm_close) close;
};

// The CPU's, linked in.
const Backend& ownBackend();

// Opens a library, checks its version and asks it for its device. It stays open until the process ends: threads of
// its driver may. Throws std::runtime_error with the reason.
const Backend& openBackend(const std::string& path, pm_device& device);

}  // namespace pm
