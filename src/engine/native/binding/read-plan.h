// A ModelPlan and an AdapterSource of native.ts as backend.h's structs, with the memory that these point to.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "../backend.h"

namespace pm::binding {

struct Plan {
  pm_plan c{};
  std::vector<float> frequencies, ropeFactors;
  std::vector<int32_t> windows, ropeOfLayer, moeLayers;
  std::vector<std::string> files;
  std::vector<const char*> filePointers;
  std::vector<pm_tensor> tensors;
  std::string isa;
};

struct AdapterPlan {
  pm_adapter c{};
  std::vector<std::string> files;
  std::vector<const char*> filePointers;
  std::vector<pm_low_rank> pairs;
};

// Fill an empty plan; throw a Refusal.
void readPlan(const Napi::Object& from, Plan& plan);
void readAdapterPlan(const Napi::Object& from, AdapterPlan& plan);

}  // namespace pm::binding
