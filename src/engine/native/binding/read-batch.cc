#include "read-batch.h"

#include "values.h"

namespace pm::binding {

void readBatch(const Napi::Object& from, pm_batch& b, pm::BatchLengths& n) {
  b.tokens = integer(from, "tokens");
  b.sequences = integer(from, "sequences");
  b.samples = integer(from, "samples");
  b.block_table_stride = integer(from, "blockTableStride");
  b.top_stride = integer(from, "topStride");
  b.token_ids = array<int32_t>(from, "tokenIds", &n.tokenIds);
  b.positions = array<int32_t>(from, "positions", &n.positions);
  b.slot_mapping = array<int32_t>(from, "slotMapping", &n.slotMapping);
  b.query_starts = array<int32_t>(from, "queryStarts", &n.queryStarts);
  b.block_tables = array<int32_t>(from, "blockTables", &n.blockTables);
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
    b.pooled_states = array<float>(from, "pooledStates", &n.pooledStates);
  }
  b.sample_rows = array<int32_t>(from, "sampleRows", &n.sampleRows);
  b.sampling_floats = array<float>(from, "samplingFloats", &n.samplingFloats);
  b.sampling_ints = array<int32_t>(from, "samplingInts", &n.samplingInts);
  b.history = array<int32_t>(from, "history", &n.history);
  b.bias_starts = array<int32_t>(from, "biasStarts", &n.biasStarts);
  b.bias_ids = array<int32_t>(from, "biasIds", &n.biasIds);
  b.bias_values = array<float>(from, "biasValues", &n.biasValues);
  b.sampled_ids = array<int32_t>(from, "sampledIds", &n.sampledIds);
  b.sampled_logprobs = array<float>(from, "sampledLogprobs", &n.sampledLogprobs);
  b.sampled_ranks = array<int32_t>(from, "sampledRanks", &n.sampledRanks);
  b.top_ids = array<int32_t>(from, "topIds", &n.topIds);
  b.top_logprobs = array<float>(from, "topLogprobs", &n.topLogprobs);
}

}  // namespace pm::binding
