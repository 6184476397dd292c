// One instruction set's kernels, gathered.
#include "table.h"

#define PM_TEXT2(x) #x
#define PM_TEXT(x) PM_TEXT2(x)

namespace pm::PM_ISA {
namespace {

#if defined(PM_ISA_AVX512)
constexpr auto gemmOfBytes = nullptr;  // AVX2's, or VNNI's: kernels.cc
#else
constexpr auto gemmOfBytes = gemmInt8;
#endif

}  // namespace

extern const Kernels kernels = {PM_TEXT(PM_ISA), gemm,     gemmOfBytes, nullptr, packActivations, rmsNorm,      rope,
                                attention,       swiglu,   geglu,       softcap, route,           combine,      maxOf,
                                sumExp,          expShifted, divide,    ban,     countGreater, findGreater, findEqual};

}  // namespace pm::PM_ISA
