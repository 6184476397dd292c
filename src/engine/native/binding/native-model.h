// NativeModel of native.ts: a model of some backend, closed with the object or before it.
#pragma once

#include <napi.h>

#include "../batch-check.h"
#include "../library.h"

namespace pm::binding {

class NativeModel : public Napi::ObjectWrap<NativeModel> {
 public:
  static Napi::Function define(Napi::Env env);

  // (plan, onProgress?, External<Backend>?): without a backend, the CPU's.
  explicit NativeModel(const Napi::CallbackInfo& info);
  // Also runs when the environment (main thread or worker) is torn down with models still open.
  ~NativeModel() override { release(); }

 private:
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value loadAdapter(const Napi::CallbackInfo& info);
  Napi::Value unloadAdapter(const Napi::CallbackInfo& info);
  Napi::Value memory(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  pm_model* opened() const;
  void release();

  const Backend* backend = &ownBackend();
  pm_model* model = nullptr;
  BatchLimits limits{};
};

}  // namespace pm::binding
