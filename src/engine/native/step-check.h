// Checks a step before a backend sees it. A bad index in native code has no message; here it has a name. Steps build on
// those before them, so the checker keeps what it needs of these: a copy of the block tables, and how many samples the
// latest step has.
#pragma once

#include <deque>
#include <vector>

#include "backend.h"
#include "block-tables.h"

namespace pm {

// What the checks need of a plan.
struct StepLimits {
  int32_t vocabSize, hiddenSize, blocks, maxTokens, maxSamples, maxSequences, maxSequenceBlocks, adapterSlots;
};

// How many elements each array of a pm_batch really has.
struct BatchLengths {
  size_t tokenIds, positions, slotMapping, queryStarts, tableRows, tableDeltas, sampleRows, samplingFloats, samplingInts, history,
      biasStarts, biasIds, biasValues;
  // Read only when the array is given.
  size_t adapters, forcedIds, maskOf, masks, pooledRows;
};

// The same of a pm_results.
struct ResultLengths {
  size_t sampledIds, sampledLogprobs, sampledRanks, topIds, topLogprobs, logits, pooledStates;
};

// What of a step its results depend on.
struct StepShape {
  int32_t samples, topStride, pooled;
  bool keepsLogits;
};

StepShape shapeOf(const pm_batch& batch);

// Everything that it refuses throws std::invalid_argument with the argument's name, what was expected and what was found.
class StepChecker {
 public:
  explicit StepChecker(const StepLimits& limits);

  // Before a step is launched, with `results` if it is then waited for at once. If it is refused, nothing has changed;
  // else it counts as launched.
  void checkLaunch(const BatchLengths& lengths, const pm_batch& batch, const ResultLengths* results = nullptr);
  bool isIdle() const { return inFlight.empty(); }
  // Of the step that is waited for next. Throws std::logic_error if there is none.
  const StepShape& earliest() const;
  void checkResults(const StepShape& shape, const ResultLengths& lengths) const;
  // The earliest step is over.
  void finish() { inFlight.pop_front(); }
  // The latest step could not be launched.
  void withdraw() { inFlight.pop_back(); }

 private:
  void checkDeltas(const pm_batch& batch) const;
  void checkSequences(const pm_batch& batch) const;
  void checkSequence(const pm_batch& batch, size_t sequence) const;
  void checkOptional(const BatchLengths& lengths, const pm_batch& batch) const;
  void checkSampling(const BatchLengths& lengths, const pm_batch& batch, size_t sample) const;

  StepLimits limits;
  BlockTables tables;
  std::deque<StepShape> inFlight;
  int32_t latestSamples = 0;
};

}  // namespace pm
