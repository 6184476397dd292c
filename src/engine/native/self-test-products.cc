// Products and what goes into them.
#include "self-test-checks.h"

#include "kernels/reference.h"
#include "matrix.h"
#include "numbers.h"

namespace pm {

// Random weights and activations, both in the form that the kernels multiply; the twin reads the same forms, so
// what is measured is the arithmetic alone.
double checkGemm(const Kernels& kernels, Dtype dtype) {
  double worst = 0;
  for (const size_t k : {size_t{39}, size_t{300}, size_t{1100}})
    for (const size_t panels : {size_t{1}, size_t{2}, size_t{7}, size_t{11}}) {
      const Floats values = random(panels * 16 * k, 3);
      const Matrix weights(panels * 16, k, dtype);
      for (size_t panel = 0; panel < panels; panel++) {
        const float* rows16[16];
        for (size_t lane = 0; lane < 16; lane++) rows16[lane] = values.data() + (panel * 16 + lane) * k;
        weights.writePanel(panel, rows16);
      }
      for (const size_t rows : {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 23, 24, 31, 50, 75}) {
        const size_t xStride = k + 3, yStride = panels * 16 + 5;
        const Floats x = random(rows * xStride, 1), bias = random(panels * 16, 2);
        Floats found(rows * yStride), expected(rows * yStride);
        const Dtype form = kernels.inputOf(dtype);
        const Arena packed(rows * packedStride(form, k) + 1);
        GemmTask task{x.data(), xStride * sizeof(float), weights.panel(0), dtype, k, rows % 2 ? bias.data() : nullptr, found.data(), yStride, rows, panels};
        if (form != Dtype::F32) {
          task.x = packed.as<char>();
          task.xStride = packedStride(form, k);
          kernels.packActivations({x.data(), xStride, packed.as<char>(), task.xStride, rows, k, form});
        }
        kernels.gemm(task);
        task.y = expected.data();
        reference::gemm(task, form);
        worst = std::max(worst, compare(found, expected));
      }
    }
  return worst;
}

// Packed activations read back: the largest error over the bound, half a unit of the last place or half a step.
double checkPackActivations(const Kernels& kernels, Dtype form) {
  double worst = 0;
  for (const size_t k : {size_t{31}, size_t{300}}) {
    const size_t rows = 3;
    Floats x = random(rows * k, 20);
    for (size_t i = 0; i < x.size(); i++) x[i] *= std::exp2((float)(i % 13) - 6);
    for (size_t i = 0; i < std::min(k, kGroup); i++) x[i] = 0;  // a group, or a row, of zeros
    const size_t stride = packedStride(form, k);
    std::vector<char> out(rows * stride);
    kernels.packActivations({x.data(), k, out.data(), stride, rows, k, form});
    for (size_t row = 0; row < rows; row++)
      for (size_t i = 0; i < k; i++) {
        double bound = std::fabs((double)x[row * k + i]) / 256;
        if (form == Dtype::I8) {
          float most = 0;
          for (size_t j = i / kGroup * kGroup; j < std::min(k, i / kGroup * kGroup + kGroup); j++) most = std::max(most, std::fabs(x[row * k + j]));
          bound = (double)most / 254;
        }
        const double found = reference::activationAt(out.data() + row * stride, form, k, i);
        worst = std::max(worst, (std::fabs(found - (double)x[row * k + i]) - 1e-30) / (bound * 1.00001 + 1e-30));
      }
  }
  return worst <= 1 ? 0 : worst;
}

// The whole product of two quantized factors against the product of the factors as they were, over the bound that
// gemm-int8.cc states; where activations and widened weights are bf16, over what their errors make (gemm-amx.cc).
double checkInt8Bound(const Kernels& kernels) {
  const size_t k = 300, rows = 9, panels = 5;
  const Floats values = random(panels * 16 * k, 21), x = random(rows * k, 22);
  const Matrix weights(panels * 16, k, Dtype::I8);
  for (size_t panel = 0; panel < panels; panel++) {
    const float* rows16[16];
    for (size_t lane = 0; lane < 16; lane++) rows16[lane] = values.data() + (panel * 16 + lane) * k;
    weights.writePanel(panel, rows16);
  }
  const Dtype form = kernels.inputOf(Dtype::I8);
  const size_t stride = packedStride(form, k);
  const Arena packed(rows * stride);
  kernels.packActivations({x.data(), k, packed.as<char>(), stride, rows, k, form});
  Floats found(rows * panels * 16);
  kernels.gemm({packed.as<char>(), stride, weights.panel(0), Dtype::I8, k, nullptr, found.data(), panels * 16, rows, panels});
  const auto step = [](const float* group, size_t n) {
    float most = 0;
    for (size_t i = 0; i < n; i++) most = std::max(most, std::fabs(group[i]));
    return (double)most / 127 * (1 + 1.0 / 1024);  // the scale of weights is rounded up to float16
  };
  double worst = 0;
  for (size_t row = 0; row < rows; row++)
    for (size_t n = 0; n < panels * 16; n++) {
      double exact = 0, bound = 1e-4;
      for (size_t g = 0; g < groupsOf(k); g++) {
        const size_t from = g * kGroup, count = std::min(kGroup, k - from);
        const double stepX = step(&x[row * k + from], count), stepW = step(&values[n * k + from], count);
        for (size_t i = from; i < from + count; i++) {
          const double a = x[row * k + i], w = values[n * k + i];
          exact += a * w;
          const double errorX = form == Dtype::BF16 ? std::fabs(a) / 256 : stepX / 2;
          const double errorW = stepW / 2 + (form == Dtype::BF16 ? 1.3 * (std::fabs(w) + stepW / 2) / 256 : 0);
          bound += std::fabs(w) * errorX + std::fabs(a) * errorW + errorX * errorW;
        }
      }
      worst = std::max(worst, std::fabs((double)found[row * panels * 16 + n] - exact) / bound);
    }
  return worst <= 1 ? 0 : worst;
}

}  // namespace pm
