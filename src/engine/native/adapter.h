// LoRA adapters in memory (Hu et al. 2021): y = x W^T + scale * (x A^T) B^T, with A [rank, in] and B [out, rank].
//
// Fused projections keep one product each: the A of q, k and v stand one below the other, and their B on the
// diagonal of one matrix, whose rows lie as those of the base matrix do. Zeros beside them add nothing, exactly.
#pragma once

#include <vector>

#include "backend.h"
#include "matrix.h"
#include "thread-pool.h"

namespace pm {

struct LowRank {
  Matrix down;  // [ranks, in], float32
  Matrix up;    // [out, ranks], float32, rows as in the base matrix, scale included; empty: nothing to add
};

struct LayerAdapter {
  LowRank qkv, output, gateUp, down;
};

struct Adapter {
  std::vector<LayerAdapter> layers;
  size_t bytes() const;
};

// What an adapter must fit.
struct AdapterShape {
  size_t layers, hidden, q, kv, intermediate, maxRank;
};

// Reads an adapter's files. Throws std::runtime_error with the tensor and the reason.
Adapter readAdapter(const pm_adapter& source, const AdapterShape& shape);

// Adjacent rows of a step that one adapter serves.
struct AdapterRun {
  size_t row, rows;
  const Adapter* adapter;
};

}  // namespace pm
