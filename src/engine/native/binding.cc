// The Node addon: unpacks plain objects and typed arrays into backend.h's structs, checks them, calls, and
// turns error text into JavaScript errors. The only file that knows napi.h.
#include <napi.h>

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "backend.h"
#include "batch-check.h"
#include "kernels/kernels.h"
#include "library.h"
#include "processor.h"
#include "role-names.h"
#include "self-test.h"

namespace {

constexpr size_t kErrorSize = 1024;

// Errors thrown here become JavaScript errors at the door of each exported function.
using Refusal = std::invalid_argument;

Napi::Value property(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined() || value.IsNull()) throw Refusal(std::string(name) + " is missing");
  return value;
}

double number(const Napi::Object& object, const char* name) {
  const Napi::Value value = property(object, name);
  if (!value.IsNumber()) throw Refusal(std::string(name) + " is not a number");
  return value.As<Napi::Number>().DoubleValue();
}

int32_t integer(const Napi::Object& object, const char* name) {
  const double value = number(object, name);
  if (value != std::floor(value) || std::fabs(value) > 2147483647.0)
    throw Refusal(std::string(name) + " is " + std::to_string(value) + ", expected a 32-bit integer");
  return (int32_t)value;
}

bool boolean(const Napi::Object& object, const char* name) {
  const Napi::Value value = property(object, name);
  if (!value.IsBoolean()) throw Refusal(std::string(name) + " is not a boolean");
  return value.As<Napi::Boolean>().Value();
}

bool has(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return !value.IsUndefined() && !value.IsNull();
}

std::string text(const Napi::Object& object, const char* name) {
  const Napi::Value value = property(object, name);
  if (!value.IsString()) throw Refusal(std::string(name) + " is not a string");
  return value.As<Napi::String>().Utf8Value();
}

// A typed array's data and length, of exactly the expected element type.
template <class T>
T* array(const Napi::Value& value, const char* name, size_t* length) {
  constexpr napi_typedarray_type expected = std::is_same_v<T, float>      ? napi_float32_array
                                            : std::is_same_v<T, uint32_t> ? napi_uint32_array
                                                                          : napi_int32_array;
  constexpr const char* kind = expected == napi_float32_array ? "a Float32Array" : expected == napi_uint32_array ? "a Uint32Array" : "an Int32Array";
  napi_typedarray_type type;
  void* data = nullptr;
  if (!value.IsTypedArray() ||
      napi_get_typedarray_info(value.Env(), value, &type, length, &data, nullptr, nullptr) != napi_ok || type != expected)
    throw Refusal(std::string(name) + " is not " + kind);
  return static_cast<T*>(data);
}

template <class T>
T* array(const Napi::Object& object, const char* name, size_t* length) {
  return array<T>(property(object, name), name, length);
}

// A copy of a typed array that must have `length` elements.
template <class T>
std::vector<T> copied(const Napi::Object& object, const char* name, size_t length = ~size_t{0}) {
  size_t found = 0;
  const T* data = array<T>(object, name, &found);
  if (length != ~size_t{0} && found != length)
    throw Refusal(std::string(name) + " has " + std::to_string(found) + " elements, expected " + std::to_string(length));
  return std::vector<T>(data, data + found);
}

template <class T>
size_t indexOf(const std::string& name, const char* what, const T& names) {
  for (size_t i = 0; i < std::size(names); i++)
    if (name == names[i]) return i;
  throw Refusal(std::string(what) + " has the unknown value '" + name + "'");
}

constexpr const char* kDtypes[] = {"F32", "BF16", "F16", "auto", "I8", "F8_E4M3"};
constexpr const char* kStoredDtypes[PM_STORED_DTYPES] = {"F32",  "BF16", "F16",  "Q4_0", "Q4_1", "Q5_0",
                                                         "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"};
constexpr const char* kActivations[] = {"silu", "gelu_tanh"};

// A pm_plan with the memory that it points to.
struct Plan {
  pm_plan c{};
  std::vector<float> frequencies, ropeFactors;
  std::vector<int32_t> windows, ropeOfLayer, moeLayers;
  std::vector<std::string> files;
  std::vector<const char*> filePointers;
  std::vector<pm_tensor> tensors;
  std::string isa;
};

