// Queries in tiles, rotation and the cache, and attention over its pages.
#include <algorithm>

#include "cut.h"

namespace pm {

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

// Heads of a sequence follow each other in a chunk: their pages adjoin, and the next head's are asked for in time.
void Decoder::attend(const Layer& layer, const std::vector<QueryTile>& which) {
  const size_t group = heads / kvHeads;
  size_t together = kvHeads;
  while (together > 1 && which.size() * ceilDiv(kvHeads, together) < (size_t)pool.threads() * 8) together = ceilDiv(together, 2);
  const size_t parts = ceilDiv(kvHeads, together);
  pool.run((int)(which.size() * parts), [&](int chunk, int worker) {
    const QueryTile& tile = which[(size_t)chunk / parts];
    const size_t first = (size_t)chunk % parts * together;
    AttentionTask task{};
    task.qStride = qkv.stride;
    task.outStride = attended.stride;
    task.queries = tile.queries;
    task.firstPosition = tile.position;
    task.blockTable = tile.blockTable;
    task.pages = pagesOf(layer);
    task.group = group;
    task.window = layer.window;
    task.softcap = attentionSoftcap;
    task.scratch = workerScratch[(size_t)worker].as<float>();
    for (size_t kvHead = first; kvHead < std::min(kvHeads, first + together); kvHead++) {
      task.q = qkv.at(tile.row) + kvHead * group * headDim;
      task.out = attended.at(tile.outRow) + kvHead * group * headDim;
      task.kvHead = kvHead;
      kernels->attention(task);
    }
  });
}

}  // namespace pm
