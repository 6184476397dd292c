#include "step-check.h"

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

void needIndex(const char* name, size_t at, int32_t value, int32_t below, int32_t least = 0) {
  if (value < least || value >= below)
    refuse(std::string(name) + "[" + to_string(at) + "] is " + to_string(value) + ", expected " + to_string(least) + " to " +
           to_string(below - 1));
}

void checkLengths(const BatchLengths& n, const pm_batch& b) {
  const size_t tokens = (size_t)b.tokens, sequences = (size_t)b.sequences, samples = (size_t)b.samples;
  needLength("tokenIds", n.tokenIds, tokens);
  needLength("positions", n.positions, tokens);
  needLength("slotMapping", n.slotMapping, tokens);
  needLength("queryStarts", n.queryStarts, sequences + 1);
  needLength("tableRows", n.tableRows, sequences);
  needLength("tableDeltas", n.tableDeltas, (size_t)b.table_delta_count * (sizeof(pm_table_delta) / sizeof(int32_t)));
  needLength("sampleRows", n.sampleRows, samples);
  needLength("samplingFloats", n.samplingFloats, samples * PM_SAMPLING_FLOATS);
  needLength("samplingInts", n.samplingInts, samples * PM_SAMPLING_INTS);
  needLength("biasStarts", n.biasStarts, samples + 1);
}

}  // namespace

void StepChecker::checkOptional(const BatchLengths& n, const pm_batch& b) const {
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
    for (size_t r = 0; r < pooled; r++) needIndex("pooledRows", r, b.pooled_rows[r], b.tokens);
  }
}

void StepChecker::checkSampling(const BatchLengths& n, const pm_batch& b, size_t r) const {
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
    needIndex("history", (size_t)at, b.history[at], limits.vocabSize, -latestSamples);
  const int32_t from = b.bias_starts[r], to = b.bias_starts[r + 1];
  if (from < 0 || to < from || (size_t)to > n.biasIds || (size_t)to > n.biasValues)
    refuse("biasStarts" + row + " and its successor are " + to_string(from) + " and " + to_string(to) +
           ", biasIds has " + to_string(n.biasIds) + " elements and biasValues " + to_string(n.biasValues));
  for (int32_t at = from; at < to; at++) needIndex("biasIds", (size_t)at, b.bias_ids[at], limits.vocabSize);
}

void StepChecker::checkDeltas(const pm_batch& b) const {
  int32_t row = -1, column = -1, length = 0;
  std::vector<bool> seen((size_t)limits.maxSequences);
  for (size_t i = 0; i < (size_t)b.table_delta_count; i++) {
    const pm_table_delta& delta = b.table_deltas[i];
    const std::string name = "tableDeltas[" + to_string(i) + "]";
    needIndex("tableDeltas.row", i, delta.row, limits.maxSequences);
    if (delta.row != row) {
      row = delta.row;
      if (seen[(size_t)row]) refuse(name + " comes back to row " + to_string(row) + ": deltas of a row are adjacent");
      seen[(size_t)row] = true;
      column = -1;
      length = tables.length(row);
      if (delta.block == -1) {
        if (delta.column != 0) refuse(name + " empties row " + to_string(row) + " from column " + to_string(delta.column) + ", expected 0");
        length = 0;
        continue;
      }
    }
    needIndex("tableDeltas.block", i, delta.block, limits.blocks);
    needIndex("tableDeltas.column", i, delta.column, limits.maxSequenceBlocks, column + 1);
    if (delta.column > length)
      refuse(name + " sets column " + to_string(delta.column) + " of row " + to_string(row) + ", which has " + to_string(length) + " blocks");
    column = delta.column;
    if (column == length) length++;
  }
}

