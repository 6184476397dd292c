// Compiled for the plainest processor of its architecture, unlike everything that it guards.
#include "processor.h"

#include <algorithm>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace pm {

const std::vector<std::string>& baselineFeatures() {
#if defined(PM_X86_SETS)
  static const std::vector<std::string> features{"sse3", "ssse3", "sse4.1", "sse4.2", "popcnt"};
#else
  static const std::vector<std::string> features;
#endif
  return features;
}

std::vector<std::string> presentFeatures() {
  std::vector<std::string> present;
#if defined(PM_X86_SETS)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("sse3")) present.push_back("sse3");
  if (__builtin_cpu_supports("ssse3")) present.push_back("ssse3");
  if (__builtin_cpu_supports("sse4.1")) present.push_back("sse4.1");
  if (__builtin_cpu_supports("sse4.2")) present.push_back("sse4.2");
  if (__builtin_cpu_supports("popcnt")) present.push_back("popcnt");
#endif
  return present;
}

std::string baselineProblem(const std::vector<std::string>& present) {
  std::string missing;
  for (const std::string& feature : baselineFeatures())
    if (std::find(present.begin(), present.end(), feature) == present.end()) missing += (missing.empty() ? "" : ", ") + feature;
  if (missing.empty()) return "";
  return "the engine needs an x86-64-v2 processor (2009 or newer); this one, or the virtual machine's model of it, "
         "lacks " + missing + ": run it elsewhere, or give the machine its host's processor model";
}

bool requestTiles() {
#if defined(__x86_64__) && defined(__linux__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned bf16 = 1u << 22, tile = 1u << 24;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (bf16 | tile)) != (bf16 | tile)) return false;
  // Tiles are switched on for a process when it asks (Linux Documentation/arch/x86/xstate.rst).
  constexpr long requestPermission = 0x1023, tileData = 18;
  return syscall(SYS_arch_prctl, requestPermission, tileData) == 0;
#else
  return false;
#endif
}

}  // namespace pm
