#include "adapter.h"

#include <stdexcept>
#include <string>

#include "dequantize.h"
#include "memory.h"
#include "role-names.h"

namespace pm {
namespace {

// A projection inside a product: its place among those that share an input, and its shape.
struct Part {
  LowRank LayerAdapter::* product;
  size_t firstRow;  // in the base matrix, before panels alternate
  size_t rows, columns;
  size_t alternates;  // 0, or 1 + which of two alternating panels of 16 rows
};

Part partOf(pm_role role, const AdapterShape& s) {
  switch (role) {
    case PM_Q_PROJ: return {&LayerAdapter::qkv, 0, s.q, s.hidden, 0};
    case PM_K_PROJ: return {&LayerAdapter::qkv, s.q, s.kv, s.hidden, 0};
    case PM_V_PROJ: return {&LayerAdapter::qkv, s.q + s.kv, s.kv, s.hidden, 0};
    case PM_O_PROJ: return {&LayerAdapter::output, 0, s.hidden, s.q, 0};
    case PM_GATE_PROJ: return {&LayerAdapter::gateUp, 0, s.intermediate, s.hidden, 1};
    case PM_UP_PROJ: return {&LayerAdapter::gateUp, 0, s.intermediate, s.hidden, 2};
    case PM_DOWN_PROJ: return {&LayerAdapter::down, 0, s.hidden, s.intermediate, 0};
    default: throw std::runtime_error(std::string("adapter: ") + kRoleNames[role] + " cannot be adapted");
  }
}

size_t baseRow(const Part& part, size_t row) {
  return part.alternates ? row / 16 * 32 + (part.alternates - 1) * 16 + row % 16 : part.firstRow + row;
}

size_t baseRows(LowRank LayerAdapter::* product, const AdapterShape& s) {
  if (product == &LayerAdapter::qkv) return s.q + 2 * s.kv;
  return product == &LayerAdapter::gateUp ? (s.intermediate + 15) / 16 * 32 : s.hidden;
}

Matrix packed(const std::vector<float>& dense, size_t rows, size_t columns) {
  Matrix matrix(rows, columns, Dtype::F32);
  for (size_t panel = 0; panel < matrix.panels(); panel++) {
    const float* rows16[16] = {};
    for (size_t lane = 0; lane < 16 && panel * 16 + lane < rows; lane++) rows16[lane] = dense.data() + (panel * 16 + lane) * columns;
    matrix.writePanel(panel, rows16);
  }
  return matrix;
}

class Reader {
 public:
  Reader(const pm_adapter& source, const AdapterShape& shape) : source(source), shape(shape) {
    files.reserve((size_t)source.file_count);
    for (int i = 0; i < source.file_count; i++) files.emplace_back(source.files[i]);
  }

  LowRank product(size_t layer, LowRank LayerAdapter::* which) const {
    std::vector<const pm_low_rank*> pairs;
    size_t ranks = 0, columns = 0;
    for (int i = 0; i < source.pair_count; i++) {
      const pm_low_rank& pair = source.pairs[i];
      if ((size_t)pair.layer != layer || partOf(pair.role, shape).product != which) continue;
      pairs.push_back(&pair);
      ranks += (size_t)pair.rank;
      columns = partOf(pair.role, shape).columns;
    }
    if (pairs.empty()) return {};
    const size_t rows = baseRows(which, shape);
    std::vector<float> down(ranks * columns), up(rows * ranks), row;
    size_t first = 0;
    for (const pm_low_rank* pair : pairs) {
      const Part part = partOf(pair->role, shape);
      const size_t rank = (size_t)pair->rank;
      for (size_t r = 0; r < rank; r++) readRow(*pair, pair->a_offset, r, columns, down.data() + (first + r) * columns, rank);
      row.resize(rank);
      for (size_t r = 0; r < part.rows; r++) {
        readRow(*pair, pair->b_offset, r, rank, row.data(), part.rows);
        for (size_t k = 0; k < rank; k++) up[baseRow(part, r) * ranks + first + k] = row[k] * pair->scale;
      }
      first += rank;
    }
    return {packed(down, ranks, columns), packed(up, rows, ranks)};
  }

 private:
  void readRow(const pm_low_rank& pair, uint64_t offset, size_t row, size_t columns, float* out, size_t rows) const {
    const size_t bytes = rowBytes(pair.dtype, columns);
    const auto* data = static_cast<const char*>(files[(size_t)pair.file].at(offset, rows * bytes, kRoleNames[pair.role]));
    readStoredRow(pair.dtype, data + row * bytes, columns, out);
  }

  const pm_adapter& source;
  const AdapterShape& shape;
  std::vector<FileMapping> files;
};

}  // namespace

size_t Adapter::bytes() const {
  size_t sum = 0;
  for (const LayerAdapter& layer : layers)
    for (const LowRank* part : {&layer.qkv, &layer.output, &layer.gateUp, &layer.down})
      sum += part->down.data.bytes() + part->up.data.bytes();
  return sum;
}

Adapter readAdapter(const pm_adapter& source, const AdapterShape& shape) {
  for (int i = 0; i < source.pair_count; i++) {
    const pm_low_rank& pair = source.pairs[i];
    if (pair.layer < 0 || (size_t)pair.layer >= shape.layers || pair.file < 0 || pair.file >= source.file_count)
      throw std::runtime_error("adapter: a pair names a layer or file that is not there");
    if (pair.rank < 1 || (size_t)pair.rank > shape.maxRank)
      throw std::runtime_error("adapter: rank " + std::to_string(pair.rank) + ", expected 1 to " + std::to_string(shape.maxRank));
    for (int j = 0; j < i; j++)
      if (source.pairs[j].role == pair.role && source.pairs[j].layer == pair.layer)
        throw std::runtime_error(std::string("adapter: ") + kRoleNames[pair.role] + " of layer " + std::to_string(pair.layer) + " comes twice");
    if (pair.dtype > PM_STORED_F16) throw std::runtime_error("adapter: weights must be F32, BF16 or F16");
  }
  const Reader reader(source, shape);
  Adapter adapter;
  for (size_t layer = 0; layer < shape.layers; layer++)
    adapter.layers.push_back({reader.product(layer, &LayerAdapter::qkv), reader.product(layer, &LayerAdapter::output),
                              reader.product(layer, &LayerAdapter::gateUp), reader.product(layer, &LayerAdapter::down)});
  return adapter;
}

}  // namespace pm
