// One step: embedding, then per layer norm, qkv, rope and cache write, attention, output projection, norm,
// gated MLP or a mixture of them, and at the end norm, head and sampling for the rows that ask for it. The last layer computes
// attention and MLP only for those rows and for those whose state is wanted. Every stage is one loop of the thread pool.
#include <algorithm>
#include <cstring>

#include "cut.h"

namespace pm {

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

}  // namespace pm
