// Compares the kernels of one instruction set with their plain twins on random data.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace pm {

struct Check {
  std::string name;
  double error;  // largest |difference| over largest |reference|
};

std::vector<Check> selfTest(const Kernels& kernels);

}  // namespace pm
