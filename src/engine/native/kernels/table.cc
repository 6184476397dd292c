// One instruction set's kernels, gathered.
#include "table.h"

#define PM_TEXT2(x) #x
#define PM_TEXT(x) PM_TEXT2(x)

namespace pm::PM_ISA {

extern const Kernels kernels = {PM_TEXT(PM_ISA), gemm,   rmsNorm, rope,  attention,  swiglu, geglu,        softcap,     route,
                                combine,         maxOf,  sumExp,  expShifted, divide, countGreater, findGreater, findEqual};

}  // namespace pm::PM_ISA
