// Which models the CUDA backend runs, and with which of its kernels.
#pragma once

#include <string>

#include "../backend.h"

namespace pm::cuda {

// The plan itself; throws with what to change where it cannot be run.
const pm_plan& checked(const pm_plan& plan);

// `best`; `own`: without cuBLASLt; `plain`: without products of warpgroups, too.
std::string kernelsOf(const pm_plan& plan);

}  // namespace pm::cuda
