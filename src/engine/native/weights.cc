#include "weights.h"

#include <cmath>
#include <cstring>
#include <stdexcept>

#include "dequantize.h"
#include "numbers.h"
#include "role-names.h"

namespace pm {
namespace {

std::string nameOf(pm_role role, int layer, int expert) {
  std::string name = kRoleNames[role];
  if (expert >= 0) name += " of expert " + std::to_string(expert);
  if (layer >= 0) name += " of layer " + std::to_string(layer);
  return name;
}

std::string shapeText(int rank, const int64_t* shape) {
  return rank == 1 ? "[" + std::to_string(shape[0]) + "]"
                   : "[" + std::to_string(shape[0]) + ", " + std::to_string(shape[1]) + "]";
}

}  // namespace

WeightSource::WeightSource(const pm_plan& p) : plan(p) {
  files.reserve((size_t)p.file_count);
  for (int i = 0; i < p.file_count; i++) files.emplace_back(p.files[i]);
  for (int i = 0; i < p.tensor_count; i++) {
    const pm_tensor& tensor = p.tensors[i];
    byRole.emplace(std::tuple(tensor.role, tensor.layer, tensor.expert), &tensor);
  }
}

bool WeightSource::has(pm_role role, int layer, int expert) const {
  return byRole.count(std::tuple(role, layer, expert)) > 0;
}

WeightSource::Tensor WeightSource::find(pm_role role, int layer, int expert, size_t rows, size_t columns) const {
  Tensor found;
  found.name = nameOf(role, layer, expert);
  if (plan.dummy) {
    found.seed = mix(plan.dummy_seed * 0x9e3779b97f4a7c15u + (uint64_t)role * 1000003u + (uint64_t)(layer + 1) +
                     (uint64_t)(expert + 1) * 0xd1342543de82ef95u);
    found.dtype = PM_STORED_BF16;
    return found;
  }
  const auto at = byRole.find(std::tuple(role, layer, expert));
  if (at == byRole.end()) throw std::runtime_error("the plan has no tensor for " + found.name);
  const pm_tensor& t = *at->second;
  const int64_t expected[2] = {(int64_t)rows, (int64_t)columns};
  const int rank = columns == 0 ? 1 : 2;
  if (t.rank != rank || t.shape[0] != expected[0] || (rank == 2 && t.shape[1] != expected[1]))
    throw std::runtime_error(found.name + ": expected shape " + shapeText(rank, expected) + ", found " +
                             shapeText(t.rank, t.shape));
  if (t.file < 0 || t.file >= plan.file_count)
    throw std::runtime_error(found.name + ": file index " + std::to_string(t.file) + " is not in the plan");
  found.dtype = t.dtype;
  if (t.interleaved) found.interleavedHead = (size_t)plan.head_dim;
  const size_t length = columns ? columns : rows;
  if (!columns && blockLayout(found.dtype).elements != 1)
    throw std::runtime_error(found.name + ": a norm or bias must not be quantized");
  if (length % blockLayout(found.dtype).elements != 0)
    throw std::runtime_error(found.name + ": rows of " + std::to_string(length) + " elements are not whole blocks");
  const size_t bytes = (columns ? rows : 1) * rowBytes(found.dtype, length);
  found.data = files[(size_t)t.file].at(t.offset, bytes, found.name);
  return found;
}

void WeightSource::readRow(const Tensor& tensor, size_t row, size_t columns, float* out) {
  if (!tensor.data) {
    // Uniform with standard deviation 1 / sqrt(columns), a pure function of (seed, element).
    const float scale = 1.7320508f / sqrtf((float)columns);
    for (size_t k = 0; k < columns; k++) {
      const uint32_t bits = (uint32_t)(mix(tensor.seed + row * columns + k) >> 40);
      out[k] = ((float)bits * (1.0f / 8388608.0f) - 1.0f) * scale;
    }
    return;
  }
  size_t stored = row;
  if (const size_t d = tensor.interleavedHead) {
    const size_t within = row % d;
    stored = row - within + within % (d / 2) * 2 + within / (d / 2);
  }
  const char* at = static_cast<const char*>(tensor.data) + stored * rowBytes(tensor.dtype, columns);
  readStoredRow(tensor.dtype, at, columns, out);
}

// As stored; what is quantized in the file is held as BF16.
Dtype WeightSource::dtypeInMemory(const Tensor& tensor) {
  if (tensor.dtype == PM_STORED_F32) return Dtype::F32;
  return tensor.dtype == PM_STORED_F16 ? Dtype::F16 : Dtype::BF16;
}

Matrix WeightSource::pack(ThreadPool& pool, const std::vector<pm_role>& roles, const std::vector<pm_role>& biases,
                          int layer, const std::vector<size_t>& rows, size_t columns, bool alternate, int expert) const {
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < roles.size(); i++) tensors.push_back(find(roles[i], layer, expert, rows[i], columns));

