#include "model.h"

#include <algorithm>

#include "kernels/feed.h"
#include "plan-check.h"

namespace pm::cuda {
namespace {

// Rows of logits at once, and the largest batch that graphs are made for.
constexpr int kLogitRows = 128, kGraphRows = 256;
// A batch of one shape runs this often before it is recorded: the first launches set kernels up.
constexpr int kUsesBeforeGraph = 2;
// From here on fp8 weights become bfloat16 before a product: that moves 5 bytes a weight instead of 1, which by count,
// not by measurement, a product of this many rows is worth.
constexpr int kExpandRows = 512;

int roundUp(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }
int graphRows(int rows) { return rows <= 2 ? rows : rows <= 4 ? 4 : roundUp(rows, rows <= 64 ? 8 : 32); }

bool isHopper() {
  cudaDeviceProp properties{};
  PM_CUDA(cudaGetDeviceProperties(&properties, 0));
  return properties.major == 9;
}

size_t product(size_t a, size_t b, size_t bytes) { return a * b * bytes; }

}  // namespace

Model::Model(const pm_plan& p)
    : hidden(checked(p).hidden_size), heads(p.heads), kvHeads(p.kv_heads), headDim(p.head_dim), padded(paddedHead(p.head_dim)),
      intermediate(p.intermediate_size), vocab(p.vocab_size), rotaryDim(p.rotary_dim), ropeTableCount(p.rope_tables),
      maxRows(std::max(p.max_tokens, kGraphRows)), maxSamples(std::max(p.max_samples, kGraphRows)),
      logitRows(std::min(maxSamples, kLogitRows)), tableColumns(p.max_sequence_blocks), eps(p.rms_norm_eps), embeddingScale(p.embedding_scale),
      attentionScale(p.attention_scale), attentionSoftcap(p.attention_softcap), logitSoftcap(p.logit_softcap),
      hasOutputNorms(p.output_norms != 0), gelu(p.activation == PM_GELU_TANH), experts(p.experts),
      expertsPerToken(p.experts_per_token), expertSize(p.expert_size), renormalizesExperts(p.renormalize_experts != 0),
      hasWarpgroups(kernelsOf(p) != "plain" && isHopper()),
      kvType(p.kv_cache_dtype == PM_BF16 ? KvType::Bf16 : KvType::E4m3) {
  loadWeights(p);
  allocate(p);
  std::string reason;
  if (kernelsOf(p) == "best") library = MatrixLibrary::find(reason);
}

void Model::loadWeights(const pm_plan& p) {
  WeightUpload upload(p, stream);
  const size_t n = (size_t)hidden, q = (size_t)heads * headDim, kv = (size_t)kvHeads * headDim, inner = (size_t)intermediate;
  if (!p.tie_word_embeddings) embedding = upload.linear({PM_EMBED_TOKENS}, {}, -1, {(size_t)vocab}, n);
  head = upload.linear({p.tie_word_embeddings ? PM_EMBED_TOKENS : PM_LM_HEAD}, {}, -1, {(size_t)vocab}, n);
  finalNorm = upload.norm(PM_FINAL_NORM, -1, n);
  ropeFrequencies = upload.floats(p.rope_inverse_frequencies, (size_t)p.rope_tables * (size_t)rotaryDim / 2);
  ropeFactors = upload.floats(p.rope_attention_factors, (size_t)p.rope_tables);
  layers.resize((size_t)p.layers);
  for (int i = 0; i < p.layers; i++) {
    Layer& layer = layers[(size_t)i];
    layer.qkv = upload.linear({PM_Q_PROJ, PM_K_PROJ, PM_V_PROJ}, {PM_Q_BIAS, PM_K_BIAS, PM_V_BIAS}, i, {q, kv, kv}, n);
    layer.output = upload.linear({PM_O_PROJ}, {PM_O_BIAS}, i, {n}, q);
    if (experts > 0 && p.moe_layers[i]) {
      const size_t size = (size_t)expertSize;
      layer.router = upload.router(i, experts, n);
      layer.gateUp = upload.experts({PM_GATE_PROJ, PM_UP_PROJ}, i, experts, {size, size}, n);
      layer.down = upload.experts({PM_DOWN_PROJ}, i, experts, {n}, size);
    } else {
      layer.gateUp = upload.linear({PM_GATE_PROJ, PM_UP_PROJ}, {PM_GATE_BIAS, PM_UP_BIAS}, i, {inner, inner}, n);
      layer.down = upload.linear({PM_DOWN_PROJ}, {PM_DOWN_BIAS}, i, {n}, inner);
    }
    layer.inputNorm = upload.norm(PM_INPUT_NORM, i, n);
    layer.mlpNorm = upload.norm(PM_MLP_NORM, i, n);
    if (hasOutputNorms) {
      layer.attentionOutputNorm = upload.norm(PM_ATTENTION_OUTPUT_NORM, i, n);
      layer.mlpOutputNorm = upload.norm(PM_MLP_OUTPUT_NORM, i, n);
    }
    if (p.qk_norm) {
      layer.qNorm = upload.norm(PM_Q_NORM, i, (size_t)headDim);
      layer.kNorm = upload.norm(PM_K_NORM, i, (size_t)headDim);
    }
    layer.window = std::max(0, p.sliding_windows[i]);
    layer.ropeTable = p.rope_of_layer[i];
    if (p.progress) p.progress(p.progress_context, (double)(i + 1) / p.layers);
  }
}

void Model::allocate(const pm_plan& p) {
  const size_t cache = (size_t)p.blocks * (size_t)kvHeads * tileBytes(padded, kvType);
  size_t space = gemmWorkspace(head.n, head.k), expansion = 0;
  for (Layer& layer : layers) {
    layer.keys = DeviceMemory(cache);
    layer.values = DeviceMemory(cache);
    for (const Linear* matrix : {&layer.qkv, &layer.output, &layer.gateUp, &layer.down, &layer.router})
      if (matrix->n > 0) space = std::max(space, gemmWorkspace(matrix->n, matrix->k));
    for (const Linear* matrix : {&layer.qkv, &layer.output, &layer.gateUp, &layer.down})
      if (matrix->isFp8() && layer.router.n == 0 && maxRows >= kExpandRows) expansion = std::max(expansion, (size_t)matrix->n * (size_t)matrix->k);
  }
  expanded = DeviceMemory(expansion * sizeof(Bf16));
  const size_t rows = (size_t)maxRows, samples = (size_t)maxSamples, q = (size_t)heads * headDim;
  x = DeviceMemory(product(rows, hidden, sizeof(float)));
  normed = DeviceMemory(product(std::max(rows, samples), hidden, sizeof(Bf16)));
  qkv = DeviceMemory(product(rows, (size_t)(heads + 2 * kvHeads) * headDim, sizeof(float)));
  this->q = DeviceMemory(product(rows, (size_t)heads * padded, sizeof(Bf16)));
  attended = DeviceMemory(product(rows, q, sizeof(Bf16)));
  if (hasOutputNorms) projected = DeviceMemory(product(std::max(rows, samples), hidden, sizeof(float)));
  const size_t most = std::max(rows, samples), pairs = most * (size_t)expertsPerToken;
  const size_t inner = std::max(most * (size_t)intermediate, experts > 0 ? pairs * (size_t)expertSize : 0);
  gateUp = DeviceMemory(2 * inner * sizeof(float));
  activated = DeviceMemory(inner * sizeof(Bf16));
  if (experts > 0) mixture = Mixture({experts, expertsPerToken, expertSize, hidden, renormalizesExperts, gelu}, most);
  pickedX = DeviceMemory(product(samples, hidden, sizeof(float)));
  pickedAttended = DeviceMemory(product(samples, q, sizeof(Bf16)));
  cosines = DeviceMemory(product((size_t)ropeTableCount * rows, (size_t)rotaryDim / 2, sizeof(float)));
  sines = DeviceMemory(cosines.bytes());
  logits = DeviceMemory(product((size_t)logitRows, vocab, sizeof(float)));
  raw = DeviceMemory(logits.bytes());
  marks = DeviceMemory(logits.bytes());
  workspace = DeviceMemory(space * sizeof(float));
  counters = DeviceMemory(kGemmCounters * sizeof(uint32_t));
  PM_CUDA(cudaMemsetAsync(marks.as<void>(), 0, marks.bytes(), stream));
  PM_CUDA(cudaMemsetAsync(counters.as<void>(), 0, counters.bytes(), stream));
  tables = DeviceMemory(product((size_t)p.max_sequences, (size_t)tableColumns, sizeof(int32_t)));
  PM_CUDA(cudaMemsetAsync(tables.as<void>(), 0, tables.bytes(), stream));
  outputs = StepOutputs(maxSamples);
  growPartials(1024);
}

void Model::growPartials(int count) {
  if (count <= partialCapacity) return;
  stream.wait();
  partialCapacity = std::max(count, 2 * partialCapacity);
  const size_t rows = (size_t)partialCapacity * (size_t)kvHeads * 16;
  partials = DeviceMemory(rows * (size_t)padded * sizeof(float));
  partialSums = DeviceMemory(rows * sizeof(float));
  generation++;
}

void Model::launch(const pm_batch& batch) {
  const int before = generation;
  planStep(batch, heads / kvHeads, usesWarpgroups() ? kWarpgroupRows : kPrefillRows, tableColumns, plan);
  growPartials(plan.partials);
  if (outputs.reserveTop(batch.top_stride, stream)) generation++;
  const StepSizes sizes = sizesOf(batch);
  if (inputs.send(batch, plan, sizes, (size_t)(vocab + 31) / 32, stream)) generation++;
  if (generation != before) graphs.clear();  // they hold pointers to what has moved
  feed(batch);
  StepReturn& back = returns[launched % returns.size()];
  float* logitsOut = batch.keeps_logits ? back.roomForLogits((size_t)batch.samples * (size_t)vocab) : nullptr;
  const auto all = [&] {
    PM_CUDA(cudaMemsetAsync(outputs.notNumbers, 0, sizeof(uint32_t), stream));
    compute(sizes);
    sampleRows(sizes, logitsOut);
  };
  if (!sizes.usesGraph) {
    if (batch.tokens > 0) all();
  } else {
    GraphSlot& slot = graphs[{sizes.rows, sizes.decodeItems, sizes.merges}];
    if (slot.uses++ < kUsesBeforeGraph) {
      all();
    } else {
      if (!slot.graph) slot.graph = std::make_unique<Graph>(stream, all);
      slot.graph->launch(stream);
    }
  }
  back.fetch(batch, outputs, normed.as<Bf16>() + (size_t)batch.samples * (size_t)hidden, (size_t)hidden, stream);
  launched++;
}

void Model::wait(const pm_results& results) { returns[waited++ % returns.size()].land(results, (size_t)vocab); }

// Not part of a graph: how much there is changes from step to step.
void Model::feed(const pm_batch& batch) {
  applyDeltas({inputs.deltas, batch.table_delta_count, tables.as<int32_t>(), tableColumns}, stream);
  const auto isChosen = [](int32_t id) { return id < 0; };
  if (std::any_of(batch.token_ids, batch.token_ids + batch.tokens, isChosen)) feedTokens({inputs.tokens, batch.tokens, outputs.ids}, stream);
  if (std::any_of(batch.history, batch.history + inputs.historyCount, isChosen))
    feedTokens({inputs.history, inputs.historyCount, outputs.ids}, stream);
}

StepSizes Model::sizesOf(const pm_batch& batch) const {
  StepSizes sizes{batch.tokens, batch.samples, batch.pooled, (int)plan.decode.size(), (int)plan.prefill.size(), (int)plan.merges.size(), false};
  sizes.usesGraph = plan.prefill.empty() && batch.samples == batch.tokens && batch.sequences == batch.tokens &&
                    batch.tokens <= kGraphRows && batch.pooled == 0 && !batch.keeps_logits && batch.tokens > 0;
  if (!sizes.usesGraph) return sizes;
  sizes.rows = sizes.samples = graphRows(batch.tokens);
  int items = sizes.rows;
  while (items < sizes.decodeItems) items *= 2;
  sizes.decodeItems = items;
  sizes.merges = plan.merges.empty() ? 0 : sizes.rows;
  return sizes;
}

void Model::compute(const StepSizes& sizes) {
  const int rows = sizes.rows, half = rotaryDim / 2;
  const Bf16* table = (embedding.n ? embedding : head).w.as<Bf16>();
  embed({table, inputs.tokens, x.as<float>(), rows, hidden, embeddingScale}, stream);
  ropeAngles({inputs.positions, ropeFrequencies.as<float>(), ropeFactors.as<float>(), cosines.as<float>(), sines.as<float>(), rows,
              maxRows, ropeTableCount, half}, stream);
  for (size_t i = 0; i < layers.size(); i++) {
    const Layer& layer = layers[i];
    const bool isLast = i + 1 == layers.size();
    normalize(x.as<float>(), i == 0 ? nullptr : &layers[i - 1].mlpOutputNorm, layer.inputNorm, rows, i > 0);
    multiply(layer.qkv, normed.as<Bf16>(), qkv.as<float>(), rows, false);
    const size_t angles = (size_t)layer.ropeTable * (size_t)maxRows * (size_t)half;
    rope({qkv.as<float>(), cosines.as<float>() + angles, sines.as<float>() + angles, inputs.slots, layer.qNorm.as<float>(),
          layer.kNorm.as<float>(), q.as<Bf16>(), layer.keys.as<void>(), layer.values.as<void>(), kvType, rows, heads, kvHeads, headDim,
          padded, half, eps}, stream);
    if (isLast && sizes.samples + sizes.pooled == 0) return;
    attend(layer, sizes);
    float* residual = x.as<float>();
    const Bf16* mixed = attended.as<Bf16>();
    int count = rows;
    if (isLast) {
      // Only the rows that are sampled or pooled go on.
      count = sizes.samples + sizes.pooled;
      gatherRows({x.as<float>(), inputs.pickedRows, pickedX.as<float>(), count, (size_t)hidden * sizeof(float)}, stream);
      gatherRows({mixed, inputs.pickedRows, pickedAttended.as<Bf16>(), count, (size_t)heads * headDim * sizeof(Bf16)}, stream);
      residual = pickedX.as<float>();
      mixed = pickedAttended.as<Bf16>();
    }
    // What attention and MLP add goes straight to the residual, unless it is normalized first.
    float* added = hasOutputNorms ? projected.as<float>() : residual;
    multiply(layer.output, mixed, added, count, !hasOutputNorms);
    normalize(residual, &layer.attentionOutputNorm, layer.mlpNorm, count, true);
    feedForward(layer, added, count);
  }
  normalize(pickedX.as<float>(), &layers.back().mlpOutputNorm, finalNorm, sizes.samples + sizes.pooled, true);
}

void Model::feedForward(const Layer& layer, float* out, int rows) {
  if (layer.router.n > 0) {
    multiply(layer.router, normed.as<Bf16>(), mixture.logits(), rows, false);
    mixture.run(layer.gateUp, layer.down, normed.as<Bf16>(), gateUp.as<float>(), activated.as<Bf16>(), out, rows, !hasOutputNorms, stream);
    return;
  }
  multiply(layer.gateUp, normed.as<Bf16>(), gateUp.as<float>(), rows, false);
  gate({gateUp.as<float>(), activated.as<Bf16>(), rows, intermediate, gelu}, stream);
  multiply(layer.down, activated.as<Bf16>(), out, rows, !hasOutputNorms);
}

void Model::normalize(float* residual, const DeviceMemory* outputNorm, const DeviceMemory& weight, int rows, bool hasAdded) {
  const bool adds = hasAdded && hasOutputNorms;
  rmsNorm({residual, adds ? projected.as<float>() : nullptr, adds ? outputNorm->as<float>() : nullptr, weight.as<float>(),
           normed.as<Bf16>(), rows, hidden, eps}, stream);
}

void Model::multiply(const Linear& matrix, const Bf16* in, float* out, int rows, bool accumulate) {
  GemmTask task{in, matrix.w.as<Bf16>(), matrix.bias.as<float>(), out, rows, matrix.n, matrix.k, accumulate, workspace.as<float>(),
                counters.as<uint32_t>()};
  if (matrix.isFp8()) {
    task.w8 = matrix.w.as<uint8_t>();
    task.scales = matrix.scales.as<float>();
    if (rows < kExpandRows) return gemm(task, stream);
    expandWeights({task.w8, task.scales, expanded.as<Bf16>(), matrix.n, matrix.k}, stream);
    task.w = expanded.as<Bf16>();
    task.w8 = nullptr;
  }
  if (rows > kSkinnyRows && library && library->multiply(task, stream)) return;
  if (rows > kSkinnyRows && hasWarpgroups) gemmWarpgroups(task, stream);
  else gemm(task, stream);
}

void Model::attend(const Layer& layer, const StepSizes& sizes) {
  AttentionTask task{q.as<Bf16>(), layer.keys.as<void>(), layer.values.as<void>(), kvType, tables.as<int32_t>(), inputs.decode,
                     sizes.decodeItems, attended.as<Bf16>(), partials.as<float>(), partialSums.as<float>(), heads, kvHeads, headDim,
                     padded, layer.window, attentionScale, attentionSoftcap};
  attendDecode(task, stream);
  mergePartials({inputs.merges, sizes.merges, partials.as<float>(), partialSums.as<float>(), attended.as<Bf16>(), heads, kvHeads,
                 headDim, padded}, stream);
  task.items = inputs.prefill;
  task.itemCount = sizes.prefillItems;
  if (usesWarpgroups()) attendPrefillWarpgroups(task, stream);
  else attendPrefill(task, stream);
}

void Model::sampleRows(const StepSizes& sizes, float* logitsOut) {
  const int stride = outputs.topStride;
  for (int first = 0; first < sizes.samples; first += logitRows) {
    const int count = std::min(logitRows, sizes.samples - first);
    multiply(head, normed.as<Bf16>() + (size_t)first * hidden, logits.as<float>(), count, false);
    const size_t at = (size_t)first;
    sample({logits.as<float>(), count, vocab, logitSoftcap, inputs.samplingFloats + at * PM_SAMPLING_FLOATS,
            inputs.samplingInts + at * PM_SAMPLING_INTS, inputs.lists, inputs.biasStarts + at, inputs.forced + at, inputs.maskOf + at,
            marks.as<int32_t>(), raw.as<float>(), logitsOut != nullptr, outputs.ids + at, outputs.ranks + at,
            outputs.logprobs + at, stride, outputs.topIds + at * (size_t)stride,
            outputs.topLogprobs + at * (size_t)stride, outputs.notNumbers}, stream);
    if (logitsOut)
      PM_CUDA(cudaMemcpyAsync(logitsOut + at * (size_t)vocab, raw.as<float>(), product((size_t)count, vocab, sizeof(float)),
                              cudaMemcpyDeviceToHost, stream));
  }
}

pm_memory_use Model::memory() const {
  pm_memory_use use{};
  use.weights = embedding.bytes() + head.bytes() + finalNorm.bytes() + ropeFrequencies.bytes() + ropeFactors.bytes();
  for (const Layer& layer : layers) {
    for (const Linear* matrix : {&layer.qkv, &layer.output, &layer.gateUp, &layer.down, &layer.router}) use.weights += matrix->bytes();
    for (const DeviceMemory* norm : {&layer.inputNorm, &layer.attentionOutputNorm, &layer.mlpNorm, &layer.mlpOutputNorm, &layer.qNorm, &layer.kNorm})
      use.weights += norm->bytes();
    use.kv_cache += layer.keys.bytes() + layer.values.bytes();
  }
  for (const DeviceMemory* memory : {&x, &normed, &qkv, &q, &attended, &projected, &gateUp, &activated, &pickedX, &pickedAttended,
                                     &cosines, &sines, &logits, &raw, &marks, &workspace, &expanded, &counters, &partials, &partialSums, &tables})
    use.scratch += memory->bytes();
  use.scratch += inputs.bytes() + outputs.bytes() + mixture.bytes() + (library ? library->bytes() : 0);
  return use;
}

}  // namespace pm::cuda
