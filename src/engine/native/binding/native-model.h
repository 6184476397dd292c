// NativeModel of native.ts: a model of some backend, closed with the object or before it.
#pragma once

#include <napi.h>

#include <optional>

#include "../library.h"
#include "../step-check.h"

namespace pm::binding {

class NativeModel : public Napi::ObjectWrap<NativeModel> {
 public:
  static Napi::Function define(Napi::Env env);

  // (plan, onProgress?, External<Backend>?): without a backend, the CPU's.
  explicit NativeModel(const Napi::CallbackInfo& info);
  // Also runs when the environment (main thread or worker) is torn down with models still open.
  ~NativeModel() override { release(); }

 private:
  // (batch, keepsLogits?)
  Napi::Value launch(const Napi::CallbackInfo& info);
  // (results, logits?)
  Napi::Value wait(const Napi::CallbackInfo& info);
  // (batch, logits?): both, with nothing else in flight.
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value loadAdapter(const Napi::CallbackInfo& info);
  Napi::Value unloadAdapter(const Napi::CallbackInfo& info);
  Napi::Value memory(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  struct Results {
    pm_results c{};
    ResultLengths lengths{};
  };

  pm_model* opened() const;
  Results readResults(const Napi::CallbackInfo& info, const StepShape& shape) const;
  void launch(const pm_batch& batch);
  void wait(const Results& results);
  void release();

  const Backend* backend = &ownBackend();
  pm_model* model = nullptr;
  std::optional<StepChecker> checker;  // of an opened model
};

}  // namespace pm::binding
