// Weights in memory: where they come from (checkpoint files or a random seed) and the packed form that the
// kernels read.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "backend.h"
#include "kernels/dtype.h"
#include "matrix.h"
#include "memory.h"
#include "thread-pool.h"

namespace pm {

// Named tensors, read as float rows whatever their storage.
class WeightSource {
 public:
  explicit WeightSource(const pm_plan& plan);

  bool has(pm_role role, int layer, int expert = -1) const;
  // Rows `roles`, one tensor after the other (fused q, k, v), or in alternating panels of 16 rows of each
  // (fused gate and up). `biases` matches `roles`; absent ones count as zero.
  Matrix pack(ThreadPool& pool, const std::vector<pm_role>& roles, const std::vector<pm_role>& biases, int layer,
              const std::vector<size_t>& rows, size_t columns, bool alternate = false, int expert = -1) const;
  // A bias, or a norm's weights with the plan's offset added; zero-padded to a multiple of 16. Random: 1.
  Arena vector(pm_role role, int layer, size_t length) const;
  Arena norm(pm_role role, int layer, size_t length) const;

  struct Tensor {
    const void* data = nullptr;  // null: random
    pm_stored_dtype dtype = PM_STORED_F32;
    size_t interleavedHead = 0;  // rows of a head that is stored interleaved; 0: in order
    uint64_t seed = 0;
    std::string name;
  };
  // A tensor of the expected shape; `columns` 0: a vector. Throws with its name and what is wrong.
  Tensor find(pm_role role, int layer, int expert, size_t rows, size_t columns) const;
  static void readRow(const Tensor& tensor, size_t row, size_t columns, float* out);

 private:
  static Dtype dtypeInMemory(const Tensor& tensor);

  const pm_plan& plan;
  std::vector<FileMapping> files;
  std::map<std::tuple<int, int, int>, const pm_tensor*> byRole;  // role, layer, expert
};

}  // namespace pm
