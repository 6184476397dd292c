// A decoder-only transformer on one GPU: bfloat16 or e4m3 weights, paged KV cache, scratch, and one step over a batch. The
// residual and all sums are float32; what meets a weight is bfloat16.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "../backend.h"
#include "device-memory.h"
#include "kernels/kernels.h"
#include "matrix-library.h"
#include "mixture.h"
#include "step-inputs.h"
#include "step-outputs.h"
#include "step-plan.h"
#include "weight-upload.h"

namespace pm::cuda {

class Model {
 public:
  explicit Model(const pm_plan& plan);
  // Steps in flight end before their memory does.
  ~Model() { cudaStreamSynchronize(stream); }
  void launch(const pm_batch& batch);
  void wait(const pm_results& results);
  pm_memory_use memory() const;

 private:
  struct Layer {
    Linear qkv, output, gateUp, down;  // the last two: of all experts, where the layer has a router
    Linear router;
    DeviceMemory inputNorm, attentionOutputNorm, mlpNorm, mlpOutputNorm, qNorm, kNorm;
    DeviceMemory keys, values;
    int window = 0, ropeTable = 0;
  };
  // What a graph is made for: everything that its launches hold besides pointers that never change.
  using GraphKey = std::tuple<int, int, int>;  // rows, decode items, merges
  struct GraphSlot {
    int uses = 0;
    std::unique_ptr<Graph> graph;
  };

  void loadWeights(const pm_plan& plan);
  void allocate(const pm_plan& plan);
  void growPartials(int partials);
  // fp8 pages meet queries of 16 bits, which a product of a warpgroup does not do.
  bool usesWarpgroups() const { return hasWarpgroups && kvType == KvType::Bf16; }
  // Fits the step into the sizes of a graph if it only decodes; otherwise the sizes are its own.
  StepSizes sizesOf(const pm_batch& batch) const;
  void compute(const StepSizes& sizes);
  void attend(const Layer& layer, const StepSizes& sizes);
  void feedForward(const Layer& layer, float* out, int rows);
  void multiply(const Linear& matrix, const Bf16* x, float* y, int rows, bool accumulate);
  // `hasAdded`: `projected` still waits for its own norm before it joins the residual, in models that have one.
  void normalize(float* residual, const DeviceMemory* outputNorm, const DeviceMemory& weight, int rows, bool hasAdded);
  // Brings the block tables and the tokens that earlier steps choose up to the step.
  void feed(const pm_batch& batch);
  // `logitsOut`: on the host; null: nobody wants them.
  void sampleRows(const StepSizes& sizes, float* logitsOut);

  int hidden, heads, kvHeads, headDim, padded, intermediate, vocab;
  int rotaryDim, ropeTableCount, maxRows, maxSamples, logitRows, tableColumns;
  float eps, embeddingScale, attentionScale, attentionSoftcap, logitSoftcap;
  bool hasOutputNorms, gelu;
  int experts, expertsPerToken, expertSize;
  bool renormalizesExperts;
  bool hasWarpgroups;  // compute capability 9.x
  KvType kvType;

  Stream stream;
  std::unique_ptr<MatrixLibrary> library;
  Linear embedding, head;  // embedding is empty when tied
  DeviceMemory finalNorm, ropeFrequencies, ropeFactors;
  std::vector<Layer> layers;

  DeviceMemory x, normed, qkv, q, attended, projected, gateUp, activated, pickedX, pickedAttended;
  DeviceMemory cosines, sines, logits, raw, marks, workspace, expanded, counters, partials, partialSums;
  Mixture mixture;
  StepPlan plan;
  StepInputs inputs;
  StepOutputs outputs;
  std::array<StepReturn, PM_STEPS_IN_FLIGHT> returns;
  size_t launched = 0, waited = 0;
  DeviceMemory tables;  // [max_sequences, tableColumns] blocks
  std::map<GraphKey, GraphSlot> graphs;
  int generation = 0;  // of the memory that graphs point to
  int partialCapacity = 0;
};

}  // namespace pm::cuda
