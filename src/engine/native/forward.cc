// One step: embedding, then per layer norm, qkv, rope and cache write, attention, output projection, norm,
// gated MLP or a mixture of them, and at the end norm, head and sampling for the rows that ask for it. The last layer computes
// attention and MLP only for those rows and for those whose state is wanted. Every stage is one loop of the thread pool.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "decoder.h"

namespace pm {
namespace {

constexpr size_t kRowUnit = 32;              // rows of a block are a multiple: two tiles of AMX
constexpr size_t kLightRows = 8;            // rows per chunk of elementwise stages
constexpr size_t kAdapterRows = 24;          // rows per chunk of x A^T
constexpr size_t kLightElements = 16 << 10;  // elements per chunk of conversions

// Rows whose last layer is computed: first those that are sampled, then those that are pooled.
int32_t pickedRow(const pm_batch& batch, size_t r) {
  const size_t samples = (size_t)batch.samples;
  return r < samples ? batch.sample_rows[r] : batch.pooled_rows[r - samples];
}

size_t ceilDiv(size_t a, size_t b) { return (a + b - 1) / b; }

// Cuts [rows] x [panels] into rectangles: row blocks of equal height, groups of panels, fewer when threads
// would idle.
struct Cut {
  size_t rows, panels, rowStep, panelStep, groups;

