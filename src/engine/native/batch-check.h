// Checks a step before a backend sees it. A bad index in native code has no message; here it has a name.
#pragma once

#include "backend.h"

namespace pm {

// What the checks need of a plan.
struct BatchLimits {
  int32_t vocabSize, hiddenSize, blocks, maxTokens, maxSamples, adapterSlots;
};

// How many elements each array of a pm_batch really has.
struct BatchLengths {
  size_t tokenIds, positions, slotMapping, queryStarts, blockTables, sampleRows, samplingFloats, samplingInts, history,
      biasStarts, biasIds, biasValues, sampledIds, sampledLogprobs, sampledRanks, topIds, topLogprobs;
  // Read only when the array is given.
  size_t adapters, logits, forcedIds, maskOf, masks, pooledRows, pooledStates;
};

// Throws std::invalid_argument with the argument's name, what was expected and what was found.
void checkBatch(const BatchLimits& limits, const BatchLengths& lengths, const pm_batch& batch);

}  // namespace pm
