#include <algorithm>

#include "../../../src/engine/native/cuda/fp8.h"
#include "check.h"

namespace check {

using namespace pm::cuda;

namespace {

struct Case { int rows, experts, perToken; bool renormalizes; };

std::string nameOf(const Case& c) {
  return std::to_string(c.rows) + " rows, " + std::to_string(c.perToken) + " of " + std::to_string(c.experts) + " experts";
}

// The pairs of a case, on both sides; experts near the end get none.
struct Pairs {
  Array<float> logits, weights;
  Array<int32_t> ids, starts, places, rowsOf;

  explicit Pairs(const Case& c)
      : logits(randomFloats((size_t)c.rows * c.experts, 80, 3)), weights((size_t)c.rows * c.perToken), ids((size_t)c.rows * c.perToken),
        starts((size_t)c.experts + 1), places(ids.size()), rowsOf(ids.size()) {
    for (int row = 0; row < c.rows; row++) {
      logits.host[(size_t)row * c.experts + (size_t)(row % c.experts)] = logits.host[(size_t)row * c.experts];  // two are equal
      if (c.experts > c.perToken + 1) logits.host[(size_t)(row + 1) * c.experts - 1] = -20;
    }
    logits.upload();
  }

  void check(const Case& c) {
    const auto routing = [&](bool host) {
      return RouteTask{host ? logits.h() : logits.d(), host ? ids.h() : ids.d(), host ? weights.h() : weights.d(), c.rows, c.experts, c.perToken, c.renormalizes};
    };
    const auto sorting = [&](bool host) {
      return ExpertSortTask{host ? ids.h() : ids.d(), host ? starts.h() : starts.d(), host ? places.h() : places.d(),
                            host ? rowsOf.h() : rowsOf.d(), c.rows, c.experts, c.perToken};
    };
    const bool repeats = isRepeatable(
        [&] { weights.poison(); ids.poison(); starts.poison(); places.poison(); rowsOf.poison(); },
        [&] { route(routing(false), nullptr); sortByExpert(sorting(false), nullptr); },
        [&] { return bytesOf(weights.download()) + bytesOf(ids.download()) + bytesOf(rowsOf.download()); });
    twin::route(routing(true));
    twin::sortByExpert(sorting(true));
    report("route " + nameOf(c), differenceOf(weights.download(), weights.host) + (ids.download() != ids.host), 1e-6, repeats);
    const bool equal = starts.download() == starts.host && places.download() == places.host && rowsOf.download() == rowsOf.host;
    report("sort " + nameOf(c), !equal, 0, repeats);
  }
};

void checkProducts(const Case& c, Pairs& pairs, bool fp8) {
  const int n = 72, k = 208, count = c.rows * c.perToken;
  Array<uint16_t> x(randomBf16((size_t)c.rows * k, 81)), w(randomBf16((size_t)c.experts * n * k, 82));
  Array<uint8_t> w8(w.size());
  Array<float> scales((size_t)c.experts * n), y((size_t)count * n), out(randomFloats((size_t)c.rows * n, 83));
  for (size_t row = 0; row < scales.size(); row++) {
    const std::vector<uint16_t> halves(w.host.begin() + (ptrdiff_t)(row * k), w.host.begin() + (ptrdiff_t)((row + 1) * k));
    scales.host[row] = quantizeRow(asFloats(halves).data(), k, w8.h() + row * k);
  }
  w8.upload();
  scales.upload();
  const auto product = [&](bool host) {
    GemmTask t{host ? x.h() : x.d(), host ? w.h() : w.d(), nullptr, host ? y.h() : y.d(), count, n, k, false, nullptr, nullptr};
    if (fp8) {
      t.w8 = host ? w8.h() : w8.d();
      t.scales = host ? scales.h() : scales.d();
    }
    t.experts = c.experts;
    t.starts = host ? pairs.starts.h() : pairs.starts.d();
    t.rowsOf = host ? pairs.rowsOf.h() : pairs.rowsOf.d();
    return t;
  };
  const auto sum = [&](bool host) {
    return CombineTask{host ? y.h() : y.d(), host ? pairs.places.h() : pairs.places.d(), host ? pairs.weights.h() : pairs.weights.d(),
                       host ? out.h() : out.d(), c.rows, n, c.perToken, !fp8};
  };
  const bool repeats = isRepeatable([&] { y.poison(); out.upload(); },
                                    [&] { gemm(product(false), nullptr); combineExperts(sum(false), nullptr); },
                                    [&] { return bytesOf(y.download()) + bytesOf(out.download()); });
  twin::gemm(product(true));
  twin::combineExperts(sum(true));
  const std::string kind = fp8 ? "fp8 " : "";
  report(kind + "products of " + nameOf(c), differenceOf(y.download(), y.host), 2e-5, repeats);
  report(kind + "mix of " + nameOf(c), differenceOf(out.download(), out.host), 2e-5, repeats);
}

}  // namespace

void checkExperts() {
  for (const Case& c : {Case{1, 8, 2, true}, Case{37, 8, 2, true}, Case{150, 3, 2, false}, Case{20, 128, 8, false}, Case{90, 5, 1, false}, Case{9, 300, 12, true}}) {
    Pairs pairs(c);
    pairs.check(c);
    for (const bool fp8 : {false, true}) checkProducts(c, pairs, fp8);
  }
}

}  // namespace check