  Dtype dtype = dtypeInMemory(tensors[0]);
  for (const auto& tensor : tensors)
    if (dtypeInMemory(tensor) != dtype) dtype = Dtype::F32;  // mixed: the one that holds all exactly
  // A router is small, and an error in it picks another expert.
  const bool keeps = plan.weight_dtype == PM_DTYPE_AUTO || (plan.weight_dtype == PM_I8 && roles[0] == PM_ROUTER);
  if (!keeps) dtype = (Dtype)plan.weight_dtype;

  // Output row -> (tensor, row in it); an alternating pair is padded to whole panels of each.
  struct Place { size_t tensor, row; };
  std::vector<Place> places;
  constexpr size_t none = ~size_t{0};
  if (alternate) {
    for (size_t start = 0; start < rows[0]; start += 16)
      for (size_t t = 0; t < tensors.size(); t++)
        for (size_t lane = 0; lane < 16; lane++)
          places.push_back({t, start + lane < rows[t] ? start + lane : none});
  } else {
    for (size_t t = 0; t < tensors.size(); t++)
      for (size_t row = 0; row < rows[t]; row++) places.push_back({t, row});
  }
  Matrix matrix(places.size(), columns, dtype);
  const size_t panels = matrix.panels(), each = 4;
  std::vector<std::vector<float>> buffers((size_t)pool.threads(), std::vector<float>(16 * columns));
  pool.run((int)((panels + each - 1) / each), [&](int chunk, int worker) {
    float* floats = buffers[(size_t)worker].data();
    for (size_t panel = (size_t)chunk * each; panel < panels && panel < ((size_t)chunk + 1) * each; panel++) {
      const float* rows16[16] = {};
      for (size_t lane = 0; lane < 16 && panel * 16 + lane < places.size(); lane++) {
        const Place place = places[panel * 16 + lane];
        if (place.row == none) continue;
        readRow(tensors[place.tensor], place.row, columns, floats + lane * columns);
        rows16[lane] = floats + lane * columns;
      }
      matrix.writePanel(panel, rows16);
    }
  });

  bool anyBias = false;
  for (const pm_role role : biases) anyBias = anyBias || has(role, layer);
  if (anyBias) {
    matrix.bias = Arena(panels * 16 * sizeof(float));
    std::vector<Arena> values(biases.size());
    for (size_t t = 0; t < biases.size(); t++)
      if (has(biases[t], layer)) values[t] = vector(biases[t], layer, rows[t]);
    for (size_t i = 0; i < places.size(); i++)
      if (places[i].row != none && values[places[i].tensor].bytes())
        matrix.bias.as<float>()[i] = values[places[i].tensor].as<float>()[places[i].row];
  }
  return matrix;
}

Arena WeightSource::norm(pm_role role, int layer, size_t length) const {
  Arena out = vector(role, layer, length);
  if (!plan.dummy)
    for (size_t i = 0; i < length; i++) out.as<float>()[i] += plan.norm_offset;
  return out;
}

Arena WeightSource::vector(pm_role role, int layer, size_t length) const {
  Arena out((length + 15) / 16 * 16 * sizeof(float));
  const Tensor tensor = find(role, layer, -1, length, 0);
  if (tensor.interleavedHead) {
    for (size_t i = 0; i < length; i++) readRow(tensor, i, 1, out.as<float>() + i);
  } else if (tensor.data) readRow(tensor, 0, length, out.as<float>());
  else
    for (size_t i = 0; i < length; i++) out.as<float>()[i] = 1.0f;
  return out;
}

}  // namespace pm
