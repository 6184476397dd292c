// Passes over rows of logits that sampling needs. Lengths are multiples of 16; pad with -infinity.
#pragma once

#include <cstddef>

namespace pm {

// Floats of one block of partial sums.
constexpr size_t kSumBlock = 1024;

}  // namespace pm
