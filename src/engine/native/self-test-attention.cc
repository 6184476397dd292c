// Rotation, pages and attention.
#include "self-test-checks.h"

#include <cstring>

#include "kernels/reference.h"
#include "numbers.h"

namespace pm {

namespace {

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

}  // namespace

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

}  // namespace pm
