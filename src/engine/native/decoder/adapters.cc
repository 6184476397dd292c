// LoRA adapters: which rows each serves, and what it adds to a product.
#include <algorithm>
#include <vector>

#include "cut.h"

namespace pm {
namespace {

constexpr size_t kAdapterRows = 24;  // rows per chunk of x A^T

}  // namespace

void Decoder::planAdapters(const pm_batch& batch) {
  adapterRuns.clear();
  sampledRuns.clear();
  if (!batch.adapters || adapters.empty()) return;
  const auto extend = [](std::vector<AdapterRun>& runs, size_t row, size_t rows, const Adapter* adapter) {
    if (!adapter) return;
    if (!runs.empty() && runs.back().adapter == adapter && runs.back().row + runs.back().rows == row) runs.back().rows += rows;
    else runs.push_back({row, rows, adapter});
  };
  const auto adapterOf = [&](size_t sequence) -> const Adapter* {
    const int32_t slot = batch.adapters[sequence];
    return slot < 0 ? nullptr : adapters[(size_t)slot].get();
  };
  const int32_t* starts = batch.query_starts;
  for (size_t s = 0; s < (size_t)batch.sequences; s++)
    extend(adapterRuns, (size_t)starts[s], (size_t)(starts[s + 1] - starts[s]), adapterOf(s));
  for (size_t r = 0; r < (size_t)batch.samples + (size_t)batch.pooled; r++) {
    const size_t s = (size_t)(std::upper_bound(starts, starts + batch.sequences + 1, pickedRow(batch, r)) - starts) - 1;
    extend(sampledRuns, r, 1, adapterOf(s));
  }
}

void Decoder::lower(const Adaptation& adaptation, const Rows& in) {
  struct Piece { size_t row, rows; const LowRank* part; };
  std::vector<Piece> pieces;
  for (const AdapterRun& run : adaptation.runs) {
    const LowRank& part = run.adapter->layers[adaptation.layer].*adaptation.product;
    if (part.up.rows == 0) continue;
    for (size_t at = 0; at < run.rows; at += kAdapterRows)
      pieces.push_back({run.row + at, std::min(kAdapterRows, run.rows - at), &part});
  }
  pool.run((int)pieces.size(), [&](int chunk, int) {
    const Piece& piece = pieces[(size_t)chunk];
    const Matrix& down = piece.part->down;
    const Operand x{reinterpret_cast<const char*>(in.at(piece.row)), in.stride * sizeof(float)};
    multiply(down, {x, piece.rows, 0, down.panels(), lowered.at(piece.row), lowered.stride});
  });
}

void Decoder::adapt(const Adaptation& adaptation, size_t row, const Rectangle& part, int worker) {
  constexpr size_t stride = (kPanelGroup | 1) * 16;
  float* scratch = workerScratch[(size_t)worker].as<float>() + kernels->rowBlock * stride;
  for (const AdapterRun& run : adaptation.runs) {
    const size_t first = std::max(row, run.row), end = std::min(row + part.rows, run.row + run.rows);
    const Matrix& up = (run.adapter->layers[adaptation.layer].*adaptation.product).up;
    if (first >= end || up.rows == 0) continue;
    const Operand x{reinterpret_cast<const char*>(lowered.at(first)), lowered.stride * sizeof(float)};
    multiply(up, {x, end - first, part.panel, part.panels, scratch, stride});
    for (size_t r = 0; r < end - first; r++) {
      float* out = part.out + (first - row + r) * part.outStride;
      for (size_t i = 0; i < part.panels * 16; i++) out[i] += scratch[r * stride + i];
    }
  }
}

}  // namespace pm
