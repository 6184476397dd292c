// What works on rows: norms, gates, experts, logits.
#include "self-test-checks.h"

#include <cstring>

#include "kernels/reference.h"
#include "numbers.h"

namespace pm {

double checkRmsNorm(const Kernels& kernels) {
  double worst = 0;
  for (const bool withDelta : {false, true})
    for (const size_t n : {size_t{20}, size_t{768}}) {
      const size_t rows = 3, stride = (n + 15) / 16 * 16 + 16;
      Floats x = random(rows * stride, 4), delta = random(rows * stride, 5), weight = random(stride, 6);
      for (size_t row = 0; row < rows; row++)
        for (size_t i = n; i < stride; i++) x[row * stride + i] = delta[row * stride + i] = weight[i] = 0;
      Floats twinX = x, found(rows * stride), expected(rows * stride);
      RmsNormTask task{x.data(), withDelta ? delta.data() : nullptr, weight.data(), found.data(), rows, n, stride, stride, stride, 1e-5f};
      kernels.rmsNorm(task);
      task.x = twinX.data();
      task.out = expected.data();
      reference::rmsNorm(task);
      worst = std::max({worst, compare(found, expected), compare(x, twinX)});
    }
  return worst;
}

double checkGate(void (*kernel)(const SwigluTask&), void (*twin)(const SwigluTask&)) {
  const size_t rows = 3, panels = 5;
  Floats in = random(rows * panels * 32, 14), found(rows * panels * 16), expected(rows * panels * 16);
  for (auto& v : in) v *= 30;
  SwigluTask task{in.data(), found.data(), rows, panels, panels * 32, panels * 16};
  kernel(task);
  task.out = expected.data();
  twin(task);
  return compare(found, expected);
}

// Relative to each value, because small ones must keep their digits.
double checkSoftcap(const Kernels& kernels) {
  const size_t n = 4096;
  Floats found = random(n, 16), expected;
  for (size_t i = 0; i < n; i++) found[i] *= std::pow(10.0f, (float)(i % 8) - 4.0f);
  expected = found;
  kernels.softcap(found.data(), n, 30.0f);
  reference::softcap(expected.data(), n, 30.0f);
  double worst = 0;
  for (size_t i = 0; i < n; i++)
    if (expected[i] != 0) worst = std::max(worst, std::fabs((double)found[i] / (double)expected[i] - 1));
  return worst;
}

double checkExperts(const Kernels& kernels) {
  double worst = 0;
  for (const bool renormalize : {false, true})
    for (const size_t experts : {size_t{4}, size_t{60}, size_t{128}}) {
      const size_t rows = 7, stride = (experts + 15) / 16 * 16, perToken = experts == 4 ? 2 : 8, n = 48;
      Floats logits = random(rows * stride, 17), weights(rows * perToken), twinWeights(rows * perToken);
      for (auto& v : logits) v *= 8;
      logits[3] = logits[1] = 9;  // equal: the lower index wins
      Floats twinLogits = logits;
      std::vector<int32_t> ids(rows * perToken), twinIds(rows * perToken), places(rows * perToken);
      kernels.route({logits.data(), stride, ids.data(), weights.data(), rows, experts, perToken, renormalize});
      reference::route({twinLogits.data(), stride, twinIds.data(), twinWeights.data(), rows, experts, perToken, renormalize});
      if (ids != twinIds) return INFINITY;
      for (size_t i = 0; i < places.size(); i++) places[i] = (int32_t)((i * 5) % places.size());
      const Floats outputs = random(places.size() * n, 18);
      Floats found(rows * n), expected(rows * n);
      CombineTask task{outputs.data(), n, places.data(), weights.data(), found.data(), n, rows, n, perToken};
      kernels.combine(task);
      task.out = expected.data();
      reference::combine(task);
      worst = std::max({worst, compare(weights, twinWeights), compare(found, expected)});
    }
  return worst;
}

double checkBan(const Kernels& kernels) {
  const size_t n = 1008;
  Floats x = random(n, 24);
  std::vector<uint32_t> allowed((n + 31) / 32);
  for (size_t i = 0; i < allowed.size(); i++) allowed[i] = i % 3 == 0 ? ~0u : i % 3 == 1 ? 0u : (uint32_t)mix(i);
  Floats expected = x;
  for (size_t i = 0; i < n; i++)
    if (!(allowed[i / 32] >> i % 32 & 1)) expected[i] = -INFINITY;
  kernels.ban(x.data(), allowed.data(), n);
  return x == expected ? 0 : INFINITY;
}

double checkLogits(const Kernels& kernels) {
  const size_t n = 5008;
  Floats x = random(n, 15);
  for (auto& v : x) v *= 20;
  x[n - 1] = -INFINITY;
  const float top = kernels.maxOf(x.data(), n);
  if (top != reference::maxOf(x.data(), n)) return INFINITY;
  const size_t at = kernels.findEqual(x.data(), n, top);
  if (at >= n || x[at] != top || kernels.countGreater(x.data(), n, x[7]) != (size_t)std::count_if(x.begin(), x.end(), [&](float v) { return v > x[7]; }))
    return INFINITY;
  size_t greater = 0;
  for (size_t i = kernels.findGreater(x.data(), 0, n, 19.0f); i < n; i = kernels.findGreater(x.data(), i + 1, n, 19.0f)) greater++;
  if (greater != kernels.countGreater(x.data(), n, 19.0f)) return INFINITY;
  Floats weights(n);
  std::vector<double> sums(n / kSumBlock + 1);
  kernels.expShifted(weights.data(), x.data(), n, top, sums.data());
  double total = 0, worst = 0;
  for (const double s : sums) total += s;
  for (size_t i = 0; i < n; i++) {
    const double e = std::exp((double)x[i] - (double)top);
    worst = std::max(worst, e > 1e-37 ? std::fabs((double)weights[i] - e) / e : (double)weights[i]);
  }
  const double expected = reference::sumExp(x.data(), n, top);
  return std::max({worst, std::fabs(total - expected) / expected, std::fabs(kernels.sumExp(x.data(), n, top) - expected) / expected});
}

}  // namespace pm
