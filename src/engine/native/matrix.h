// A projection in the packed form that the kernels read.
#pragma once

#include <cstddef>

#include "kernels/dtype.h"
#include "memory.h"

namespace pm {

// Panels of 16 output rows each (dtype.h); the last panel is padded with zero rows.
struct Matrix {
  size_t rows = 0, columns = 0;
  Dtype dtype = Dtype::F32;
  Arena data;
  Arena bias;  // [panels * 16] floats, or empty

  Matrix() = default;
  // Zeroed: rows that are never written are zero rows.
  Matrix(size_t rows, size_t columns, Dtype dtype)
      : rows(rows), columns(columns), dtype(dtype), data((rows + 15) / 16 * panelBytes(dtype, columns)) {}

  size_t panels() const { return (rows + 15) / 16; }
  char* panel(size_t index) const { return data.as<char>() + index * panelBytes(dtype, columns); }
  const float* panelBias(size_t index) const { return bias.bytes() ? bias.as<float>() + index * 16 : nullptr; }

  // Packs 16 rows of floats; null = a zero row. Rounds to nearest. In I8 the scale of a group is its largest
  // magnitude over 127, rounded up to float16, so a value is off by at most half of it.
  void writePanel(size_t index, const float* const* rows16) const;
  // One row as floats.
  void read(size_t row, float* out) const;
};

}  // namespace pm
