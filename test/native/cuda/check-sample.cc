#include "../../../src/engine/native/backend.h"
#include "check.h"

namespace check {

using namespace pm::cuda;

// Many rows of random logits, each with another mix of parameters. Tokens must be the twin's: the draw differs only
// where u falls within rounding of a boundary, which these seeds do not meet.
void checkSample() {
  for (const int vocab : {331, 3072, isFull() ? 151936 : 5001}) {
    const int rows = isFull() ? 128 : 24, topStride = 5;
    Array<float> logits(randomFloats((size_t)rows * vocab, 40, 8)), raw((size_t)rows * vocab);
    std::vector<float> floats;
    std::vector<int32_t> ints, history, biasStarts{0}, biasIds;
    std::vector<float> biasValues;
    for (int row = 0; row < rows; row++) {
      const auto pick = [&](int what) { return pm::uniform(41 + (uint64_t)what, (uint64_t)row); };
      const bool penalizes = row % 3 == 1;
      for (const double f : {row % 4 == 0 ? 0.0 : 0.3 + pick(0) * 1.5, row % 5 == 2 ? 1.0 : 0.1 + 0.85 * pick(1), row % 6 == 5 ? 0.3 * pick(2) : 0.0,
                             penalizes ? 1.3 : 1.0, penalizes ? 0.7 : 0.0, penalizes ? 0.4 : 0.0})
        floats.push_back((float)f);
      const int start = (int)history.size(), length = penalizes ? 700 : 0;
      for (int i = 0; i < length; i++) history.push_back((int32_t)(pm::uniform(50, (uint64_t)(start + i)) * (i % 2 ? 3 : vocab)));
      for (const int i : {row % 3 == 2 ? 1 + (int)(pick(3) * 60) : 0, row * 7919, row, row + 3, row % 2 ? topStride - row % 3 : -1, start, 40, length}) ints.push_back(i);
      if (row % 4 == 3)
        for (int i = 0; i < vocab; i++)
          if (i % 7 != row % 7) {
            biasIds.push_back(i);
            biasValues.push_back(i % 2 ? -INFINITY : 1.5f);
          }
      biasStarts.push_back((int32_t)biasIds.size());
    }
    std::vector<int32_t> forced((size_t)rows, -1), maskOf((size_t)rows, -1);
    std::vector<uint32_t> masks((size_t)(vocab + 31) / 32 * 2);
    for (size_t i = 0; i < masks.size(); i++) masks[i] = (uint32_t)(pm::uniform(60, i) * 4294967296.0);
    for (int row = 0; row < rows; row += 5) maskOf[(size_t)row] = row % 2;
    forced[7] = vocab - 1;
    // Ties: whole numbers, so that the cut falls among equals.
    for (int i = 0; i < vocab; i++) logits.host[(size_t)vocab + (size_t)i] = std::round(logits.host[(size_t)vocab + (size_t)i]);
    logits.upload();
    Array<float> f(floats), values(biasValues), logprobs((size_t)rows), topLogprobs((size_t)rows * topStride);
    Array<int32_t> in(ints), past(history), bounds(biasStarts), banned(biasIds), force(forced), masked(maskOf), marks(std::vector<int32_t>((size_t)rows * vocab, 0)),
        ids((size_t)rows), ranks((size_t)rows), topIds((size_t)rows * topStride);
    Array<uint32_t> bad(std::vector<uint32_t>{0}), bits(masks);
    const SampleLists hostLists{past.h(), banned.h(), values.h(), bits.h()};
    Array<SampleLists> lists(std::vector<SampleLists>{{past.d(), banned.d(), values.d(), bits.d()}});
    const auto task = [&](bool host) {
      SampleTask t{};
      t.logits = host ? logits.h() : logits.d();
      t.rows = rows; t.vocab = vocab; t.softcap = vocab == 331 ? 6.0f : 0.0f;
      t.floats = host ? f.h() : f.d();
      t.ints = host ? in.h() : in.d();
      t.lists = host ? &hostLists : lists.d();
      t.biasStarts = host ? bounds.h() : bounds.d();
      t.forced = host ? force.h() : force.d();
      t.maskOf = host ? masked.h() : masked.d();
      t.marks = marks.d();
      t.raw = host ? raw.h() : raw.d();
      t.keepsRaw = true;
      t.ids = host ? ids.h() : ids.d();
      t.ranks = host ? ranks.h() : ranks.d();
      t.logprobs = host ? logprobs.h() : logprobs.d();
      t.topStride = topStride;
      t.topIds = host ? topIds.h() : topIds.d();
      t.topLogprobs = host ? topLogprobs.h() : topLogprobs.d();
      t.notNumbers = bad.d();
      return t;
    };
    const bool repeats = isRepeatable([&] { logits.upload(); ids.poison(); ranks.poison(); logprobs.poison(); },
                                      [&] { pm::cuda::sample(task(false), nullptr); },
                                      [&] { return bytesOf(ids.download()) + bytesOf(logprobs.download()) + bytesOf(marks.download()); });
    twin::sample(task(true));
    const auto tokens = ids.download(), places = ranks.download(), best = topIds.download();
    int wrong = 0, wrongTop = 0;
    for (int row = 0; row < rows; row++) {
      wrong += tokens[(size_t)row] != ids.host[(size_t)row];
      if (ints[(size_t)row * 8 + 4] >= 0) wrongTop += places[(size_t)row] != ranks.host[(size_t)row];
      for (int i = 0; i < ints[(size_t)row * 8 + 4]; i++) {
        const size_t at = (size_t)row * topStride + (size_t)i;
        wrongTop += best[at] != topIds.host[at];
      }
    }
    const std::string name = "sample of " + std::to_string(vocab);
    report(name + ", tokens", wrong, 0, repeats);
    report(name + ", ranks and most likely", wrongTop, 0, true);
    report(name + ", log-probabilities", differenceOf(logprobs.download(), logprobs.host), 1e-5, true);
    report(name + ", raw logits", differenceOf(raw.download(), raw.host), 1e-5, true);
    bool isClean = true;
    for (const int32_t mark : marks.download()) isClean = isClean && mark == 0;
    report(name + ", marks are left clean", isClean ? 0 : 1, 0, bad.download()[0] == 0);
  }
  Array<float> broken(std::vector<float>{1, NAN, 2, 0.5f}), raw(4), logprob(1), floats(std::vector<float>{0, 1, 0, 1, 0, 0});
  Array<int32_t> ints(std::vector<int32_t>{0, 0, 0, 0, -1, 0, 0, 0}), bounds(std::vector<int32_t>{0, 0}), marks(std::vector<int32_t>(4, 0)), id(1), rank(1), none(std::vector<int32_t>{-1});
  Array<uint32_t> bad(std::vector<uint32_t>{0});
  pm::cuda::sample({broken.d(), 1, 4, 0, floats.d(), ints.d(), nullptr, bounds.d(), none.d(), none.d(), marks.d(), raw.d(), false, id.d(), rank.d(),
                    logprob.d(), 0, id.d(), logprob.d(), bad.d()}, nullptr);
  report("sample counts rows that hold NaN", bad.download()[0] == 1 ? 0 : 1, 0, true);
}

}  // namespace check