  Cut(size_t rows, size_t panels, int threads, size_t unit) : rows(rows), panels(panels) {
    const size_t blocks = ceilDiv(rows, kRowBlock);
    rowStep = std::min(kRowBlock, ceilDiv(ceilDiv(rows, blocks), kRowUnit) * kRowUnit);
    panelStep = kPanelGroup;
    while (panelStep > unit && blocks * ceilDiv(panels, panelStep) < (size_t)threads * 3) panelStep /= 2;
    groups = ceilDiv(panels, panelStep);
  }
  int chunks() const { return (int)(ceilDiv(rows, rowStep) * groups); }
  size_t row(int chunk) const { return (size_t)chunk / groups * rowStep; }
  size_t height(int chunk) const { return std::min(rowStep, rows - row(chunk)); }
  size_t panel(int chunk) const { return (size_t)chunk % groups * panelStep; }
  size_t width(int chunk) const { return std::min(panelStep, panels - panel(chunk)); }
};

}  // namespace

void Decoder::step(const pm_batch& batch, const pm_results& results) {
  for (int32_t i = 0; i < batch.table_delta_count; i++) tables.apply(batch.table_deltas[i]);
  const size_t tokens = (size_t)batch.tokens, picks = (size_t)batch.samples + (size_t)batch.pooled;
  if (tokens == 0) return;
  growRopeTables((size_t)*std::max_element(batch.positions, batch.positions + tokens) + 1);
  planAttention(batch);
  planAdapters(batch);
  embed(batch);
  for (size_t i = 0; i < layers.size(); i++) {
    const Layer& layer = layers[i];
    const bool last = i + 1 == layers.size();
    normalize(x, i == 0 ? nullptr : &projected, i == 0 ? nullptr : &layers[i - 1].mlpOutputNorm, layer.inputNorm, tokens);
    project(layer.qkv, normed, qkv, tokens, {i, &LayerAdapter::qkv, adapterRuns});
    rotateAndCache(layer, batch);
    if (last && picks == 0) return;
    attend(layer, last ? sampledTiles : tiles);
    if (last)
      for (size_t r = 0; r < picks; r++)
        memcpy(picked.at(r), x.at((size_t)pickedRow(batch, r)), picked.stride * sizeof(float));
    const size_t rows = last ? picks : tokens;
    const std::vector<AdapterRun>& runs = last ? sampledRuns : adapterRuns;
    project(layer.output, attended, projected, rows, {i, &LayerAdapter::output, runs});
    normalize(last ? picked : x, &projected, &layer.attentionOutputNorm, layer.mlpNorm, rows);
    if (layer.experts.empty()) feedForward(layer, i, rows, runs);
    else mixExperts(layer, rows);
  }
  normalize(picked, &projected, &layers.back().mlpOutputNorm, finalNorm, picks);
  for (size_t r = 0; r < (size_t)batch.pooled; r++)
    memcpy(results.pooled_states + r * hidden, normed.at((size_t)batch.samples + r), hidden * sizeof(float));
  sampleRows(batch, results);
}

void Decoder::planAttention(const pm_batch& batch) {
  const size_t most = std::max<size_t>(1, kernels->attentionRows / (heads / kvHeads));
  tiles.clear();
  sampledTiles.clear();
  const auto tableOf = [&](size_t sequence) { return tables.row(batch.table_rows[sequence]); };
  for (size_t s = 0; s < (size_t)batch.sequences; s++) {
    const size_t end = (size_t)batch.query_starts[s + 1];
    for (size_t row = (size_t)batch.query_starts[s]; row < end; row += most)
      tiles.push_back({row, row, std::min(most, end - row), (size_t)batch.positions[row], tableOf(s)});
  }
  // Long contexts first, so that the last chunks of the loop are short ones.
  std::stable_sort(tiles.begin(), tiles.end(), [](const auto& a, const auto& b) { return a.position > b.position; });
  for (size_t r = 0; r < (size_t)batch.samples + (size_t)batch.pooled; r++) {
    const int32_t row = pickedRow(batch, r);
    const int32_t* starts = batch.query_starts;
    const size_t s = (size_t)(std::upper_bound(starts, starts + batch.sequences + 1, row) - starts) - 1;
    sampledTiles.push_back({(size_t)row, r, 1, (size_t)batch.positions[row], tableOf(s)});
  }
}

void Decoder::planAdapters(const pm_batch& batch) {
  adapterRuns.clear();
  sampledRuns.clear();
  if (!batch.adapters || adapters.empty()) return;
  const auto extend = [](std::vector<AdapterRun>& runs, size_t row, size_t rows, const Adapter* adapter) {
    if (!adapter) return;
    if (!runs.empty() && runs.back().adapter == adapter && runs.back().row + runs.back().rows == row) runs.back().rows += rows;
    else runs.push_back({row, rows, adapter});
  };
  const auto adapterOf = [&](size_t sequence) -> const Adapter* {
    const int32_t slot = batch.adapters[sequence];
    return slot < 0 ? nullptr : adapters[(size_t)slot].get();
  };
  const int32_t* starts = batch.query_starts;
  for (size_t s = 0; s < (size_t)batch.sequences; s++)
    extend(adapterRuns, (size_t)starts[s], (size_t)(starts[s + 1] - starts[s]), adapterOf(s));
  for (size_t r = 0; r < (size_t)batch.samples + (size_t)batch.pooled; r++) {
    const size_t s = (size_t)(std::upper_bound(starts, starts + batch.sequences + 1, pickedRow(batch, r)) - starts) - 1;
    extend(sampledRuns, r, 1, adapterOf(s));
  }
}

void Decoder::lower(const Adaptation& adaptation, const Rows& in) {
  struct Piece { size_t row, rows; const LowRank* part; };
  std::vector<Piece> pieces;
  for (const AdapterRun& run : adaptation.runs) {
    const LowRank& part = run.adapter->layers[adaptation.layer].*adaptation.product;
    if (part.up.rows == 0) continue;
    for (size_t at = 0; at < run.rows; at += kAdapterRows)
      pieces.push_back({run.row + at, std::min(kAdapterRows, run.rows - at), &part});
  }
  pool.run((int)pieces.size(), [&](int chunk, int) {
    const Piece& piece = pieces[(size_t)chunk];
    const Matrix& down = piece.part->down;
    const Operand x{reinterpret_cast<const char*>(in.at(piece.row)), in.stride * sizeof(float)};
    multiply(down, {x, piece.rows, 0, down.panels(), lowered.at(piece.row), lowered.stride});
  });
}

void Decoder::adapt(const Adaptation& adaptation, size_t row, const Rectangle& part, int worker) {
  constexpr size_t stride = (kPanelGroup | 1) * 16;
  float* scratch = workerScratch[(size_t)worker].as<float>() + kRowBlock * stride;
  for (const AdapterRun& run : adaptation.runs) {
    const size_t first = std::max(row, run.row), end = std::min(row + part.rows, run.row + run.rows);
    const Matrix& up = (run.adapter->layers[adaptation.layer].*adaptation.product).up;
    if (first >= end || up.rows == 0) continue;
    const Operand x{reinterpret_cast<const char*>(lowered.at(first)), lowered.stride * sizeof(float)};
    multiply(up, {x, end - first, part.panel, part.panels, scratch, stride});
    for (size_t r = 0; r < end - first; r++) {
      float* out = part.out + (first - row + r) * part.outStride;
      for (size_t i = 0; i < part.panels * 16; i++) out[i] += scratch[r * stride + i];
    }
  }
}

void Decoder::embed(const pm_batch& batch) {
  const Matrix& table = embedding.rows ? embedding : head;
  const size_t tokens = (size_t)batch.tokens;
  pool.run((int)ceilDiv(tokens, kLightRows), [&](int chunk, int) {
    const size_t first = (size_t)chunk * kLightRows;
    for (size_t row = first; row < std::min(tokens, first + kLightRows); row++) {
      table.read((size_t)batch.token_ids[row], x.at(row));
      if (embeddingScale != 1.0f)
        for (size_t i = 0; i < hidden; i++) x.at(row)[i] *= embeddingScale;
    }
  });
}

// x += delta, or the norm of delta where the layer has one for its output; normed = the norm of x.
void Decoder::normalize(const Rows& in, const Rows* delta, const Arena* deltaNorm, const Arena& weight, size_t rows) {
  pool.run((int)ceilDiv(rows, kLightRows), [&](int chunk, int) {
    const size_t first = (size_t)chunk * kLightRows;
    RmsNormTask task{};
    task.rows = std::min(kLightRows, rows - first);
    task.n = hidden;
    task.eps = eps;
    if (delta && hasOutputNorms) {
      task.x = task.out = delta->at(first);
      task.xStride = task.outStride = delta->stride;
      task.weight = deltaNorm->as<float>();
      kernels->rmsNorm(task);
    }
    task.x = in.at(first);
    task.xStride = in.stride;
    task.delta = delta ? delta->at(first) : nullptr;
    task.deltaStride = delta ? delta->stride : 0;
    task.weight = weight.as<float>();
    task.out = normed.at(first);
    task.outStride = normed.stride;
    kernels->rmsNorm(task);
  });
}

Decoder::Operand Decoder::operandFor(const Matrix& matrix, const Rows& in, size_t first, size_t rows) {
  const Dtype form = kernels->inputOf(matrix.dtype);
  if (form == Dtype::F32) return {reinterpret_cast<const char*>(in.at(first)), in.stride * sizeof(float)};
  const size_t stride = packedStride(form, matrix.columns);
  // A few rows take less time than waking another thread.
  const size_t each = std::max(kLightRows, kLightElements / matrix.columns);
  pool.run((int)ceilDiv(rows, each), [&](int chunk, int) {
    const size_t row = (size_t)chunk * each;
    PackTask task{};
    task.x = in.at(first + row);
    task.xStride = in.stride;
    task.out = packed.as<char>() + row * stride;
    task.outStride = stride;
    task.rows = std::min(each, rows - row);
    task.k = matrix.columns;
    task.form = form;
    kernels->packActivations(task);
  });
  return {packed.as<char>(), stride};
}

void Decoder::multiply(const Matrix& matrix, const Rectangle& part) {
  GemmTask task{};
  task.x = part.in.data;
  task.xStride = part.in.stride;
  task.weights = matrix.panel(part.panel);
  task.dtype = matrix.dtype;
  task.k = matrix.columns;
  task.bias = matrix.panelBias(part.panel);
  task.y = part.out;
  task.yStride = part.outStride;
  task.rows = part.rows;
  task.panels = part.panels;
  kernels->gemm(task);
}

void Decoder::linear(const Matrix& matrix, const Operand& in, const Rows& out, size_t rows, const Adaptation* adaptation) {
  const Cut cut(rows, matrix.panels(), pool.threads(), 1);
  pool.run(cut.chunks(), [&](int chunk, int worker) {
    const size_t row = cut.row(chunk), panel = cut.panel(chunk);
    const Rectangle part{in.from(row), cut.height(chunk), panel, cut.width(chunk), out.at(row) + panel * 16, out.stride};
    multiply(matrix, part);
    if (adaptation) adapt(*adaptation, row, part, worker);
  });
}

void Decoder::project(const Matrix& matrix, const Rows& in, const Rows& out, size_t rows, const Adaptation& adaptation) {
  const bool adapts = !adaptation.runs.empty();
  if (adapts) lower(adaptation, in);
  linear(matrix, operandFor(matrix, in, 0, rows), out, rows, adapts ? &adaptation : nullptr);
}

KvPages Decoder::pagesOf(const Layer& layer) const {
  return {layer.keys.as<char>(), layer.values.as<char>(), kvDtype, kvHeads, headDim, paddedHeadDim};
}

void Decoder::rotateAndCache(const Layer& layer, const pm_batch& batch) {
  const size_t tokens = (size_t)batch.tokens;
  pool.run((int)ceilDiv(tokens, kLightRows), [&](int chunk, int) {
    const size_t first = (size_t)chunk * kLightRows;
    RopeTask task{};
    task.qkv = qkv.at(first);
    task.qkvStride = qkv.stride;
    task.positions = batch.positions + first;
    task.slots = batch.slot_mapping + first;
    task.rows = std::min(kLightRows, tokens - first);
    task.heads = heads;
    task.rotaryDim = rotaryDim;
    task.cosines = ropeTables[layer.ropeTable].cosines.data();
    task.sines = ropeTables[layer.ropeTable].sines.data();
    task.qNorm = qkNorm ? layer.qNorm.as<float>() : nullptr;
    task.kNorm = qkNorm ? layer.kNorm.as<float>() : nullptr;
    task.eps = eps;
    task.queryScale = queryScale;
    task.pages = pagesOf(layer);
    kernels->rope(task);
  });
}

void Decoder::attend(const Layer& layer, const std::vector<QueryTile>& which) {
  const size_t group = heads / kvHeads;
  pool.run((int)(which.size() * kvHeads), [&](int chunk, int worker) {
    const QueryTile& tile = which[(size_t)chunk / kvHeads];
    const size_t kvHead = (size_t)chunk % kvHeads;
    AttentionTask task{};
    task.q = qkv.at(tile.row) + kvHead * group * headDim;
    task.qStride = qkv.stride;
    task.out = attended.at(tile.outRow) + kvHead * group * headDim;
    task.outStride = attended.stride;
    task.queries = tile.queries;
    task.firstPosition = tile.position;
    task.blockTable = tile.blockTable;
    task.pages = pagesOf(layer);
    task.kvHead = kvHead;
    task.group = group;
    task.window = layer.window;
    task.softcap = attentionSoftcap;
    task.scratch = workerScratch[(size_t)worker].as<float>();
    kernels->attention(task);
  });
}

// activation(gate) * up for a rectangle of the fused product, of which `out` is half as wide. The products
// stay in the worker's scratch; only the activation is written out.
void Decoder::gate(const Matrix& gateUp, const Rectangle& part, int worker, const Adaptation* adaptation, size_t row) {
  constexpr size_t stride = (kPanelGroup | 1) * 16;
  float* scratch = workerScratch[(size_t)worker].as<float>();
  const Rectangle product{part.in, part.rows, part.panel, part.panels, scratch, stride};
  multiply(gateUp, product);
  if (adaptation) adapt(*adaptation, row, product, worker);
  SwigluTask activation{};
  activation.gateUp = scratch;
  activation.out = part.out;
  activation.rows = part.rows;
  activation.panels = part.panels / 2;
  activation.gateUpStride = stride;
  activation.outStride = part.outStride;
  activate(activation);
}

void Decoder::feedForward(const Layer& layer, size_t index, size_t rows, const std::vector<AdapterRun>& runs) {
  const Matrix& gateUp = layer.mlp.gateUp;
  const Adaptation adaptation{index, &LayerAdapter::gateUp, runs};
  if (!runs.empty()) lower(adaptation, normed);
  const Operand in = operandFor(gateUp, normed, 0, rows);
  const Cut cut(rows, gateUp.panels(), pool.threads(), 2);
  pool.run(cut.chunks(), [&](int chunk, int worker) {
    const size_t row = cut.row(chunk), panel = cut.panel(chunk);
    gate(gateUp, {in.from(row), cut.height(chunk), panel, cut.width(chunk),
                  activated.at(row) + panel / 2 * 16, activated.stride}, worker, runs.empty() ? nullptr : &adaptation, row);
  });
  project(layer.mlp.down, activated, projected, rows, {index, &LayerAdapter::down, runs});
}

// Rows are sorted by expert, each copied once per expert that it goes to, so that an expert's weights are read
// once for all of its rows; a row's own arithmetic is the same as if it were alone.
void Decoder::mixExperts(const Layer& layer, size_t rows) {
  linear(layer.router, operandFor(layer.router, normed, 0, rows), routed, rows);
  const size_t perToken = expertsPerToken, lightChunks = ceilDiv(rows, kLightRows);
  const auto rowsOf = [&](int chunk) { return std::min(kLightRows, rows - (size_t)chunk * kLightRows); };
  pool.run((int)lightChunks, [&](int chunk, int) {
    const size_t first = (size_t)chunk * kLightRows;
    kernels->route({routed.at(first), routed.stride, expertIds.data() + first * perToken,
                    expertWeights.data() + first * perToken, rowsOf(chunk), expertCount, perToken, renormalizesExperts});
  });
  planExperts(layer, rows * perToken);
  pool.run((int)ceilDiv(rows * perToken, kLightRows), [&](int chunk, int) {
    const size_t first = (size_t)chunk * kLightRows;
    for (size_t place = first; place < std::min(rows * perToken, first + kLightRows); place++)
      memcpy(expertIn.at(place), normed.at((size_t)placeRows[place]), expertIn.stride * sizeof(float));
  });
  const Operand gateIn = operandFor(layer.experts[0].gateUp, expertIn, 0, rows * perToken);
  pool.run((int)gateParts.size(), [&](int chunk, int worker) {
    const ExpertPart& part = gateParts[(size_t)chunk];
    gate(layer.experts[part.expert].gateUp, {gateIn.from(part.place), part.rows, part.panel, part.panels,
                                             expertActivated.at(part.place) + part.panel / 2 * 16, expertActivated.stride}, worker);
  });
  const Operand downIn = operandFor(layer.experts[0].down, expertActivated, 0, rows * perToken);
  pool.run((int)downParts.size(), [&](int chunk, int) {
    const ExpertPart& part = downParts[(size_t)chunk];
    multiply(layer.experts[part.expert].down, {downIn.from(part.place), part.rows, part.panel,
                                               part.panels, expertOut.at(part.place) + part.panel * 16, expertOut.stride});
  });
  pool.run((int)lightChunks, [&](int chunk, int) {
    const size_t first = (size_t)chunk * kLightRows;
    kernels->combine({expertOut.at(0), expertOut.stride, expertPlaces.data() + first * perToken,
                      expertWeights.data() + first * perToken, projected.at(first), projected.stride, rowsOf(chunk), hidden, perToken});
  });
}

// A counting sort of (row, rank) by expert, and the rectangles of both products.
void Decoder::planExperts(const Layer& layer, size_t places) {
  std::fill(expertStarts.begin(), expertStarts.end(), size_t{0});
  for (size_t i = 0; i < places; i++) expertStarts[(size_t)expertIds[i] + 1]++;
  for (size_t expert = 0; expert < expertCount; expert++) expertStarts[expert + 1] += expertStarts[expert];
  gateParts.clear();
  downParts.clear();
  const auto cutInto = [&](std::vector<ExpertPart>& parts, size_t expert, size_t panels, size_t unit) {
    const size_t start = expertStarts[expert], rows = expertStarts[expert + 1] - start;
    if (rows == 0) return;
    const Cut cut(rows, panels, pool.threads(), unit);
    for (int chunk = 0; chunk < cut.chunks(); chunk++)
      parts.push_back({expert, start + cut.row(chunk), cut.height(chunk), cut.panel(chunk), cut.width(chunk)});
  };
  for (size_t expert = 0; expert < expertCount; expert++) {
    cutInto(gateParts, expert, layer.experts[expert].gateUp.panels(), 2);
    cutInto(downParts, expert, layer.experts[expert].down.panels(), 1);
  }
  for (size_t i = 0; i < places; i++) {
    const size_t place = expertStarts[(size_t)expertIds[i]]++;  // starts become ends
    expertPlaces[i] = (int32_t)place;
    placeRows[place] = (int32_t)(i / expertsPerToken);
  }
}

void Decoder::sampleRows(const pm_batch& batch, const pm_results& results) {
  const size_t samples = (size_t)batch.samples, most = std::min(samples, kLogitRows);
  for (size_t first = 0; first < samples; first += most) {
    const size_t count = std::min(most, samples - first);
    linear(head, operandFor(head, normed, first, count), logits, count);
    pool.run((int)count, [&](int row, int worker) {
      const size_t r = first + (size_t)row;
      float* values = logits.at((size_t)row);
      if (logitSoftcap > 0.0f) kernels->softcap(values, paddedVocab, logitSoftcap);
      std::fill(values + vocab, values + paddedVocab, -std::numeric_limits<float>::infinity());
      if (results.logits) memcpy(results.logits + r * vocab, values, vocab * sizeof(float));
      SampleTask task{};
      task.logits = values;
      task.vocab = vocab;
      task.padded = paddedVocab;
      task.floats = batch.sampling_floats + r * PM_SAMPLING_FLOATS;
      task.ints = batch.sampling_ints + r * PM_SAMPLING_INTS;
      task.history = batch.history;
      task.biasIds = batch.bias_ids + batch.bias_starts[r];
      task.biasValues = batch.bias_values + batch.bias_starts[r];
      task.biases = (size_t)(batch.bias_starts[r + 1] - batch.bias_starts[r]);
      const int32_t mask = batch.mask_of ? batch.mask_of[r] : -1;
      task.allowed = mask < 0 ? nullptr : batch.masks + (size_t)mask * ((vocab + 31) / 32);
      task.forced = batch.forced_ids ? batch.forced_ids[r] : -1;
      task.id = results.sampled_ids + r;
      task.logprob = results.sampled_logprobs + r;
      task.rank = results.sampled_ranks + r;
      task.topIds = results.top_ids + r * (size_t)batch.top_stride;
      task.topLogprobs = results.top_logprobs + r * (size_t)batch.top_stride;
      sample(*kernels, task, samplers[(size_t)worker]);
    });
  }
}

}  // namespace pm