void StepChecker::checkSequence(const pm_batch& b, size_t s) const {
  const int32_t start = b.query_starts[s], end = b.query_starts[s + 1];
  if (end <= start) refuse("queryStarts[" + to_string(s + 1) + "] is " + to_string(end) + ", expected more than " + to_string(start));
  if (end > b.tokens) refuse("queryStarts[" + to_string(s + 1) + "] is " + to_string(end) + ", the step has " + to_string(b.tokens) + " tokens");
  const int32_t first = b.positions[start];
  if (first < 0) refuse("positions[" + to_string(start) + "] is " + to_string(first) + ", expected 0 or more");
  needIndex("tableRows", s, b.table_rows[s], limits.maxSequences);
  const int64_t pages = ((int64_t)first + (end - start) - 1) / PM_BLOCK_SIZE + 1;
  const int32_t has = tables.length(b.table_rows[s]);
  if (pages > has)
    refuse("row " + to_string(b.table_rows[s]) + " of the block tables has " + to_string(has) + " blocks, sequence " + to_string(s) +
           " needs " + to_string(pages));
  const int32_t* table = tables.row(b.table_rows[s]);
  for (int32_t row = start; row < end; row++) {
    const int32_t position = first + (row - start);
    if (b.positions[row] != position)
      refuse("positions[" + to_string(row) + "] is " + to_string(b.positions[row]) + ", expected " + to_string(position) +
             ": tokens of a sequence are in position order without gaps");
    const int32_t slot = table[position / PM_BLOCK_SIZE] * PM_BLOCK_SIZE + position % PM_BLOCK_SIZE;
    if (b.slot_mapping[row] != slot)
      refuse("slotMapping[" + to_string(row) + "] is " + to_string(b.slot_mapping[row]) + ", the block table says " + to_string(slot));
  }
}

void StepChecker::checkSequences(const pm_batch& b) const {
  if (b.query_starts[0] != 0) refuse("queryStarts[0] is " + to_string(b.query_starts[0]) + ", expected 0");
  for (size_t s = 0; s < (size_t)b.sequences; s++) checkSequence(b, s);
  if (b.query_starts[b.sequences] != b.tokens)
    refuse("queryStarts[" + to_string(b.sequences) + "] is " + to_string(b.query_starts[b.sequences]) +
           ", expected the number of tokens, " + to_string(b.tokens));
}

StepShape shapeOf(const pm_batch& b) { return {b.samples, b.top_stride, b.pooled, b.keeps_logits != 0}; }

StepChecker::StepChecker(const StepLimits& limits) : limits(limits), tables(limits.maxSequences, limits.maxSequenceBlocks) {}

void StepChecker::checkLaunch(const BatchLengths& lengths, const pm_batch& b, const ResultLengths* results) {
  if (inFlight.size() >= PM_STEPS_IN_FLIGHT) throw std::logic_error("two steps are in flight: wait for the first");
  needCount("tokens", b.tokens, 0, limits.maxTokens);
  needCount("sequences", b.sequences, 0, b.tokens < limits.maxSequences ? b.tokens : limits.maxSequences);
  needCount("samples", b.samples, 0, limits.maxSamples);
  needCount("pooled", b.pooled, 0, limits.maxSamples - b.samples);
  needCount("masks", b.mask_count, 0, b.samples);
  needCount("topStride", b.top_stride, 0, limits.vocabSize);
  if (b.table_delta_count < 0) refuse("tableDeltaCount is negative");
  checkLengths(lengths, b);
  if (b.tokens == 0 && b.samples > 0) refuse("samples is " + to_string(b.samples) + ", but the step has no tokens");
  if (results) checkResults(shapeOf(b), *results);
  checkOptional(lengths, b);
  for (size_t t = 0; t < (size_t)b.tokens; t++) needIndex("tokenIds", t, b.token_ids[t], limits.vocabSize, -latestSamples);
  for (size_t r = 0; r < (size_t)b.samples; r++) {
    needIndex("sampleRows", r, b.sample_rows[r], b.tokens);
    checkSampling(lengths, b, r);
  }
  checkDeltas(b);
  std::vector<BlockTables::Replaced> replaced;
  for (size_t i = 0; i < (size_t)b.table_delta_count; i++) replaced.push_back(tables.apply(b.table_deltas[i]));
  try {
    checkSequences(b);
  } catch (...) {
    for (; !replaced.empty(); replaced.pop_back()) tables.revert(replaced.back());
    throw;
  }
  inFlight.push_back(shapeOf(b));
  latestSamples = b.samples;
}

const StepShape& StepChecker::earliest() const {
  if (inFlight.empty()) throw std::logic_error("no step is in flight: launch one first");
  return inFlight.front();
}

void StepChecker::checkResults(const StepShape& shape, const ResultLengths& n) const {
  const size_t samples = (size_t)shape.samples, top = samples * (size_t)shape.topStride;
  needLength("sampledIds", n.sampledIds, samples);
  needLength("sampledLogprobs", n.sampledLogprobs, samples);
  needLength("sampledRanks", n.sampledRanks, samples);
  needLength("topIds", n.topIds, top);
  needLength("topLogprobs", n.topLogprobs, top);
  if (shape.pooled > 0) needLength("pooledStates", n.pooledStates, (size_t)shape.pooled * (size_t)limits.hiddenSize);
  if (shape.keepsLogits) needLength("logits", n.logits, samples * (size_t)limits.vocabSize);
}

}  // namespace pm