pm_tensor readTensor(const Napi::Object& from) {
  pm_tensor tensor{};
  tensor.role = (pm_role)indexOf(text(from, "role"), "tensors[].role", pm::kRoleNames);
  tensor.layer = integer(from, "layer");
  tensor.expert = has(from, "expert") ? integer(from, "expert") : -1;
  tensor.file = integer(from, "file");
  const double offset = number(from, "offset");
  if (!(offset >= 0 && offset <= 9007199254740991.0)) throw Refusal("tensors[].offset is out of range");
  tensor.offset = (uint64_t)offset;
  tensor.dtype = (pm_stored_dtype)indexOf(text(from, "dtype"), "tensors[].dtype", kStoredDtypes);
  tensor.interleaved = has(from, "isInterleaved") && boolean(from, "isInterleaved");
  const auto shape = property(from, "shape").As<Napi::Array>();
  tensor.rank = (int32_t)shape.Length();
  if (tensor.rank < 1 || tensor.rank > 2) throw Refusal("tensors[].shape must have one or two dimensions");
  for (uint32_t i = 0; i < shape.Length(); i++) tensor.shape[i] = shape.Get(i).ToNumber().Int64Value();
  return tensor;
}

void readPlan(const Napi::Object& from, Plan& plan) {
  pm_plan& c = plan.c;
  c.hidden_size = integer(from, "hiddenSize");
  c.layers = integer(from, "layers");
  c.heads = integer(from, "heads");
  c.kv_heads = integer(from, "kvHeads");
  c.head_dim = integer(from, "headDim");
  c.intermediate_size = integer(from, "intermediateSize");
  c.vocab_size = integer(from, "vocabSize");
  c.rms_norm_eps = (float)number(from, "rmsNormEps");
  c.rotary_dim = integer(from, "rotaryDim");
  c.qk_norm = boolean(from, "qkNorm");
  c.output_norms = boolean(from, "hasOutputNorms");
  c.norm_offset = (float)number(from, "normOffset");
  c.embedding_scale = (float)number(from, "embeddingScale");
  c.attention_scale = (float)number(from, "attentionScale");
  c.attention_softcap = (float)number(from, "attentionSoftcap");
  c.logit_softcap = (float)number(from, "logitSoftcap");
  c.activation = (pm_activation)indexOf(text(from, "activation"), "activation", kActivations);
  c.tie_word_embeddings = boolean(from, "tieWordEmbeddings");
  c.weight_dtype = (pm_dtype)indexOf(text(from, "weightDtype"), "weightDtype", kDtypes);
  c.kv_cache_dtype = (pm_dtype)indexOf(text(from, "kvCacheDtype"), "kvCacheDtype", kDtypes);
  c.block_size = integer(from, "blockSize");
  c.blocks = integer(from, "blocks");
  c.threads = integer(from, "threads");
  c.max_tokens = integer(from, "maxTokens");
  c.max_samples = integer(from, "maxSamples");

  if (c.layers <= 0) throw Refusal("layers is " + std::to_string(c.layers) + ", expected 1 or more");
  const size_t layers = (size_t)c.layers;
  plan.ropeFactors = copied<float>(from, "ropeAttentionFactors");
  c.rope_tables = (int32_t)plan.ropeFactors.size();
  c.rope_attention_factors = plan.ropeFactors.data();
  plan.frequencies = copied<float>(from, "ropeInverseFrequencies");
  if (c.rotary_dim <= 0 || plan.frequencies.size() != (size_t)c.rotary_dim / 2 * plan.ropeFactors.size())
    throw Refusal("ropeInverseFrequencies has " + std::to_string(plan.frequencies.size()) +
                  " elements, expected rotaryDim / 2 for each of " + std::to_string(plan.ropeFactors.size()) + " tables");
  c.rope_inverse_frequencies = plan.frequencies.data();
  plan.ropeOfLayer = copied<int32_t>(from, "ropeOfLayer", layers);
  c.rope_of_layer = plan.ropeOfLayer.data();
  plan.windows = copied<int32_t>(from, "slidingWindows", layers);
  c.sliding_windows = plan.windows.data();
  if (has(from, "experts")) {
    const auto experts = property(from, "experts").As<Napi::Object>();
    c.experts = integer(experts, "count");
    c.experts_per_token = integer(experts, "perToken");
    c.expert_size = integer(experts, "intermediateSize");
    c.renormalize_experts = boolean(experts, "renormalizes");
    plan.moeLayers = copied<int32_t>(experts, "layers", layers);
  } else {
    plan.moeLayers.assign(layers, 0);
  }
  c.moe_layers = plan.moeLayers.data();

  c.adapter_slots = has(from, "adapterSlots") ? integer(from, "adapterSlots") : 0;
  c.max_adapter_rank = has(from, "maxAdapterRank") ? integer(from, "maxAdapterRank") : 0;

  const auto files = property(from, "files").As<Napi::Array>();
  for (uint32_t i = 0; i < files.Length(); i++) plan.files.push_back(files.Get(i).ToString().Utf8Value());
  for (const auto& file : plan.files) plan.filePointers.push_back(file.c_str());
  c.files = plan.filePointers.data();
  c.file_count = (int32_t)plan.files.size();
  const auto tensors = property(from, "tensors").As<Napi::Array>();
  for (uint32_t i = 0; i < tensors.Length(); i++) plan.tensors.push_back(readTensor(tensors.Get(i).As<Napi::Object>()));
  c.tensors = plan.tensors.data();
  c.tensor_count = (int32_t)plan.tensors.size();
  if (from.Has("dummySeed") && !from.Get("dummySeed").IsUndefined()) {
    c.dummy = 1;
    c.dummy_seed = (uint64_t)(int64_t)number(from, "dummySeed");
  }
  if (from.Has("isa") && !from.Get("isa").IsUndefined()) plan.isa = text(from, "isa");
  c.isa = plan.isa.c_str();
}

