// Random shapes, chosen so that every tile height, panel width, ragged end and dtype is met.
#include "self-test.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/reference.h"
#include "matrix.h"
#include "numbers.h"

namespace pm {
namespace {

using Floats = std::vector<float>;

// Uniform in [-1, 1), a function of the seed and the index.
Floats random(size_t n, uint64_t seed) {
  Floats out(n);
  for (size_t i = 0; i < n; i++) out[i] = (float)(uniform(seed, i) * 2 - 1);
  return out;
}

double compare(const Floats& found, const Floats& expected) {
  double difference = 0, most = 1e-30;
  for (size_t i = 0; i < expected.size(); i++) {
    if (!std::isfinite(found[i])) return INFINITY;
    difference = std::max(difference, std::fabs((double)found[i] - (double)expected[i]));
    most = std::max(most, std::fabs((double)expected[i]));
  }
  return difference / most;
}

// Random weights and activations, both in the form that the kernels multiply; the twin reads the same forms, so
// what is measured is the arithmetic alone.
double checkGemm(const Kernels& kernels, Dtype dtype) {
  double worst = 0;
  for (const size_t k : {size_t{39}, size_t{300}, size_t{1100}})
    for (const size_t panels : {size_t{1}, size_t{2}, size_t{7}, size_t{11}}) {
      const Floats values = random(panels * 16 * k, 3);
      const Matrix weights(panels * 16, k, dtype);
      for (size_t panel = 0; panel < panels; panel++) {
        const float* rows16[16];
        for (size_t lane = 0; lane < 16; lane++) rows16[lane] = values.data() + (panel * 16 + lane) * k;
        weights.writePanel(panel, rows16);
      }
      for (const size_t rows : {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 23, 24, 31, 50, 75}) {
        const size_t xStride = k + 3, yStride = panels * 16 + 5;
        const Floats x = random(rows * xStride, 1), bias = random(panels * 16, 2);
        Floats found(rows * yStride), expected(rows * yStride);
        const Dtype form = kernels.inputOf(dtype);
        const Arena packed(rows * packedStride(form, k) + 1);
        GemmTask task{x.data(), xStride * sizeof(float), weights.panel(0), dtype, k, rows % 2 ? bias.data() : nullptr, found.data(), yStride, rows, panels};
        if (form != Dtype::F32) {
          task.x = packed.as<char>();
          task.xStride = packedStride(form, k);
          kernels.packActivations({x.data(), xStride, packed.as<char>(), task.xStride, rows, k, form});
        }
        kernels.gemm(task);
        task.y = expected.data();
        reference::gemm(task, form);
        worst = std::max(worst, compare(found, expected));
      }
    }
  return worst;
}

// Packed activations read back: the largest error over the bound, half a unit of the last place or half a step.
double checkPackActivations(const Kernels& kernels, Dtype form) {
  double worst = 0;
  for (const size_t k : {size_t{31}, size_t{300}}) {
    const size_t rows = 3;
    Floats x = random(rows * k, 20);
    for (size_t i = 0; i < x.size(); i++) x[i] *= std::exp2((float)(i % 13) - 6);
    for (size_t i = 0; i < std::min(k, kGroup); i++) x[i] = 0;  // a group, or a row, of zeros
    const size_t stride = packedStride(form, k);
    std::vector<char> out(rows * stride);
    kernels.packActivations({x.data(), k, out.data(), stride, rows, k, form});
    for (size_t row = 0; row < rows; row++)
      for (size_t i = 0; i < k; i++) {
        double bound = std::fabs((double)x[row * k + i]) / 256;
        if (form == Dtype::I8) {
          float most = 0;
          for (size_t j = i / kGroup * kGroup; j < std::min(k, i / kGroup * kGroup + kGroup); j++) most = std::max(most, std::fabs(x[row * k + j]));
          bound = (double)most / 254;
        }
        const double found = reference::activationAt(out.data() + row * stride, form, k, i);
        worst = std::max(worst, (std::fabs(found - (double)x[row * k + i]) - 1e-30) / (bound * 1.00001 + 1e-30));
      }
  }
  return worst <= 1 ? 0 : worst;
}

// The whole product of two quantized factors against the product of the factors as they were, over the bound that
// gemm-int8.cc states; where activations and widened weights are bf16, over what half steps of both make (gemm-amx.cc).
double checkInt8Bound(const Kernels& kernels) {
  const size_t k = 300, rows = 9, panels = 5;
  const Floats values = random(panels * 16 * k, 21), x = random(rows * k, 22);
  const Matrix weights(panels * 16, k, Dtype::I8);
  for (size_t panel = 0; panel < panels; panel++) {
    const float* rows16[16];
    for (size_t lane = 0; lane < 16; lane++) rows16[lane] = values.data() + (panel * 16 + lane) * k;
    weights.writePanel(panel, rows16);
  }
  const Dtype form = kernels.inputOf(Dtype::I8);
  const size_t stride = packedStride(form, k);
  const Arena packed(rows * stride);
  kernels.packActivations({x.data(), k, packed.as<char>(), stride, rows, k, form});
  Floats found(rows * panels * 16);
  kernels.gemm({packed.as<char>(), stride, weights.panel(0), Dtype::I8, k, nullptr, found.data(), panels * 16, rows, panels});
  const auto step = [](const float* group, size_t n) {
    float most = 0;
    for (size_t i = 0; i < n; i++) most = std::max(most, std::fabs(group[i]));
    return (double)most / 127 * (1 + 1.0 / 1024);  // the scale of weights is rounded up to float16
  };
  double worst = 0;
  for (size_t row = 0; row < rows; row++)
    for (size_t n = 0; n < panels * 16; n++) {
      double exact = 0, bound = 1e-4;
      for (size_t g = 0; g < groupsOf(k); g++) {
        const size_t from = g * kGroup, count = std::min(kGroup, k - from);
        const double stepX = step(&x[row * k + from], count), stepW = step(&values[n * k + from], count);
        for (size_t i = from; i < from + count; i++) {
          const double a = x[row * k + i], w = values[n * k + i];
          exact += a * w;
          const double errorX = form == Dtype::BF16 ? std::fabs(a) / 256 : stepX / 2;
          const double errorW = stepW / 2 + (form == Dtype::BF16 ? (std::fabs(w) + stepW / 2) / 256 : 0);
          bound += std::fabs(w) * errorX + std::fabs(a) * errorW + errorX * errorW;
        }
      }
      worst = std::max(worst, std::fabs((double)found[row * panels * 16 + n] - exact) / bound);
    }
  return worst <= 1 ? 0 : worst;
}

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

// Pages of one layer with their memory; slots beyond those written hold NaN, which must never be read.
struct Pages {
  std::vector<uint32_t> keys, values;
  KvPages view;
  Pages(Dtype dtype, size_t blocks, size_t kvHeads, size_t headDim) {
    const size_t padded = (headDim + 15) / 16 * 16;
    keys.assign(blocks * kvHeads * padded * 16, 0xffffffffu);
    values.assign(blocks * kvHeads * padded * 16, 0xffffffffu);
    view = {reinterpret_cast<char*>(keys.data()), reinterpret_cast<char*>(values.data()), dtype, kvHeads, headDim, padded};
  }
};

struct RopeCase {
  size_t heads = 4, kvHeads = 2, rows = 5;
  std::vector<int32_t> positions{0, 1, 2, 40, 41}, slots{5, 16, 31, 32, 47};
};

// What pages hold of one token and head, against what was meant to be kept, over the bound of rope.h.
double overBound(const Floats& found, const Floats& meant) {
  double most = 0, off = 0;
  for (const float x : meant) most = std::max(most, std::fabs((double)x));
  for (size_t i = 0; i < meant.size(); i++) off = std::max(off, std::fabs((double)found[i] - (double)meant[i]));
  return off / (most / 252 * (1 + 1e-5) + 1e-30);
}

// The writer of I8 pages against the same rows kept in float32. Some heads are zero, some tiny.
double checkInt8Pages(const Kernels& kernels) {
  double worst = 0;
  for (const auto& [d, rotary] : {std::pair<size_t, size_t>{20, 20}, {64, 64}, {36, 10}, {128, 128}}) {
    const RopeCase c;
    const size_t stride = (c.heads + 2 * c.kvHeads) * d;
    const Floats cosines = random(42 * paddedHalf(rotary), 7), sines = random(42 * paddedHalf(rotary), 8);
    Floats exact = random(c.rows * stride, 23);
    for (size_t i = 0; i < stride; i++) exact[i] = 0, exact[stride + i] *= 1e-30f, exact[2 * stride + i] *= 1e4f;
    Floats rounded = exact;
    Pages wide(Dtype::F32, 3, c.kvHeads, d), narrow(Dtype::I8, 3, c.kvHeads, d);
    RopeTask task{exact.data(), stride, c.positions.data(), c.slots.data(), c.rows, c.heads, rotary, cosines.data(), sines.data(),
                  nullptr, nullptr, 1e-6f, 0.25f, wide.view};
    kernels.rope(task);
    task.qkv = rounded.data();
    task.pages = narrow.view;
    kernels.rope(task);
    for (const int32_t slot : c.slots)
      for (size_t h = 0; h < c.kvHeads; h++)
        for (const auto at : {reference::keyAt, reference::valueAt}) {
          Floats found, meant;
          for (size_t i = 0; i < d; i++) {
            found.push_back((float)at(narrow.view, (size_t)slot, h, i));
            meant.push_back((float)at(wide.view, (size_t)slot, h, i));
          }
          worst = std::max(worst, overBound(found, meant));
        }
  }
  return worst <= 1 ? 0 : worst;
}

double checkRope(const Kernels& kernels, Dtype dtype) {
  double worst = 0;
  for (const bool norm : {false, true})
    for (const auto& [d, rotary] : {std::pair<size_t, size_t>{20, 20}, {64, 64}, {36, 10}}) {
      const RopeCase c;
      const size_t stride = (c.heads + 2 * c.kvHeads) * d + 7;
      Floats cosines = random(42 * paddedHalf(rotary), 7), sines = random(42 * paddedHalf(rotary), 8);
      const Floats qNorm = random(d, 9), kNorm = random(d, 10);
      Floats found = random(c.rows * stride, 11), expected = found;
      Pages pages(dtype, 3, c.kvHeads, d), twin(dtype, 3, c.kvHeads, d);
      RopeTask task{found.data(), stride, c.positions.data(), c.slots.data(), c.rows, c.heads, rotary, cosines.data(), sines.data(),
                    norm ? qNorm.data() : nullptr, norm ? kNorm.data() : nullptr, 1e-6f, 0.25f, pages.view};
      kernels.rope(task);
      task.qkv = expected.data();
      task.pages = twin.view;
      reference::rope(task);
      Floats foundQ, expectedQ, foundKv, expectedKv;
      for (size_t row = 0; row < c.rows; row++)
        for (size_t i = 0; i < c.heads * d; i++) {
          foundQ.push_back(found[row * stride + i]);
          expectedQ.push_back(expected[row * stride + i]);
        }
      for (const int32_t slot : c.slots)
        for (size_t h = 0; h < c.kvHeads; h++)
          for (size_t i = 0; i < d; i++) {
            foundKv.push_back((float)reference::keyAt(pages.view, (size_t)slot, h, i));
            expectedKv.push_back((float)reference::keyAt(twin.view, (size_t)slot, h, i));
            foundKv.push_back((float)reference::valueAt(pages.view, (size_t)slot, h, i));
            expectedKv.push_back((float)reference::valueAt(twin.view, (size_t)slot, h, i));
          }
      worst = std::max({worst, compare(foundQ, expectedQ), compare(foundKv, expectedKv)});
    }
  return worst;
}

// Where queries and probabilities are rounded: over the bound that follows, for queries that are rounded already. A
// probability is off by at most 2^-8 of itself, so a weighted mean of values up to 2 by 2^-7; a single token's is exact.
double checkAttention(const Kernels& kernels, Dtype dtype) {
  const bool isRounded = kernels.attendsInBf16 && dtype == Dtype::BF16;
  double worst = 0;
  for (const size_t group : {size_t{1}, size_t{3}, size_t{8}})
    for (const size_t d : {size_t{20}, size_t{64}, size_t{128}})
      for (const auto& [window, cap] : {std::pair<size_t, float>{0, 0.0f}, {1, 0.0f}, {37, 0.0f}, {0, 5.0f}, {37, 5.0f}})
        for (const auto& [first, queries] : {std::pair<size_t, size_t>{0, 1}, {0, 8}, {60, 7}, {200, 1}, {125, 3}}) {
          const size_t kvHeads = 2, tokens = first + queries, blocks = tokens / 16 + 1;
          Pages pages(dtype, blocks, kvHeads, d);
          std::vector<int32_t> table, slots, positions;
          for (size_t b = 0; b < blocks; b++) table.push_back((int32_t)(blocks - 1 - b));
          for (size_t t = 0; t < tokens; t++) {
            slots.push_back(table[t / 16] * 16 + (int32_t)(t % 16));
            positions.push_back(0);
          }
          // Fills the cache through the twin of the writer, unrotated.
          Floats qkv = random(tokens * 3 * kvHeads * d, 12);
          for (auto& v : qkv) v *= 2;
          const Floats ones(paddedHalf(d), 1.0f), zeros(paddedHalf(d), 0.0f);
          RopeTask fill{qkv.data(), 3 * kvHeads * d, positions.data(), slots.data(), tokens, kvHeads, d, ones.data(), zeros.data(), nullptr, nullptr, 0, 1, pages.view};
          reference::rope(fill);

          const size_t stride = group * d + 3;
          Floats q = random(queries * stride, 13);
          if (isRounded)
            for (auto& v : q) v = fromBf16(toBf16(v));
          Floats found(queries * stride), expected(queries * stride);
          std::vector<float> scratch(attentionScratch(queries * group, pages.view.paddedHeadDim));
          AttentionTask task{q.data(), stride, found.data(), stride, queries, first, table.data(), pages.view, 1, group, window, cap, scratch.data()};
          kernels.attention(task);
          task.out = expected.data();
          reference::attention(task);
          double error = compare(found, expected);
          if (isRounded && window != 1) {
            double most = 0;
            for (const float v : expected) most = std::max(most, (double)std::fabs(v));
            error = error * most <= 0x1p-7 ? 0 : error;
          }
          worst = std::max(worst, error);
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

}  // namespace

std::vector<Check> selfTest(const Kernels& kernels) {
  return {{"gemm F32", checkGemm(kernels, Dtype::F32)},   {"gemm BF16", checkGemm(kernels, Dtype::BF16)},
          {"gemm F16", checkGemm(kernels, Dtype::F16)},   {"gemm I8", checkGemm(kernels, Dtype::I8)},
          {"packActivations BF16", checkPackActivations(kernels, Dtype::BF16)},
          {"packActivations I8", checkPackActivations(kernels, Dtype::I8)},
          {"gemm I8 within its error bound", checkInt8Bound(kernels)}, {"rmsNorm", checkRmsNorm(kernels)},
          {"rope F32", checkRope(kernels, Dtype::F32)},   {"rope BF16", checkRope(kernels, Dtype::BF16)},
          {"attention F32", checkAttention(kernels, Dtype::F32)}, {"attention BF16", checkAttention(kernels, Dtype::BF16)},
          {"attention I8", checkAttention(kernels, Dtype::I8)}, {"I8 pages within their error bound", checkInt8Pages(kernels)},
          {"swiglu", checkGate(kernels.swiglu, reference::swiglu)},
          {"geglu", checkGate(kernels.geglu, reference::geglu)},
          {"softcap", checkSoftcap(kernels)},             {"experts", checkExperts(kernels)},
          {"logits", checkLogits(kernels)},               {"ban", checkBan(kernels)}};
}

}  // namespace pm
