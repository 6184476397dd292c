// StepInputs and StepResults of native.ts as structs that point into their arrays, and how long these are.
#pragma once

#include <napi.h>

#include "../step-check.h"

namespace pm::binding {

// Throw a Refusal.
void readBatch(const Napi::Object& from, pm_batch& batch, BatchLengths& lengths);
void readResults(const Napi::Object& from, const StepShape& shape, pm_results& results, ResultLengths& lengths);

}  // namespace pm::binding
