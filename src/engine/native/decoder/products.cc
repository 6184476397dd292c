// Products of activations with the packed matrices, cut into rectangles for the threads.
#include <algorithm>

#include "cut.h"

namespace pm {
namespace {

constexpr size_t kLightElements = 16 << 10;  // elements per chunk of conversions

}  // namespace

Decoder::Operand Decoder::operandFor(const Matrix& matrix, const Rows& in, size_t first, size_t rows) {
  const Dtype form = kernels->inputOf(matrix.dtype);
  if (form == Dtype::F32) return {reinterpret_cast<const char*>(in.at(first)), in.stride * sizeof(float)};
  const size_t stride = packedStride(form, matrix.columns);
  // A few rows take less time than waking another thread.
  const size_t each = std::max(kLightRows, kLightElements / matrix.columns);
  pool.run((int)ceilDiv(rows, each), [&](int chunk, int) {
    const size_t row = (size_t)chunk * each;
    PackTask task{};
    task.x = in.at(first + row);
    task.xStride = in.stride;
    task.out = packed.as<char>() + row * stride;
    task.outStride = stride;
    task.rows = std::min(each, rows - row);
    task.k = matrix.columns;
    task.form = form;
    kernels->packActivations(task);
  });
  return {packed.as<char>(), stride};
}

void Decoder::multiply(const Matrix& matrix, const Rectangle& part) {
  GemmTask task{};
  task.x = part.in.data;
  task.xStride = part.in.stride;
  task.weights = matrix.panel(part.panel);
  task.dtype = matrix.dtype;
  task.k = matrix.columns;
  task.bias = matrix.panelBias(part.panel);
  task.y = part.out;
  task.yStride = part.outStride;
  task.rows = part.rows;
  task.panels = part.panels;
  kernels->gemm(task);
}

void Decoder::linear(const Matrix& matrix, const Operand& in, const Rows& out, size_t rows, const Adaptation* adaptation) {
  const Cut cut(rows, kernels->rowBlock, matrix.panels(), pool.threads(), 1);
  pool.runNeighbours(cut.chunks(), [&](int chunk, int worker) {
    const size_t row = cut.row(chunk), panel = cut.panel(chunk);
    const Rectangle part{in.from(row), cut.height(chunk), panel, cut.width(chunk), out.at(row) + panel * 16, out.stride};
    multiply(matrix, part);
    if (adaptation) adapt(*adaptation, row, part, worker);
  });
}

void Decoder::project(const Matrix& matrix, const Rows& in, const Rows& out, size_t rows, const Adaptation& adaptation) {
  const bool adapts = !adaptation.runs.empty();
  if (adapts) lower(adaptation, in);
  linear(matrix, operandFor(matrix, in, 0, rows), out, rows, adapts ? &adaptation : nullptr);
}

}  // namespace pm
