#include "native-model.h"

#include "read-batch.h"
#include "read-plan.h"
#include "values.h"

namespace pm::binding {
namespace {

// Calls a function of a backend; its error text becomes an exception.
template <class Call>
void calling(const Call& call) {
  char error[1024] = "";
  if (call(error, sizeof error) != 0) throw std::runtime_error(error);
}

}  // namespace

Napi::Function NativeModel::define(Napi::Env env) {
  return DefineClass(env, "NativeModel",
                     {InstanceMethod<&NativeModel::launch>("launch"), InstanceMethod<&NativeModel::wait>("wait"),
                      InstanceMethod<&NativeModel::step>("step"), InstanceMethod<&NativeModel::memory>("memory"),
                      InstanceMethod<&NativeModel::loadAdapter>("loadAdapter"),
                      InstanceMethod<&NativeModel::unloadAdapter>("unloadAdapter"), InstanceMethod<&NativeModel::close>("close")});
}

NativeModel::NativeModel(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeModel>(info) {
  guarded(info, [&] {
    if (!info[0].IsObject()) throw Refusal("open: a plan is expected");
    Plan plan;
    reading("plan", [&] { readPlan(info[0].As<Napi::Object>(), plan); });
    Napi::Function listener;
    if (info.Length() > 1 && info[1].IsFunction()) {
      listener = info[1].As<Napi::Function>();
      plan.c.progress_context = &listener;
      plan.c.progress = [](void* context, double part) {
        auto* told = static_cast<Napi::Function*>(context);
        told->Call({Napi::Number::New(told->Env(), part)});
      };
    }
    if (info.Length() > 2 && info[2].IsExternal()) backend = info[2].As<Napi::External<Backend>>().Data();
    calling([&](char* error, size_t size) { return backend->open(&plan.c, &model, error, size); });
    checker.emplace(StepLimits{plan.c.vocab_size, plan.c.hidden_size, plan.c.blocks, plan.c.max_tokens, plan.c.max_samples,
                               plan.c.max_sequences, plan.c.max_sequence_blocks, plan.c.adapter_slots});
    return info.Env().Undefined();
  });
}

pm_model* NativeModel::opened() const {
  if (!model) throw std::runtime_error("the model is closed");
  return model;
}

NativeModel::Results NativeModel::readResults(const Napi::CallbackInfo& info, const StepShape& shape) const {
  Results results;
  reading("results", [&] {
    binding::readResults(info[0].As<Napi::Object>(), shape, results.c, results.lengths);
    if (shape.keepsLogits) results.c.logits = array<float>(info[1], "logits", &results.lengths.logits);
  });
  return results;
}

void NativeModel::launch(const pm_batch& batch) {
  try {
    calling([&](char* error, size_t size) { return backend->launch(model, &batch, error, size); });
  } catch (...) {
    checker->withdraw();
    throw;
  }
}

void NativeModel::wait(const Results& results) {
  checker->finish();
  calling([&](char* error, size_t size) { return backend->wait(model, &results.c, error, size); });
}

Napi::Value NativeModel::launch(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    opened();
    if (!info[0].IsObject()) throw Refusal("launch: a batch is expected");
    pm_batch batch{};
    BatchLengths lengths{};
    reading("batch", [&] { readBatch(info[0].As<Napi::Object>(), batch, lengths); });
    batch.keeps_logits = info.Length() > 1 && info[1].ToBoolean();
    checker->checkLaunch(lengths, batch);
    launch(batch);
    return info.Env().Undefined();
  });
}

Napi::Value NativeModel::wait(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    opened();
    if (!info[0].IsObject()) throw Refusal("wait: results are expected");
    const StepShape shape = checker->earliest();
    const Results results = readResults(info, shape);
    checker->checkResults(shape, results.lengths);
    wait(results);
    return info.Env().Undefined();
  });
}

Napi::Value NativeModel::step(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    opened();
    if (!info[0].IsObject()) throw Refusal("step: a batch is expected");
    pm_batch batch{};
    BatchLengths lengths{};
    reading("batch", [&] { readBatch(info[0].As<Napi::Object>(), batch, lengths); });
    batch.keeps_logits = info.Length() > 1 && !info[1].IsUndefined();
    if (!checker->isIdle()) throw std::logic_error("step: another step is in flight");
    const Results results = readResults(info, shapeOf(batch));
    checker->checkLaunch(lengths, batch, &results.lengths);
    launch(batch);
    wait(results);
    return info.Env().Undefined();
  });
}

Napi::Value NativeModel::loadAdapter(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    pm_model* const on = opened();
    if (!info[0].IsNumber() || !info[1].IsObject()) throw Refusal("loadAdapter: a slot and an adapter are expected");
    AdapterPlan plan;
    reading("adapter", [&] { readAdapterPlan(info[1].As<Napi::Object>(), plan); });
    const int32_t slot = info[0].As<Napi::Number>().Int32Value();
    calling([&](char* error, size_t size) { return backend->loadAdapter(on, slot, &plan.c, error, size); });
    return info.Env().Undefined();
  });
}

Napi::Value NativeModel::unloadAdapter(const Napi::CallbackInfo& info) {
  if (model && info[0].IsNumber()) backend->unloadAdapter(model, info[0].As<Napi::Number>().Int32Value());
  return info.Env().Undefined();
}

Napi::Value NativeModel::memory(const Napi::CallbackInfo& info) {
  pm_memory_use use{};
  if (model) backend->memory(model, &use);
  auto out = Napi::Object::New(info.Env());
  out.Set("weights", (double)use.weights);
  out.Set("kvCache", (double)use.kv_cache);
  out.Set("scratch", (double)use.scratch);
  return out;
}

Napi::Value NativeModel::close(const Napi::CallbackInfo& info) {
  release();
  return info.Env().Undefined();
}

void NativeModel::release() {
  if (model) backend->close(model);
  model = nullptr;
}

}  // namespace pm::binding
