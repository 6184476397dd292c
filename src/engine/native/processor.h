// What a processor must have before any other code of the core runs.
#pragma once

#include <string>
#include <vector>

namespace pm {

// Features of x86-64-v2 that code is compiled for; empty on other architectures.
const std::vector<std::string>& baselineFeatures();

// Those of them that this processor has.
std::vector<std::string> presentFeatures();

// Why a processor with these features cannot run the core and what to do; empty if it can.
std::string baselineProblem(const std::vector<std::string>& present);

// Whether the processor has matrix tiles with products of bfloat16 (AMX) and Linux lets this process use them; asks it to.
bool requestTiles();

}  // namespace pm
