#include "self-test.h"

#include "kernels/reference.h"
#include "self-test-checks.h"

namespace pm {

std::vector<Check> selfTest(const Kernels& kernels) {
  return {{"gemm F32", checkGemm(kernels, Dtype::F32)},   {"gemm BF16", checkGemm(kernels, Dtype::BF16)},
          {"gemm F16", checkGemm(kernels, Dtype::F16)},   {"gemm I8", checkGemm(kernels, Dtype::I8)},
          {"packActivations BF16", checkPackActivations(kernels, Dtype::BF16)},
          {"packActivations I8", checkPackActivations(kernels, Dtype::I8)},
          {"gemm I8 within its error bound", checkInt8Bound(kernels)}, {"rmsNorm", checkRmsNorm(kernels)},
          {"rope F32", checkRope(kernels, Dtype::F32)},   {"rope BF16", checkRope(kernels, Dtype::BF16)},
          {"attention F32", checkAttention(kernels, Dtype::F32)}, {"attention BF16", checkAttention(kernels, Dtype::BF16)},
          {"attention I8", checkAttention(kernels, Dtype::I8)}, {"I8 pages within their error bound", checkInt8Pages(kernels)},
          {"swiglu", checkGate(kernels.swiglu, reference::swiglu)},
          {"geglu", checkGate(kernels.geglu, reference::geglu)},
          {"softcap", checkSoftcap(kernels)},             {"experts", checkExperts(kernels)},
          {"logits", checkLogits(kernels)},               {"ban", checkBan(kernels)}};
}

}  // namespace pm
