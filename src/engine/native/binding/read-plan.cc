#include "read-plan.h"

#include "../role-names.h"
#include "values.h"

namespace pm::binding {
namespace {

constexpr const char* kDtypes[] = {"F32", "BF16", "F16", "auto", "I8", "F8_E4M3"};
constexpr const char* kStoredDtypes[PM_STORED_DTYPES] = {"F32",  "BF16", "F16",  "Q4_0", "Q4_1", "Q5_0",
                                                         "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"};
// Of all block tables together: a gibibyte.
constexpr int64_t kMostTableEntries = 1 << 28;
constexpr const char* kActivations[] = {"silu", "gelu_tanh"};

pm_tensor readTensor(const Napi::Object& from) {
  pm_tensor tensor{};
  tensor.role = (pm_role)indexOf(text(from, "role"), "tensors[].role", pm::kRoleNames);
  tensor.layer = integer(from, "layer");
  tensor.expert = has(from, "expert") ? integer(from, "expert") : -1;
  tensor.file = integer(from, "file");
  tensor.offset = byteOffset(from, "offset");
  tensor.dtype = (pm_stored_dtype)indexOf(text(from, "dtype"), "tensors[].dtype", kStoredDtypes);
  tensor.interleaved = has(from, "isInterleaved") && boolean(from, "isInterleaved");
  const auto shape = property(from, "shape").As<Napi::Array>();
  tensor.rank = (int32_t)shape.Length();
  if (tensor.rank < 1 || tensor.rank > 2) throw Refusal("tensors[].shape must have one or two dimensions");
  for (uint32_t i = 0; i < shape.Length(); i++) tensor.shape[i] = shape.Get(i).ToNumber().Int64Value();
  return tensor;
}

template <class T>
void readFiles(const Napi::Object& from, T& plan) {
  const auto files = property(from, "files").As<Napi::Array>();
  for (uint32_t i = 0; i < files.Length(); i++) plan.files.push_back(files.Get(i).ToString().Utf8Value());
  for (const auto& file : plan.files) plan.filePointers.push_back(file.c_str());
}

void readShape(const Napi::Object& from, pm_plan& c) {
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
}

void readLimits(const Napi::Object& from, pm_plan& c) {
  c.weight_dtype = (pm_dtype)indexOf(text(from, "weightDtype"), "weightDtype", kDtypes);
  c.kv_cache_dtype = (pm_dtype)indexOf(text(from, "kvCacheDtype"), "kvCacheDtype", kDtypes);
  c.block_size = integer(from, "blockSize");
  c.blocks = integer(from, "blocks");
  c.threads = integer(from, "threads");
  c.max_tokens = integer(from, "maxTokens");
  c.max_samples = integer(from, "maxSamples");
  c.max_sequences = integer(from, "maxSequences");
  c.max_sequence_blocks = integer(from, "maxSequenceBlocks");
  if (c.max_sequences < 1 || c.max_sequence_blocks < 1 || (int64_t)c.max_sequences * c.max_sequence_blocks > kMostTableEntries)
    throw Refusal("maxSequences and maxSequenceBlocks are " + std::to_string(c.max_sequences) + " and " +
                  std::to_string(c.max_sequence_blocks) + ", expected 1 or more each and a product of at most " +
                  std::to_string(kMostTableEntries));
  c.adapter_slots = has(from, "adapterSlots") ? integer(from, "adapterSlots") : 0;
  c.max_adapter_rank = has(from, "maxAdapterRank") ? integer(from, "maxAdapterRank") : 0;
}

void readLayers(const Napi::Object& from, Plan& plan) {
  pm_plan& c = plan.c;
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
}

void readWeights(const Napi::Object& from, Plan& plan) {
  pm_plan& c = plan.c;
  readFiles(from, plan);
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
}

}  // namespace

void readPlan(const Napi::Object& from, Plan& plan) {
  readShape(from, plan.c);
  readLimits(from, plan.c);
  readLayers(from, plan);
  readWeights(from, plan);
  if (has(from, "isa")) plan.isa = text(from, "isa");
  plan.c.isa = plan.isa.c_str();
}

void readAdapterPlan(const Napi::Object& from, AdapterPlan& plan) {
  readFiles(from, plan);
  const auto pairs = property(from, "pairs").As<Napi::Array>();
  for (uint32_t i = 0; i < pairs.Length(); i++) {
    const auto pair = pairs.Get(i).As<Napi::Object>();
    plan.pairs.push_back({(pm_role)indexOf(text(pair, "role"), "pairs[].role", pm::kRoleNames), integer(pair, "layer"),
                          integer(pair, "rank"), integer(pair, "file"), byteOffset(pair, "aOffset"), byteOffset(pair, "bOffset"),
                          (pm_stored_dtype)indexOf(text(pair, "dtype"), "pairs[].dtype", kStoredDtypes), (float)number(pair, "scale")});
  }
  plan.c = {plan.filePointers.data(), (int32_t)plan.files.size(), plan.pairs.data(), (int32_t)plan.pairs.size()};
}

}  // namespace pm::binding
