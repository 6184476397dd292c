#include "batch-check.h"

#include <stdexcept>
#include <string>

namespace pm {
namespace {

using std::to_string;

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument("batch: " + message); }

void needLength(const char* name, size_t has, size_t needs) {
  if (has < needs) refuse(std::string(name) + " has " + to_string(has) + " elements, this step needs " + to_string(needs));
}

void needCount(const char* name, int32_t value, int32_t least, int32_t most) {
  if (value < least || value > most)
    refuse(std::string(name) + " is " + to_string(value) + ", expected " + to_string(least) + " to " + to_string(most));
}

void needIndex(const char* name, size_t at, int32_t value, int32_t below) {
  if (value < 0 || value >= below)
    refuse(std::string(name) + "[" + to_string(at) + "] is " + to_string(value) + ", expected 0 to " + to_string(below - 1));
}

void checkLengths(const BatchLengths& n, const pm_batch& b) {
  const size_t tokens = (size_t)b.tokens, sequences = (size_t)b.sequences, samples = (size_t)b.samples;
  needLength("tokenIds", n.tokenIds, tokens);
  needLength("positions", n.positions, tokens);
  needLength("slotMapping", n.slotMapping, tokens);
  needLength("queryStarts", n.queryStarts, sequences + 1);
  needLength("blockTables", n.blockTables, sequences * (size_t)b.block_table_stride);
  needLength("sampleRows", n.sampleRows, samples);
  needLength("samplingFloats", n.samplingFloats, samples * PM_SAMPLING_FLOATS);
  needLength("samplingInts", n.samplingInts, samples * PM_SAMPLING_INTS);
  needLength("biasStarts", n.biasStarts, samples + 1);
  needLength("sampledIds", n.sampledIds, samples);
  needLength("sampledLogprobs", n.sampledLogprobs, samples);
  needLength("sampledRanks", n.sampledRanks, samples);
  needLength("topIds", n.topIds, samples * (size_t)b.top_stride);
  needLength("topLogprobs", n.topLogprobs, samples * (size_t)b.top_stride);
}

void checkSequence(const BatchLimits& limits, const pm_batch& b, size_t s) {
  const int32_t start = b.query_starts[s], end = b.query_starts[s + 1];
  if (end <= start) refuse("queryStarts[" + to_string(s + 1) + "] is " + to_string(end) + ", expected more than " + to_string(start));
  if (end > b.tokens) refuse("queryStarts[" + to_string(s + 1) + "] is " + to_string(end) + ", the step has " + to_string(b.tokens) + " tokens");
  const int32_t first = b.positions[start];
  if (first < 0) refuse("positions[" + to_string(start) + "] is " + to_string(first) + ", expected 0 or more");
  const int64_t pages = ((int64_t)first + (end - start) - 1) / PM_BLOCK_SIZE + 1;
  if (pages > b.block_table_stride)
    refuse("blockTableStride is " + to_string(b.block_table_stride) + ", sequence " + to_string(s) + " needs " + to_string(pages) + " blocks");
  const size_t table = s * (size_t)b.block_table_stride;
  for (int64_t page = 0; page < pages; page++)
    needIndex("blockTables", table + (size_t)page, b.block_tables[table + (size_t)page], limits.blocks);
  for (int32_t row = start; row < end; row++) {
    const int32_t position = first + (row - start);
    if (b.positions[row] != position)
      refuse("positions[" + to_string(row) + "] is " + to_string(b.positions[row]) + ", expected " + to_string(position) +
             ": tokens of a sequence are in position order without gaps");
    const int32_t slot = b.block_tables[table + (size_t)(position / PM_BLOCK_SIZE)] * PM_BLOCK_SIZE + position % PM_BLOCK_SIZE;
    if (b.slot_mapping[row] != slot)
      refuse("slotMapping[" + to_string(row) + "] is " + to_string(b.slot_mapping[row]) + ", the block table says " + to_string(slot));
  }
}

void checkOptional(const BatchLimits& limits, const BatchLengths& n, const pm_batch& b) {
  const size_t samples = (size_t)b.samples, pooled = (size_t)b.pooled;
  if (b.adapters) {
    needLength("adapters", n.adapters, (size_t)b.sequences);
    for (size_t s = 0; s < (size_t)b.sequences; s++)
      if (b.adapters[s] != -1) needIndex("adapters", s, b.adapters[s], limits.adapterSlots);
  }
  if (b.forced_ids) {
    needLength("forcedIds", n.forcedIds, samples);
    for (size_t r = 0; r < samples; r++)
      if (b.forced_ids[r] != -1) needIndex("forcedIds", r, b.forced_ids[r], limits.vocabSize);
  }
  if (b.mask_of) {
    needLength("maskOf", n.maskOf, samples);
    for (size_t r = 0; r < samples; r++)
      if (b.mask_of[r] != -1) needIndex("maskOf", r, b.mask_of[r], b.mask_count);
    needLength("masks", n.masks, (size_t)b.mask_count * (((size_t)limits.vocabSize + 31) / 32));
  }
  if (pooled > 0) {
    needLength("pooledRows", n.pooledRows, pooled);
    needLength("pooledStates", n.pooledStates, pooled * (size_t)limits.hiddenSize);
    for (size_t r = 0; r < pooled; r++) needIndex("pooledRows", r, b.pooled_rows[r], b.tokens);
  }
  if (b.logits) needLength("logits", n.logits, samples * (size_t)limits.vocabSize);
}

void checkSampling(const BatchLimits& limits, const BatchLengths& n, const pm_batch& b, size_t r) {
  const float* f = b.sampling_floats + r * PM_SAMPLING_FLOATS;
  const int32_t* i = b.sampling_ints + r * PM_SAMPLING_INTS;
  const std::string row = "[" + to_string(r) + "]";
  if (!(f[0] >= 0)) refuse("samplingFloats" + row + ".Temperature is " + to_string(f[0]) + ", expected 0 or more");
  if (!(f[1] > 0 && f[1] <= 1)) refuse("samplingFloats" + row + ".TopP is " + to_string(f[1]) + ", expected more than 0 and at most 1");
  if (!(f[2] >= 0 && f[2] <= 1)) refuse("samplingFloats" + row + ".MinP is " + to_string(f[2]) + ", expected 0 to 1");
  if (!(f[3] > 0)) refuse("samplingFloats" + row + ".RepetitionPenalty is " + to_string(f[3]) + ", expected more than 0");
  if (f[4] != f[4] || f[5] != f[5]) refuse("samplingFloats" + row + ": a penalty is not a number");
  if (i[0] < 0) refuse("samplingInts" + row + ".TopK is " + to_string(i[0]) + ", expected 0 or more");
  if (i[4] < -1 || i[4] > b.top_stride)
    refuse("samplingInts" + row + ".Logprobs is " + to_string(i[4]) + ", expected -1 to topStride (" + to_string(b.top_stride) + ")");
  const int64_t start = i[5], prompt = i[6], length = i[7];
  if (length < 0 || (length > 0 && (start < 0 || prompt < 0 || prompt > length || start + length > (int64_t)n.history)))
    refuse("samplingInts" + row + ": history start " + to_string(start) + ", prompt " + to_string(prompt) + ", length " +
           to_string(length) + " do not fit in history of " + to_string(n.history));
  for (int64_t at = start; length > 0 && at < start + length; at++)
    needIndex("history", (size_t)at, b.history[at], limits.vocabSize);
  const int32_t from = b.bias_starts[r], to = b.bias_starts[r + 1];
  if (from < 0 || to < from || (size_t)to > n.biasIds || (size_t)to > n.biasValues)
    refuse("biasStarts" + row + " and its successor are " + to_string(from) + " and " + to_string(to) +
           ", biasIds has " + to_string(n.biasIds) + " elements and biasValues " + to_string(n.biasValues));
  for (int32_t at = from; at < to; at++) needIndex("biasIds", (size_t)at, b.bias_ids[at], limits.vocabSize);
}

}  // namespace

