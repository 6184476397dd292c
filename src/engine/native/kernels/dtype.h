// Element types in memory. Arithmetic is float32 everywhere.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pm {

enum class Dtype : int32_t { F32 = 0, BF16 = 1, F16 = 2 };

constexpr size_t bytesOf(Dtype dtype) { return dtype == Dtype::F32 ? 4 : 2; }

}  // namespace pm
