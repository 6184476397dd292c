#include "self-test.h"

namespace pm {
std::vector<Check> selfTest(const Kernels&) { return {}; }
}  // namespace pm
