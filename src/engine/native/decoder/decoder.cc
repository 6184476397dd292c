#include "decoder.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace pm {
namespace {

size_t roundUp(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// An odd number of cache lines: rows at a power-of-two distance would share one cache set.
size_t strideFor(size_t columns) { return (roundUp(columns, 16) / 16 | 1) * 16; }

const char* findProblem(const pm_plan& p) {
  if (p.hidden_size <= 0 || p.layers <= 0 || p.heads <= 0 || p.kv_heads <= 0 || p.intermediate_size <= 0 ||
      p.vocab_size <= 0)
    return "sizes must be positive";
  if (p.head_dim <= 0 || p.head_dim % 2 != 0 || p.head_dim > (int)kMaxHeadDim) return "headDim must be even and at most 512";
  if (p.heads % p.kv_heads != 0) return "heads must be a multiple of kvHeads";
  if (p.block_size != PM_BLOCK_SIZE) return "blockSize must be 16";
  if (p.blocks <= 0) return "blocks must be positive";
  if (p.max_sequences <= 0 || p.max_sequence_blocks <= 0) return "maxSequences and maxSequenceBlocks must be positive";
  if (p.threads < 1 || p.threads > 1024) return "threads must be between 1 and 1024";
  if (p.max_tokens <= 0 || p.max_samples <= 0) return "maxTokens and maxSamples must be positive";
  if (p.kv_cache_dtype != PM_F32 && p.kv_cache_dtype != PM_BF16 && p.kv_cache_dtype != PM_I8) return "kvCacheDtype must be F32, BF16 or I8";
  if (!(p.rms_norm_eps >= 0)) return "rmsNormEps must not be negative";
  if (p.rotary_dim <= 0 || p.rotary_dim % 2 != 0 || p.rotary_dim > p.head_dim) return "rotaryDim must be even and at most headDim";
  for (int i = 0; i < p.layers; i++) {
    if (p.rope_of_layer[i] < 0 || p.rope_of_layer[i] >= p.rope_tables) return "ropeOfLayer names a table that is not there";
    if (p.adapter_slots < 0 || p.adapter_slots > 65536 || (p.adapter_slots > 0 && (p.max_adapter_rank < 1 || p.max_adapter_rank > 4096)))
      return "adapterSlots must be at most 65536 and maxAdapterRank between 1 and 4096";
    if (p.moe_layers[i] && p.experts <= 0) return "experts.count must be positive";
  }
  if (p.experts > 0 && (p.experts_per_token <= 0 || p.experts_per_token > p.experts || p.expert_size <= 0))
    return "experts.perToken must be between 1 and experts.count, and experts.intermediateSize positive";
  return nullptr;
}

const pm_plan& checked(const pm_plan& plan) {
  if (const char* problem = findProblem(plan)) throw std::runtime_error(std::string("plan: ") + problem);
  return plan;
}

const Kernels* kernelsFor(const pm_plan& plan) {
  const Kernels* found = findKernels(plan.isa);
  if (!found) throw std::runtime_error(std::string("plan: this processor has no instruction set named ") + plan.isa);
  return found;
}

}  // namespace

Decoder::Decoder(const pm_plan& plan)
    : kernels(kernelsFor(checked(plan))),
      hidden((size_t)plan.hidden_size),
      heads((size_t)plan.heads),
      kvHeads((size_t)plan.kv_heads),
      headDim((size_t)plan.head_dim),
      paddedHeadDim(roundUp(headDim, 16)),
      intermediate((size_t)plan.intermediate_size),
      vocab((size_t)plan.vocab_size),
      paddedVocab(roundUp(vocab, 16)),
      maxRows((size_t)std::max(plan.max_tokens, plan.max_samples)),
      maxSamples((size_t)plan.max_samples),
      blocks((size_t)plan.blocks),
      eps(plan.rms_norm_eps),
      embeddingScale(plan.embedding_scale),
      queryScale(plan.attention_scale),
      attentionSoftcap(plan.attention_softcap),
      logitSoftcap(plan.logit_softcap),
      qkNorm(plan.qk_norm != 0),
      hasOutputNorms(plan.output_norms != 0),
      expertCount((size_t)plan.experts),
      expertsPerToken((size_t)plan.experts_per_token),
      expertSize((size_t)plan.expert_size),
      renormalizesExperts(plan.renormalize_experts != 0),
      kvDtype((Dtype)plan.kv_cache_dtype),
      activate(plan.activation == PM_GELU_TANH ? kernels->geglu : kernels->swiglu),
      rotaryDim((size_t)plan.rotary_dim),
      inverseFrequencies(plan.rope_inverse_frequencies,
                         plan.rope_inverse_frequencies + (size_t)plan.rope_tables * rotaryDim / 2),
      pool(plan.threads),
      tables(plan.max_sequences, plan.max_sequence_blocks),
      adapterShape{(size_t)plan.layers, hidden, heads * headDim, kvHeads * headDim, intermediate, (size_t)plan.max_adapter_rank},
      adapters((size_t)plan.adapter_slots) {
  for (int i = 0; i < plan.rope_tables; i++)
    ropeTables.push_back({inverseFrequencies.data() + (size_t)i * rotaryDim / 2, plan.rope_attention_factors[i], {}, {}});
  loadWeights(plan);
  allocate(plan);
}

void Decoder::loadWeights(const pm_plan& plan) {
  const WeightSource source(plan);
  const size_t q = heads * headDim, kv = kvHeads * headDim;
  if (!plan.tie_word_embeddings) embedding = source.pack(pool, {PM_EMBED_TOKENS}, {}, -1, {vocab}, hidden);
  head = source.pack(pool, {plan.tie_word_embeddings ? PM_EMBED_TOKENS : PM_LM_HEAD}, {}, -1, {vocab}, hidden);
  finalNorm = source.norm(PM_FINAL_NORM, -1, hidden);
  layers.resize((size_t)plan.layers);
  for (int i = 0; i < plan.layers; i++) {
    Layer& layer = layers[(size_t)i];
    layer.qkv = source.pack(pool, {PM_Q_PROJ, PM_K_PROJ, PM_V_PROJ}, {PM_Q_BIAS, PM_K_BIAS, PM_V_BIAS}, i, {q, kv, kv}, hidden);
    layer.output = source.pack(pool, {PM_O_PROJ}, {PM_O_BIAS}, i, {hidden}, q);
    const auto mlp = [&](int expert, size_t size) {
      return Mlp{source.pack(pool, {PM_GATE_PROJ, PM_UP_PROJ}, {PM_GATE_BIAS, PM_UP_BIAS}, i, {size, size}, hidden, true, expert),
                 source.pack(pool, {PM_DOWN_PROJ}, {PM_DOWN_BIAS}, i, {hidden}, size, false, expert)};
    };
    if (plan.moe_layers[i]) {
      layer.router = source.pack(pool, {PM_ROUTER}, {}, i, {expertCount}, hidden);
      for (size_t expert = 0; expert < expertCount; expert++) {
        layer.experts.push_back(mlp((int)expert, expertSize));
        // Rows are packed once for all experts.
        const Mlp &first = layer.experts[0], &own = layer.experts[expert];
        if (own.gateUp.dtype != first.gateUp.dtype || own.down.dtype != first.down.dtype)
          throw std::runtime_error("experts 0 and " + std::to_string(expert) + " of layer " + std::to_string(i) +
                                   " are stored in different types: choose one with --dtype");
      }
    } else {
      layer.mlp = mlp(-1, intermediate);
    }
    layer.inputNorm = source.norm(PM_INPUT_NORM, i, hidden);
    layer.mlpNorm = source.norm(PM_MLP_NORM, i, hidden);
    if (hasOutputNorms) {
      layer.attentionOutputNorm = source.norm(PM_ATTENTION_OUTPUT_NORM, i, hidden);
      layer.mlpOutputNorm = source.norm(PM_MLP_OUTPUT_NORM, i, hidden);
    }
    if (qkNorm) {
      layer.qNorm = source.norm(PM_Q_NORM, i, headDim);
      layer.kNorm = source.norm(PM_K_NORM, i, headDim);
    }
    if (plan.progress) plan.progress(plan.progress_context, (double)(i + 1) / plan.layers);
    layer.ropeTable = (size_t)plan.rope_of_layer[i];
    layer.window = plan.sliding_windows[i] > 0 ? (size_t)plan.sliding_windows[i] : 0;
  }
}

void Decoder::allocate(const pm_plan& plan) {
  for (Layer& layer : layers) {
    layer.keys = Arena(blocks * kvHeads * kvTileBytes(kvDtype, headDim));
    layer.values = Arena(blocks * kvHeads * kvTileBytes(kvDtype, paddedHeadDim));
  }
  const auto rows = [](size_t count, size_t columns) {
    Rows buffer;
    buffer.stride = strideFor(columns);
    buffer.data = Arena(count * buffer.stride * sizeof(float));
    return buffer;
  };
  x = rows(maxRows, hidden);
  picked = rows(maxSamples, hidden);
  normed = rows(maxRows, hidden);
  qkv = rows(maxRows, (heads + 2 * kvHeads) * headDim);
  attended = rows(maxRows, heads * headDim);
  projected = rows(maxRows, hidden);
  activated = rows(maxRows, intermediate);
  logits = rows(std::min(maxSamples, kLogitRows), paddedVocab);
  if (expertCount > 0) {
    const size_t places = maxRows * expertsPerToken;
    routed = rows(maxRows, expertCount);
    expertIn = rows(places, hidden);
    expertActivated = rows(places, expertSize);
    expertOut = rows(places, hidden);
    expertIds.resize(places);
    expertPlaces.resize(places);
    placeRows.resize(places);
    expertWeights.resize(places);
    expertStarts.resize(expertCount + 1);
  }

  const size_t widest = std::max({hidden, heads * headDim, intermediate});
  const auto packedBytes = [](size_t count, size_t k) {
    return count * std::max(packedStride(Dtype::BF16, k), packedStride(Dtype::I8, k));
  };
  packed = Arena(std::max(packedBytes(maxRows, widest),
                          packedBytes(maxRows * expertsPerToken, std::max(hidden, expertSize))));

  if (!adapters.empty()) lowered = rows(maxRows, 3 * adapterShape.maxRank);
  const size_t group = heads / kvHeads;
  const size_t attentionFloats = attentionScratch(std::max(kernels->attentionRows, group), paddedHeadDim);
  const size_t gateUpFloats = kernels->rowBlock * (kPanelGroup | 1) * 16;
  for (int i = 0; i < plan.threads; i++)
    workerScratch.emplace_back(std::max(attentionFloats, (adapters.empty() ? 1 : 2) * gateUpFloats) * sizeof(float));
  samplers.resize((size_t)plan.threads);
  for (auto& sampler : samplers) sampler.reserve(paddedVocab);
}

void Decoder::growRopeTables(size_t positions) {
  if (positions <= ropePositions) return;
  positions = std::min(roundUp(std::max(positions, 2 * ropePositions), 1024), std::max(positions, blocks * 16));
  const size_t width = paddedHalf(rotaryDim), half = rotaryDim / 2;
  for (RopeTable& table : ropeTables) {
    table.cosines.resize(positions * width);
    table.sines.resize(positions * width);
    for (size_t position = ropePositions; position < positions; position++)
      for (size_t i = 0; i < half; i++) {
        const double angle = (double)position * (double)table.inverseFrequencies[i];
        table.cosines[position * width + i] = (float)(std::cos(angle) * (double)table.attentionFactor);
        table.sines[position * width + i] = (float)(std::sin(angle) * (double)table.attentionFactor);
      }
  }
  ropePositions = positions;
}

void Decoder::loadAdapter(int slot, const pm_adapter& source) {
  if (slot < 0 || (size_t)slot >= adapters.size())
    throw std::runtime_error("adapter slot " + std::to_string(slot) + " is not one of " + std::to_string(adapters.size()));
  adapters[(size_t)slot] = std::make_unique<Adapter>(readAdapter(source, adapterShape));
}

void Decoder::unloadAdapter(int slot) {
  if (slot >= 0 && (size_t)slot < adapters.size()) adapters[(size_t)slot].reset();
}

pm_memory_use Decoder::memory() const {
  const auto matrix = [](const Matrix& m) { return m.data.bytes() + m.bias.bytes(); };
  pm_memory_use use{};
  use.weights = matrix(embedding) + matrix(head) + finalNorm.bytes();
  const auto mlp = [&](const Mlp& m) { return matrix(m.gateUp) + matrix(m.down); };
  for (const Layer& layer : layers) {
    use.weights += matrix(layer.qkv) + matrix(layer.output) + mlp(layer.mlp) + matrix(layer.router);
    for (const Mlp& expert : layer.experts) use.weights += mlp(expert);
    for (const Arena* norm : {&layer.inputNorm, &layer.attentionOutputNorm, &layer.mlpNorm, &layer.mlpOutputNorm,
                              &layer.qNorm, &layer.kNorm})
      use.weights += norm->bytes();
    use.kv_cache += layer.keys.bytes() + layer.values.bytes();
  }
  for (const auto& adapter : adapters)
    if (adapter) use.weights += adapter->bytes();
  for (const Rows* rows : {&x, &picked, &normed, &qkv, &attended, &projected, &activated, &logits, &routed, &lowered,
                           &expertIn, &expertActivated, &expertOut})
    use.scratch += rows->data.bytes();
  use.scratch += packed.bytes();
  for (const Arena& arena : workerScratch) use.scratch += arena.bytes();
  for (const RopeTable& table : ropeTables) use.scratch += (table.cosines.size() + table.sines.size()) * sizeof(float);
  use.scratch += samplers.size() * paddedVocab * 5 * sizeof(float);
  return use;
}

}  // namespace pm
