// ggml's block-quantized rows as floats. A block is a few integers with shared scales; see dequantize.cc.
#pragma once

#include <cstddef>

#include "backend.h"

namespace pm {

// Elements and bytes of one block; 1 and the element's size where nothing is shared.
struct BlockLayout {
  size_t elements, bytes;
};
BlockLayout blockLayout(pm_stored_dtype dtype);

// Bytes of a row of `columns` elements, a multiple of the block's.
inline size_t rowBytes(pm_stored_dtype dtype, size_t columns) {
  const BlockLayout layout = blockLayout(dtype);
  return columns / layout.elements * layout.bytes;
}

// One row of any stored type. `data` needs no alignment.
void readStoredRow(pm_stored_dtype dtype, const void* data, size_t columns, float* out);

}  // namespace pm
