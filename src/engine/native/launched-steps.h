// The CPU backend runs a step in its launch. Here are the results until somebody waits for them, and the chosen tokens of
// the latest step, which the next one may be given before anybody has seen them.
#pragma once

#include <array>
#include <vector>

#include "backend.h"

namespace pm {

class LaunchedSteps {
 public:
  LaunchedSteps(size_t vocab, size_t hidden) : vocab(vocab), hidden(hidden) {}

  // The batch with the tokens that its placeholders stand for. Points into this object until the next call.
  pm_batch fed(const pm_batch& batch);
  // Room for the results of the next step; once they are there, it is `launched`.
  pm_results roomFor(const pm_batch& batch);
  void launched() { begun++; }
  // Copies the results of the earliest step that nobody has waited for.
  void take(const pm_results& to);

 private:
  struct Held {
    std::vector<int32_t> ids, ranks, topIds;
    std::vector<float> logprobs, topLogprobs, logits, pooledStates;
  };

  const int32_t* feed(const int32_t* ids, size_t count, std::vector<int32_t>& copy) const;

  size_t vocab, hidden;
  std::array<Held, PM_STEPS_IN_FLIGHT> held;
  size_t begun = 0, taken = 0;
  std::vector<int32_t> tokens, history;
};

}  // namespace pm
