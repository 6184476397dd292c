// The head for the rows that are sampled, and sampling.
#include <algorithm>
#include <cstring>
#include <limits>

#include "cut.h"

namespace pm {

void Decoder::sampleRows(const pm_batch& batch, const pm_results& results) {
  const size_t samples = (size_t)batch.samples, most = std::min(samples, kLogitRows);
  for (size_t first = 0; first < samples; first += most) {
    const size_t count = std::min(most, samples - first);
    linear(head, operandFor(head, normed, first, count), logits, count);
    pool.run((int)count, [&](int row, int worker) {
      const size_t r = first + (size_t)row;
      float* values = logits.at((size_t)row);
      if (logitSoftcap > 0.0f) kernels->softcap(values, paddedVocab, logitSoftcap);
      std::fill(values + vocab, values + paddedVocab, -std::numeric_limits<float>::infinity());
      if (results.logits) memcpy(results.logits + r * vocab, values, vocab * sizeof(float));
      SampleTask task{};
      task.logits = values;
      task.vocab = vocab;
      task.padded = paddedVocab;
      task.floats = batch.sampling_floats + r * PM_SAMPLING_FLOATS;
      task.ints = batch.sampling_ints + r * PM_SAMPLING_INTS;
      task.history = batch.history;
      task.biasIds = batch.bias_ids + batch.bias_starts[r];
      task.biasValues = batch.bias_values + batch.bias_starts[r];
      task.biases = (size_t)(batch.bias_starts[r + 1] - batch.bias_starts[r]);
      const int32_t mask = batch.mask_of ? batch.mask_of[r] : -1;
      task.allowed = mask < 0 ? nullptr : batch.masks + (size_t)mask * ((vocab + 31) / 32);
      task.forced = batch.forced_ids ? batch.forced_ids[r] : -1;
      task.id = results.sampled_ids + r;
      task.logprob = results.sampled_logprobs + r;
      task.rank = results.sampled_ranks + r;
      task.topIds = results.top_ids + r * (size_t)batch.top_stride;
      task.topLogprobs = results.top_logprobs + r * (size_t)batch.top_stride;
      sample(*kernels, task, samplers[(size_t)worker]);
    });
  }
}

}  // namespace pm
