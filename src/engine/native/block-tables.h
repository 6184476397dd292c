// Which KV blocks each sequence has, in order: a row per sequence, kept from step to step and changed by deltas.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend.h"

namespace pm {

class BlockTables {
 public:
  // What a delta has replaced.
  struct Replaced {
    pm_table_delta entry;
    int32_t length;
  };

  BlockTables(int32_t rows, int32_t columns)
      : columns((size_t)columns), blocks((size_t)rows * (size_t)columns), lengths((size_t)rows) {}

  // [length(row)] blocks. Rows do not move.
  const int32_t* row(int32_t row) const { return blocks.data() + (size_t)row * columns; }
  int32_t length(int32_t row) const { return lengths[(size_t)row]; }

  // Trusts the delta.
  Replaced apply(const pm_table_delta& delta) {
    int32_t& length = lengths[(size_t)delta.row];
    int32_t& block = blocks[(size_t)delta.row * columns + (size_t)delta.column];
    const Replaced replaced{{delta.row, delta.column, block}, length};
    if (delta.block < 0) {
      length = 0;
    } else {
      block = delta.block;
      if (delta.column >= length) length = delta.column + 1;
    }
    return replaced;
  }
  // Takes an `apply` back; the latest first.
  void revert(const Replaced& replaced) {
    const auto& [row, column, block] = replaced.entry;
    blocks[(size_t)row * columns + (size_t)column] = block;
    lengths[(size_t)row] = replaced.length;
  }

 private:
  size_t columns;
  std::vector<int32_t> blocks;  // [rows, columns]
  std::vector<int32_t> lengths;
};

}  // namespace pm
