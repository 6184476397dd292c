#include "read-batch.h"

#include "values.h"

namespace pm::binding {

void readBatch(const Napi::Object& from, pm_batch& b, BatchLengths& n) {
  b.tokens = integer(from, "tokens");
  b.sequences = integer(from, "sequences");
  b.samples = integer(from, "samples");
  b.top_stride = integer(from, "topStride");
  b.token_ids = array<int32_t>(from, "tokenIds", &n.tokenIds);
  b.positions = array<int32_t>(from, "positions", &n.positions);
  b.slot_mapping = array<int32_t>(from, "slotMapping", &n.slotMapping);
  b.query_starts = array<int32_t>(from, "queryStarts", &n.queryStarts);
  b.table_rows = array<int32_t>(from, "tableRows", &n.tableRows);
  b.table_delta_count = integer(from, "tableDeltaCount");
  b.table_deltas = reinterpret_cast<const pm_table_delta*>(array<int32_t>(from, "tableDeltas", &n.tableDeltas));
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
  }
  b.sample_rows = array<int32_t>(from, "sampleRows", &n.sampleRows);
  b.sampling_floats = array<float>(from, "samplingFloats", &n.samplingFloats);
  b.sampling_ints = array<int32_t>(from, "samplingInts", &n.samplingInts);
  b.history = array<int32_t>(from, "history", &n.history);
  b.bias_starts = array<int32_t>(from, "biasStarts", &n.biasStarts);
  b.bias_ids = array<int32_t>(from, "biasIds", &n.biasIds);
  b.bias_values = array<float>(from, "biasValues", &n.biasValues);
}

void readResults(const Napi::Object& from, const StepShape& shape, pm_results& r, ResultLengths& n) {
  r.sampled_ids = array<int32_t>(from, "sampledIds", &n.sampledIds);
  r.sampled_logprobs = array<float>(from, "sampledLogprobs", &n.sampledLogprobs);
  r.sampled_ranks = array<int32_t>(from, "sampledRanks", &n.sampledRanks);
  r.top_ids = array<int32_t>(from, "topIds", &n.topIds);
  r.top_logprobs = array<float>(from, "topLogprobs", &n.topLogprobs);
  if (shape.pooled > 0) r.pooled_states = array<float>(from, "pooledStates", &n.pooledStates);
}

}  // namespace pm::binding
