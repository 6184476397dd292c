// A decoder-only transformer in memory: packed weights, paged KV cache, scratch, and one step over a batch.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "../adapter.h"
#include "../backend.h"
#include "../block-tables.h"
#include "../kernels/kernels.h"
#include "../kernels/sample.h"
#include "../memory.h"
#include "../thread-pool.h"
#include "../weights.h"

namespace pm {

// A product is cut into rectangles of at most the kernels' `rowBlock` rows and this many panels.
constexpr size_t kPanelGroup = 8;

// Rows of logits computed at once: 48 x 152k floats are 29 MB.
constexpr size_t kLogitRows = 48;

class Decoder {
 public:
  explicit Decoder(const pm_plan& plan);
  // No token of the batch is a placeholder.
  void step(const pm_batch& batch, const pm_results& results);
  void loadAdapter(int slot, const pm_adapter& source);
  void unloadAdapter(int slot);
  pm_memory_use memory() const;

 private:
  // A gated MLP: the plain one of a layer, or one expert.
  struct Mlp {
    Matrix gateUp, down;
  };
  struct Layer {
    Matrix qkv, output;
    Mlp mlp;                   // empty where the layer has experts
    Matrix router;
    std::vector<Mlp> experts;
    Arena inputNorm, attentionOutputNorm, mlpNorm, mlpOutputNorm, qNorm, kNorm;
    Arena keys, values;
    size_t window = 0, ropeTable = 0;
  };
  struct RopeTable {
    const float* inverseFrequencies;
    float attentionFactor;
    std::vector<float> cosines, sines;  // [positions, paddedHalf(rotaryDim)]
  };
  // Adjacent queries of one sequence that attention takes together.
  struct QueryTile {
    size_t row;       // of the first query, in qkv
    size_t outRow;    // of the first query, in attended
    size_t queries;
    size_t position;  // of the first query
    const int32_t* blockTable;
  };
  // Rows as a product reads them.
  struct Operand {
    const char* data;
    size_t stride;  // bytes
    Operand from(size_t row) const { return {data + row * stride, stride}; }
  };
  // A part of a product: some rows of the input, some panels of the matrix, and where they go.
  struct Rectangle {
    Operand in;
    size_t rows, panel, panels;
    float* out;
    size_t outStride;
  };
  // What the adapters of a step add to one product. `lowered` holds x A^T of its rows.
  struct Adaptation {
    size_t layer;
    LowRank LayerAdapter::* product;
    const std::vector<AdapterRun>& runs;
  };
  // Tokens of one expert, adjacent after sorting, and some panels of its matrix.
  struct ExpertPart {
    size_t expert, place, rows, panel, panels;
  };
  // A row-major activation buffer; the stride keeps rows of a tile in different cache sets.
  struct Rows {
    Arena data;
    size_t stride = 0;
    float* at(size_t row) const { return data.as<float>() + row * stride; }
  };

  void loadWeights(const pm_plan& plan);
  void allocate(const pm_plan& plan);
  void growRopeTables(size_t positions);

  // Rows whose last layer is computed: first those that are sampled, then those that are pooled.
  static int32_t pickedRow(const pm_batch& batch, size_t r) {
    const size_t samples = (size_t)batch.samples;
    return r < samples ? batch.sample_rows[r] : batch.pooled_rows[r - samples];
  }
  void planAttention(const pm_batch& batch);
  void planAdapters(const pm_batch& batch);
  // Computes x A^T for the rows that an adapter serves.
  void lower(const Adaptation& adaptation, const Rows& in);
  // Adds (x A^T) B^T to the part of a product whose first row is `row`.
  void adapt(const Adaptation& adaptation, size_t row, const Rectangle& part, int worker);
  void embed(const pm_batch& batch);
  void normalize(const Rows& x, const Rows* delta, const Arena* deltaNorm, const Arena& weight, size_t rows);
  // `rows` rows of `in`, from `first` on, in the form that the matrix multiplies. Valid until the next call.
  Operand operandFor(const Matrix& matrix, const Rows& in, size_t first, size_t rows);
  void multiply(const Matrix& matrix, const Rectangle& part);
  void linear(const Matrix& matrix, const Operand& in, const Rows& out, size_t rows, const Adaptation* adaptation = nullptr);
  // The product of a layer's projection with `rows` rows of `in`, adapters included.
  void project(const Matrix& matrix, const Rows& in, const Rows& out, size_t rows, const Adaptation& adaptation);
  void rotateAndCache(const Layer& layer, const pm_batch& batch);
  void attend(const Layer& layer, const std::vector<QueryTile>& tiles);
  void feedForward(const Layer& layer, size_t index, size_t rows, const std::vector<AdapterRun>& runs);
  void gate(const Matrix& gateUp, const Rectangle& part, int worker, const Adaptation* adaptation = nullptr, size_t row = 0);
  void mixExperts(const Layer& layer, size_t rows);
  void planExperts(const Layer& layer, size_t places);
  void sampleRows(const pm_batch& batch, const pm_results& results);
  KvPages pagesOf(const Layer& layer) const;

  const Kernels* kernels;
  size_t hidden, heads, kvHeads, headDim, paddedHeadDim, intermediate, vocab, paddedVocab;
  size_t maxRows, maxSamples, blocks;
  float eps, embeddingScale, queryScale, attentionSoftcap, logitSoftcap;
  bool qkNorm, hasOutputNorms;
  size_t expertCount, expertsPerToken, expertSize;
  bool renormalizesExperts;
  Dtype kvDtype;
  void (*activate)(const SwigluTask&);
  size_t rotaryDim;
  std::vector<float> inverseFrequencies;  // [ropeTables, rotaryDim / 2]

  ThreadPool pool;
  BlockTables tables;
  Matrix embedding;  // empty when tied
  Matrix head;
  Arena finalNorm;
  std::vector<Layer> layers;

  AdapterShape adapterShape;
  std::vector<std::unique_ptr<Adapter>> adapters;  // by slot
  std::vector<AdapterRun> adapterRuns, sampledRuns;  // over the step's tokens, and over its samples
  Rows lowered;

  size_t ropePositions = 0;
  std::vector<RopeTable> ropeTables;

  Rows x, picked, normed, qkv, attended, projected, activated, logits;
  Arena packed;  // the operand of the product under way, where it is not a Rows as it stands
  std::vector<Arena> workerScratch;

  // Of layers with experts: router logits, picked experts and their weights per row, and the sorted copies.
  Rows routed, expertIn, expertActivated, expertOut;
  std::vector<int32_t> expertIds, expertPlaces, placeRows;  // [rows, perToken] twice, [places]
  std::vector<float> expertWeights;                         // [rows, perToken]
  std::vector<size_t> expertStarts;                         // [experts + 1]
  std::vector<ExpertPart> gateParts, downParts;
  std::vector<SampleScratch> samplers;
  std::vector<QueryTile> tiles, sampledTiles;
};

}  // namespace pm
