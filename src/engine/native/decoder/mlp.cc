// The gated MLP of a layer.
#include "cut.h"

namespace pm {

// activation(gate) * up for a rectangle of the fused product, of which `out` is half as wide. The products
// stay in the worker's scratch; only the activation is written out.
void Decoder::gate(const Matrix& gateUp, const Rectangle& part, int worker, const Adaptation* adaptation, size_t row) {
  constexpr size_t stride = (kPanelGroup | 1) * 16;
  float* scratch = workerScratch[(size_t)worker].as<float>();
  const Rectangle product{part.in, part.rows, part.panel, part.panels, scratch, stride};
  multiply(gateUp, product);
  if (adaptation) adapt(*adaptation, row, product, worker);
  SwigluTask activation{};
  activation.gateUp = scratch;
  activation.out = part.out;
  activation.rows = part.rows;
  activation.panels = part.panels / 2;
  activation.gateUpStride = stride;
  activation.outStride = part.outStride;
  activate(activation);
}

void Decoder::feedForward(const Layer& layer, size_t index, size_t rows, const std::vector<AdapterRun>& runs) {
  const Matrix& gateUp = layer.mlp.gateUp;
  const Adaptation adaptation{index, &LayerAdapter::gateUp, runs};
  if (!runs.empty()) lower(adaptation, normed);
  const Operand in = operandFor(gateUp, normed, 0, rows);
  const Cut cut(rows, kernels->rowBlock, gateUp.panels(), pool.threads(), 2);
  pool.runNeighbours(cut.chunks(), [&](int chunk, int worker) {
    const size_t row = cut.row(chunk), panel = cut.panel(chunk);
    gate(gateUp, {in.from(row), cut.height(chunk), panel, cut.width(chunk),
                  activated.at(row) + panel / 2 * 16, activated.stride}, worker, runs.empty() ? nullptr : &adaptation, row);
  });
  project(layer.mlp.down, activated, projected, rows, {index, &LayerAdapter::down, runs});
}

}  // namespace pm
