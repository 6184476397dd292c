// A mixture of gated MLPs.
#include <algorithm>
#include <cstring>

#include "cut.h"

namespace pm {

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
    const Cut cut(rows, kernels->rowBlock, panels, pool.threads(), unit);
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

}  // namespace pm