// A pm_adapter with the memory that it points to.
struct AdapterPlan {
  pm_adapter c{};
  std::vector<std::string> files;
  std::vector<const char*> filePointers;
  std::vector<pm_low_rank> pairs;
};

uint64_t byteOffset(const Napi::Object& from, const char* name) {
  const double offset = number(from, name);
  if (!(offset >= 0 && offset <= 9007199254740991.0)) throw Refusal(std::string(name) + " is out of range");
  return (uint64_t)offset;
}

void readAdapterPlan(const Napi::Object& from, AdapterPlan& plan) {
  const auto files = property(from, "files").As<Napi::Array>();
  for (uint32_t i = 0; i < files.Length(); i++) plan.files.push_back(files.Get(i).ToString().Utf8Value());
  for (const auto& file : plan.files) plan.filePointers.push_back(file.c_str());
  const auto pairs = property(from, "pairs").As<Napi::Array>();
  for (uint32_t i = 0; i < pairs.Length(); i++) {
    const auto pair = pairs.Get(i).As<Napi::Object>();
    plan.pairs.push_back({(pm_role)indexOf(text(pair, "role"), "pairs[].role", pm::kRoleNames), integer(pair, "layer"),
                          integer(pair, "rank"), integer(pair, "file"), byteOffset(pair, "aOffset"), byteOffset(pair, "bOffset"),
                          (pm_stored_dtype)indexOf(text(pair, "dtype"), "pairs[].dtype", kStoredDtypes), (float)number(pair, "scale")});
  }
  plan.c = {plan.filePointers.data(), (int32_t)plan.files.size(), plan.pairs.data(), (int32_t)plan.pairs.size()};
}

void readBatch(const Napi::Object& from, pm_batch& b, pm::BatchLengths& n) {
  b.tokens = integer(from, "tokens");
  b.sequences = integer(from, "sequences");
  b.samples = integer(from, "samples");
  b.block_table_stride = integer(from, "blockTableStride");
  b.top_stride = integer(from, "topStride");
  b.token_ids = array<int32_t>(from, "tokenIds", &n.tokenIds);
  b.positions = array<int32_t>(from, "positions", &n.positions);
  b.slot_mapping = array<int32_t>(from, "slotMapping", &n.slotMapping);
  b.query_starts = array<int32_t>(from, "queryStarts", &n.queryStarts);
  b.block_tables = array<int32_t>(from, "blockTables", &n.blockTables);
  if (has(from, "adapters")) b.adapters = array<int32_t>(from, "adapters", &n.adapters);
  if (has(from, "forcedIds")) b.forced_ids = array<int32_t>(from, "forcedIds", &n.forcedIds);
  if (has(from, "maskOf")) {
    b.mask_of = array<int32_t>(from, "maskOf", &n.maskOf);
    b.masks = array<uint32_t>(from, "masks", &n.masks);
    b.mask_count = integer(from, "maskCount");
  }
  if (has(from, "pooled")) {
    b.pooled = integer(from, "pooled");
    b.pooled_rows = array<int32_t>(from, "pooledRows", &n.pooledRows);
    b.pooled_states = array<float>(from, "pooledStates", &n.pooledStates);
  }
  b.sample_rows = array<int32_t>(from, "sampleRows", &n.sampleRows);
  b.sampling_floats = array<float>(from, "samplingFloats", &n.samplingFloats);
  b.sampling_ints = array<int32_t>(from, "samplingInts", &n.samplingInts);
  b.history = array<int32_t>(from, "history", &n.history);
  b.bias_starts = array<int32_t>(from, "biasStarts", &n.biasStarts);
  b.bias_ids = array<int32_t>(from, "biasIds", &n.biasIds);
  b.bias_values = array<float>(from, "biasValues", &n.biasValues);
  b.sampled_ids = array<int32_t>(from, "sampledIds", &n.sampledIds);
  b.sampled_logprobs = array<float>(from, "sampledLogprobs", &n.sampledLogprobs);
  b.sampled_ranks = array<int32_t>(from, "sampledRanks", &n.sampledRanks);
  b.top_ids = array<int32_t>(from, "topIds", &n.topIds);
  b.top_logprobs = array<float>(from, "topLogprobs", &n.topLogprobs);
}

