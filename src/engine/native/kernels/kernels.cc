// Which tables are in the binary and which of them the processor can run.
#include "kernels.h"

#include <cstring>

namespace pm {

#if defined(PM_X86_SETS)
namespace avx512 { extern const Kernels kernels; }
namespace avx2 { extern const Kernels kernels; }
#endif
namespace portable { extern const Kernels kernels; }

const Kernels* const* availableKernels(int* count) {
  static const struct Found {
    const Kernels* tables[3];
    int count = 0;
    Found() {
#if defined(PM_X86_SETS)
      __builtin_cpu_init();
      const bool hasAvx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
      if (hasAvx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        tables[count++] = &avx512::kernels;
      if (hasAvx2) tables[count++] = &avx2::kernels;  // every AVX2 processor also has F16C
#endif
      tables[count++] = &portable::kernels;
    }
  } found;
  *count = found.count;
  return found.tables;
}

const Kernels* findKernels(const char* isa) {
  int count = 0;
  const Kernels* const* tables = availableKernels(&count);
  if (!isa || !*isa) return tables[0];
  for (int i = 0; i < count; i++)
    if (strcmp(tables[i]->isa, isa) == 0) return tables[i];
  return nullptr;
}

}  // namespace pm
