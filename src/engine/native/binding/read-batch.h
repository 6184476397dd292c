// A StepBatch of native.ts as a pm_batch that points into its arrays, and how long these are.
#pragma once

#include <napi.h>

#include "../batch-check.h"

namespace pm::binding {

// Throws a Refusal.
void readBatch(const Napi::Object& from, pm_batch& batch, pm::BatchLengths& lengths);

}  // namespace pm::binding
