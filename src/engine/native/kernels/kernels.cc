// Which tables are in the binary and which of them the processor can run.
#include "kernels.h"

#include <cstring>

#include "../processor.h"

namespace pm {

#if defined(PM_AMX)
namespace amx { void gemmBf16(const GemmTask& task); void gemmInt8(const GemmTask& task); void attention(const AttentionTask& task); }
#endif
#if defined(PM_X86_SETS)
namespace avx512_bf16 { void gemmBf16(const GemmTask& task); void attention(const AttentionTask& task); }
namespace avx512_vnni { void gemmInt8(const GemmTask& task); }
namespace avx2_vnni { void gemmInt8(const GemmTask& task); }
namespace avx512 { extern const Kernels kernels; }
namespace avx2 { extern const Kernels kernels; }
#endif
namespace portable { extern const Kernels kernels; }

namespace {

struct Found {
  Kernels tables[7];
  const Kernels* pointers[7];
  int count = 0;

  void add(const Kernels& table) {
    tables[count] = table;
    pointers[count] = &tables[count];
    count++;
  }

  Found() {
#if defined(PM_X86_SETS)
    __builtin_cpu_init();
    const bool hasAvx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");  // and F16C, always
    const bool hasAvx512 = hasAvx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    Kernels plain = avx512::kernels;  // without VNNI, 256 bits have the better instructions for bytes
    plain.gemmInt8 = avx2::kernels.gemmInt8;
    Kernels wide = plain;
    if (hasAvx512 && __builtin_cpu_supports("avx512vnni")) {
      wide.isa = "avx512_vnni";
      wide.gemmInt8 = avx512_vnni::gemmInt8;
      if (__builtin_cpu_supports("avx512bf16")) {
        Kernels widest = wide;
        widest.isa = "avx512_bf16";
        widest.gemmBf16 = avx512_bf16::gemmBf16;
        widest.attention = avx512_bf16::attention;
        widest.attendsInBf16 = true;
#if defined(PM_AMX)
        if (__builtin_cpu_supports("avx512vbmi") && requestTiles()) {
          Kernels tiles = widest;
          tiles.isa = "amx";
          tiles.gemmBf16 = amx::gemmBf16;
          tiles.gemmInt8 = amx::gemmInt8;
          tiles.attention = amx::attention;
          tiles.int8Input = Dtype::BF16;
          tiles.rowBlock = 512;  // bytes are widened once for each block
          tiles.attentionRows = 32;
          add(tiles);
        }
#endif
        add(widest);
      }
      add(wide);
    }
    if (hasAvx512) add(plain);
    if (hasAvx2 && __builtin_cpu_supports("avxvnni")) {
      Kernels narrow = avx2::kernels;
      narrow.isa = "avx2_vnni";
      narrow.gemmInt8 = avx2_vnni::gemmInt8;
      add(narrow);
    }
    if (hasAvx2) add(avx2::kernels);
#endif
    add(portable::kernels);
  }
};

}  // namespace

const Kernels* const* availableKernels(int* count) {
  static const Found found;
  *count = found.count;
  return found.pointers;
}

const Kernels* findKernels(const char* isa) {
  int count = 0;
  const Kernels* const* tables = availableKernels(&count);
  if (!isa || !*isa) return tables[0];
  for (int i = 0; i < count; i++)
    if (strcmp(tables[i]->isa, isa) == 0) return tables[i];
  return nullptr;
}

Dtype Kernels::inputOf(Dtype weights) const {
  if (weights == Dtype::I8) return int8Input;
  return weights == Dtype::BF16 && gemmBf16 ? Dtype::BF16 : Dtype::F32;
}

void Kernels::gemm(const GemmTask& task) const {
  if (task.dtype == Dtype::I8) return gemmInt8(task);
  if (task.dtype == Dtype::BF16 && gemmBf16) return gemmBf16(task);
  gemmFloat(task);
}

}  // namespace pm
