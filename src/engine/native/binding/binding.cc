// The Node addon's door. This folder unpacks plain objects and typed arrays into backend.h's structs, checks them, calls,
// and turns error text into JavaScript errors; nothing outside it knows napi.h.
#include <napi.h>

#include <string>
#include <vector>

#include "../kernels/kernels.h"
#include "../library.h"
#include "../processor.h"
#include "../self-test.h"
#include "native-model.h"
#include "values.h"

namespace {

using pm::binding::guarded;
using pm::binding::NativeModel;

class Addon : public Napi::Addon<Addon> {
 public:
  Addon(Napi::Env env, Napi::Object exports) {
    const std::string problem = pm::baselineProblem(pm::presentFeatures());
    if (!problem.empty()) throw Napi::Error::New(env, problem);
    constructor = Napi::Persistent(NativeModel::define(env));
    DefineAddon(exports, {InstanceMethod("cpuInfo", &Addon::cpuInfo), InstanceMethod("open", &Addon::open),
                          InstanceMethod("openBackend", &Addon::openBackend),
                          InstanceMethod("selfTest", &Addon::selfTest), InstanceMethod("baselineProblem", &Addon::baselineProblem)});
  }

 private:
  Napi::Value open(const Napi::CallbackInfo& info) { return constructor.New({info[0], info[1]}); }

  // A backend in a library: what it runs on, and `open` for models on it.
  Napi::Value openBackend(const Napi::CallbackInfo& info) {
    return guarded(info, [&]() -> Napi::Value {
      pm_device device{};
      const pm::Backend* backend = &pm::openBackend(info[0].ToString().Utf8Value(), device);
      auto out = Napi::Object::New(info.Env());
      out.Set("name", Napi::String::New(info.Env(), device.name));
      out.Set("memoryBytes", (double)device.memory_bytes);
      out.Set("freeBytes", (double)device.free_bytes);
      out.Set("computeCapability", Napi::String::New(info.Env(), std::to_string(device.major) + "." + std::to_string(device.minor)));
      out.Set("libraries", Napi::String::New(info.Env(), device.libraries));
      out.Set("open", Napi::Function::New(info.Env(), [this, backend](const Napi::CallbackInfo& call) -> Napi::Value {
        return constructor.New({call[0], call[1], Napi::External<pm::Backend>::New(call.Env(), const_cast<pm::Backend*>(backend))});
      }));
      return out;
    });
  }

  Napi::Value cpuInfo(const Napi::CallbackInfo& info) {
    int count = 0;
    const pm::Kernels* const* tables = pm::availableKernels(&count);
    auto available = Napi::Array::New(info.Env());
    for (int i = 0; i < count; i++) available.Set((uint32_t)i, tables[i]->isa);
    auto out = Napi::Object::New(info.Env());
    out.Set("isa", tables[0]->isa);
    out.Set("available", available);
    return out;
  }

  // For tests: compares every kernel of one instruction set with its plain twin.
  Napi::Value selfTest(const Napi::CallbackInfo& info) {
    return guarded(info, [&]() -> Napi::Value {
      const std::string isa = info[0].ToString().Utf8Value();
      const pm::Kernels* kernels = pm::findKernels(isa.c_str());
      if (!kernels) throw pm::binding::Refusal("selfTest: this processor has no instruction set named " + isa);
      auto out = Napi::Object::New(info.Env());
      for (const auto& check : pm::selfTest(*kernels)) out.Set(check.name, check.error);
      return out;
    });
  }

  // For tests: what a processor with these features is told.
  Napi::Value baselineProblem(const Napi::CallbackInfo& info) {
    const auto names = info[0].As<Napi::Array>();
    std::vector<std::string> present;
    for (uint32_t i = 0; i < names.Length(); i++) present.push_back(names.Get(i).ToString().Utf8Value());
    return Napi::String::New(info.Env(), pm::baselineProblem(present));
  }

  Napi::FunctionReference constructor;
};

}  // namespace

NODE_API_ADDON(Addon)