// Runs the body; its C++ exceptions become JavaScript errors.
template <class Body>
Napi::Value guarded(const Napi::CallbackInfo& info, const Body& body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Napi::Error::New(info.Env(), error.what());
  }
}

class NativeModel : public Napi::ObjectWrap<NativeModel> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeModel",
                       {InstanceMethod<&NativeModel::step>("step"), InstanceMethod<&NativeModel::memory>("memory"),
                        InstanceMethod<&NativeModel::loadAdapter>("loadAdapter"),
                        InstanceMethod<&NativeModel::unloadAdapter>("unloadAdapter"),
                        InstanceMethod<&NativeModel::close>("close")});
  }

  explicit NativeModel(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeModel>(info) {
    guarded(info, [&] {
      if (!info[0].IsObject()) throw Refusal("open: a plan is expected");
      Plan plan;
      try {
        readPlan(info[0].As<Napi::Object>(), plan);
      } catch (const Refusal& refusal) {
        throw Refusal(std::string("plan: ") + refusal.what());
      }
      limits = {plan.c.vocab_size, plan.c.hidden_size, plan.c.blocks, plan.c.max_tokens, plan.c.max_samples, plan.c.adapter_slots};
      Napi::Function listener;
      if (info.Length() > 1 && info[1].IsFunction()) {
        listener = info[1].As<Napi::Function>();
        plan.c.progress_context = &listener;
        plan.c.progress = [](void* context, double part) {
          auto* told = static_cast<Napi::Function*>(context);
          told->Call({Napi::Number::New(told->Env(), part)});
        };
      }
      if (info.Length() > 2 && info[2].IsExternal()) backend = info[2].As<Napi::External<pm::Backend>>().Data();
      char error[kErrorSize] = "";
      if (backend->open(&plan.c, &model, error, sizeof error) != 0) throw std::runtime_error(error);
      return info.Env().Undefined();
    });
  }

  // Also runs when the environment (main thread or worker) is torn down with models still open.
  ~NativeModel() override { release(); }

 private:
  Napi::Value step(const Napi::CallbackInfo& info) {
    return guarded(info, [&]() -> Napi::Value {
      if (!model) throw std::runtime_error("the model is closed");
      if (!info[0].IsObject()) throw Refusal("step: a batch is expected");
      pm_batch batch{};
      pm::BatchLengths lengths{};
      try {
        readBatch(info[0].As<Napi::Object>(), batch, lengths);
        if (info.Length() > 1 && !info[1].IsUndefined()) batch.logits = array<float>(info[1], "logits", &lengths.logits);
      } catch (const Refusal& refusal) {
        throw Refusal(std::string("batch: ") + refusal.what());
      }
      pm::checkBatch(limits, lengths, batch);
      char error[kErrorSize] = "";
      if (backend->step(model, &batch, error, sizeof error) != 0) throw std::runtime_error(error);
      return info.Env().Undefined();
    });
  }

  Napi::Value loadAdapter(const Napi::CallbackInfo& info) {
    return guarded(info, [&]() -> Napi::Value {
      if (!model) throw std::runtime_error("the model is closed");
      if (!info[0].IsNumber() || !info[1].IsObject()) throw Refusal("loadAdapter: a slot and an adapter are expected");
      AdapterPlan plan;
      try {
        readAdapterPlan(info[1].As<Napi::Object>(), plan);
      } catch (const Refusal& refusal) {
        throw Refusal(std::string("adapter: ") + refusal.what());
      }
      char error[kErrorSize] = "";
      if (backend->loadAdapter(model, info[0].As<Napi::Number>().Int32Value(), &plan.c, error, sizeof error) != 0)
        throw std::runtime_error(error);
      return info.Env().Undefined();
    });
  }

  Napi::Value unloadAdapter(const Napi::CallbackInfo& info) {
    if (model && info[0].IsNumber()) backend->unloadAdapter(model, info[0].As<Napi::Number>().Int32Value());
    return info.Env().Undefined();
  }

  Napi::Value memory(const Napi::CallbackInfo& info) {
    pm_memory_use use{};
    if (model) backend->memory(model, &use);
    auto out = Napi::Object::New(info.Env());
    out.Set("weights", (double)use.weights);
    out.Set("kvCache", (double)use.kv_cache);
    out.Set("scratch", (double)use.scratch);
    return out;
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    release();
    return info.Env().Undefined();
  }

  void release() {
    if (model) backend->close(model);
    model = nullptr;
  }

  const pm::Backend* backend = &pm::ownBackend();
  pm_model* model = nullptr;
  pm::BatchLimits limits{};
};

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
      if (!kernels) throw Refusal("selfTest: this processor has no instruction set named " + isa);
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