void checkBatch(const BatchLimits& limits, const BatchLengths& lengths, const pm_batch& b) {
  needCount("tokens", b.tokens, 0, limits.maxTokens);
  needCount("sequences", b.sequences, 0, b.tokens);
  needCount("samples", b.samples, 0, limits.maxSamples);
  needCount("pooled", b.pooled, 0, limits.maxSamples - b.samples);
  needCount("masks", b.mask_count, 0, b.samples);
  if (b.block_table_stride < 0) refuse("blockTableStride is negative");
  if (b.top_stride < 0) refuse("topStride is negative");
  checkLengths(lengths, b);
  if (b.tokens == 0 && b.samples > 0) refuse("samples is " + to_string(b.samples) + ", but the step has no tokens");
  checkOptional(limits, lengths, b);
  for (size_t t = 0; t < (size_t)b.tokens; t++) needIndex("tokenIds", t, b.token_ids[t], limits.vocabSize);
  if (b.query_starts[0] != 0) refuse("queryStarts[0] is " + to_string(b.query_starts[0]) + ", expected 0");
  for (size_t s = 0; s < (size_t)b.sequences; s++) checkSequence(limits, b, s);
  if (b.query_starts[b.sequences] != b.tokens)
    refuse("queryStarts[" + to_string(b.sequences) + "] is " + to_string(b.query_starts[b.sequences]) +
           ", expected the number of tokens, " + to_string(b.tokens));
  for (size_t r = 0; r < (size_t)b.samples; r++) {
    needIndex("sampleRows", r, b.sample_rows[r], b.tokens);
    checkSampling(limits, lengths, b, r);
  }
}

}  // namespace pm
