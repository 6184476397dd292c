#include "twins.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "../backend.h"
#include "../numbers.h"
#include "fp8.h"

namespace pm::cuda::twin {
namespace {

char* addressOf(const void* pages, size_t slot, int kvHead, int channel, int kvHeads, int padded, KvType type) {
  return static_cast<char*>(const_cast<void*>(pages)) + tileOffset(slot / kPageTokens, kvHead, kvHeads, padded, type) +
         offsetInTile((int)(slot % kPageTokens), channel, padded, type);
}

double rootOf(const float* x, int n, double eps) {
  double squares = 0;
  for (int i = 0; i < n; i++) squares += (double)x[i] * x[i];
  return std::sqrt(squares / n + eps);
}

}  // namespace

// e4m3: sign, 4 bits of exponent with bias 7, 3 of mantissa; 448 is the greatest, 0x7f is NaN. To nearest even.
double fromE4m3(uint8_t x) {
  static const std::array<double, 256> values = [] {
    std::array<double, 256> all{};
    for (int code = 0; code < 256; code++) {
      const int exponent = code >> 3 & 15, mantissa = code & 7;
      const double size = exponent ? std::ldexp(1 + mantissa / 8.0, exponent - 7) : std::ldexp(mantissa, -9);
      all[(size_t)code] = (code & 0x7f) == 0x7f ? std::numeric_limits<double>::quiet_NaN() : code & 0x80 ? -size : size;
    }
    return all;
  }();
  return values[x];
}
uint8_t toE4m3(double x) {
  uint8_t best = 0;
  for (int i = 0; i < 0x7f; i++) {
    const double distance = std::fabs(fromE4m3((uint8_t)i) - std::fabs(x)), least = std::fabs(fromE4m3(best) - std::fabs(x));
    if (distance < least || (distance == least && i % 2 == 0)) best = (uint8_t)i;
  }
  return (uint8_t)(best | (std::signbit(x) ? 0x80 : 0));
}

double readPage(const void* pages, size_t slot, int kvHead, int channel, int kvHeads, int padded, KvType type) {
  const char* at = addressOf(pages, slot, kvHead, channel, kvHeads, padded, type);
  if (type == KvType::E4m3) return fromE4m3((uint8_t)*at);
  uint16_t half;
  memcpy(&half, at, 2);
  return fromBf16(half);
}
void writePage(void* pages, size_t slot, int kvHead, int channel, int kvHeads, int padded, KvType type, double value) {
  char* at = addressOf(pages, slot, kvHead, channel, kvHeads, padded, type);
  const uint16_t half = toBf16((float)value);
  if (type == KvType::E4m3) *at = (char)toE4m3(value);
  else memcpy(at, &half, 2);
}

void embed(const EmbedTask& t) {
  for (int row = 0; row < t.rows; row++)
    for (int i = 0; i < t.n; i++) t.out[(size_t)row * t.n + i] = fromBf16(t.table[(size_t)t.ids[row] * t.n + i]) * t.scale;
}

void rmsNorm(const NormTask& t) {
  for (int row = 0; row < t.rows; row++) {
    float* x = t.x + (size_t)row * t.n;
    if (t.delta) {
      const float* delta = t.delta + (size_t)row * t.n;
      const double root = t.deltaWeight ? rootOf(delta, t.n, t.eps) : 1;
      for (int i = 0; i < t.n; i++) x[i] = (float)(x[i] + delta[i] / root * (t.deltaWeight ? t.deltaWeight[i] : 1));
    }
    const double root = rootOf(x, t.n, t.eps);
    for (int i = 0; i < t.n; i++) t.out[(size_t)row * t.n + i] = toBf16((float)(x[i] / root * t.weight[i]));
  }
}

void ropeAngles(const AnglesTask& t) {
  for (int table = 0; table < t.tables; table++)
    for (int row = 0; row < t.rows; row++)
      for (int i = 0; i < t.half; i++) {
        const double angle = (double)t.positions[row] * t.inverseFrequencies[table * t.half + i];
        t.cosines[((size_t)table * t.maxRows + row) * t.half + i] = (float)(std::cos(angle) * t.factors[table]);
        t.sines[((size_t)table * t.maxRows + row) * t.half + i] = (float)(std::sin(angle) * t.factors[table]);
      }
}

void rope(const RopeTask& t) {
  const int all = t.heads + 2 * t.kvHeads, d = t.headDim;
  for (int row = 0; row < t.rows; row++)
    for (int head = 0; head < all; head++) {
      const bool isQuery = head < t.heads, isValue = head >= t.heads + t.kvHeads;
      const float* in = t.qkv + ((size_t)row * all + head) * d;
      const float* norm = isValue ? nullptr : isQuery ? t.qNorm : t.kNorm;
      std::vector<double> x((size_t)t.padded, 0.0);
      const double root = norm ? rootOf(in, d, t.eps) : 1;
      for (int i = 0; i < d; i++) x[(size_t)i] = in[i] / root * (norm ? norm[i] : 1);
      for (int i = 0; i < t.half && !isValue; i++) {
        const double a = x[(size_t)i], b = x[(size_t)(t.half + i)];
        const double c = t.cosines[(size_t)row * t.half + i], s = t.sines[(size_t)row * t.half + i];
        x[(size_t)i] = a * c - b * s;
        x[(size_t)(t.half + i)] = b * c + a * s;
      }
      for (int i = 0; i < t.padded; i++) {
        const double value = x[(size_t)i];
        if (isQuery) t.q[((size_t)row * t.heads + head) * t.padded + i] = toBf16((float)value);
        else if (t.slots[row] >= 0)
          writePage(isValue ? t.values : t.keys, (size_t)t.slots[row], head - t.heads - (isValue ? t.kvHeads : 0), i, t.kvHeads,
                    t.padded, t.type, value);
      }
    }
}

void attend(const AttentionTask& t) {
  const int group = t.heads / t.kvHeads;
  for (int index = 0; index < t.itemCount; index++) {
    const AttentionItem& item = t.items[index];
    for (int query = 0; query < item.queries; query++)
      for (int head = 0; head < t.heads; head++) {
        const int position = item.position + query, kvHead = head / group, row = query * group + head % group;
        const int from = std::max(item.begin, t.window > 0 ? position - t.window + 1 : 0), to = std::min(item.end, position + 1);
        const Bf16* q = t.q + ((size_t)(item.row + query) * t.heads + head) * t.padded;
        const auto slotOf = [&](int token) { return (size_t)t.tables[item.table + token / kPageTokens] * kPageTokens + (size_t)(token % kPageTokens); };
        std::vector<double> scores;
        double most = -std::numeric_limits<double>::infinity(), sum = 0;
        for (int token = from; token < to; token++) {
          double s = 0;
          for (int i = 0; i < t.headDim; i++) s += fromBf16(q[i]) * readPage(t.keys, slotOf(token), kvHead, i, t.kvHeads, t.padded, t.type);
          s *= t.scale;
          if (t.softcap > 0) s = t.softcap * std::tanh(s / t.softcap);
          scores.push_back(s);
          most = std::max(most, s);
        }
        for (double& s : scores) sum += s = std::exp(s - most);
        for (int i = 0; i < t.headDim; i++) {
          double value = 0;
          for (int token = from; token < to; token++)
            value += scores[(size_t)(token - from)] / sum * readPage(t.values, slotOf(token), kvHead, i, t.kvHeads, t.padded, t.type);
          if (item.partial < 0) t.out[((size_t)(item.row + query) * t.heads + head) * t.headDim + i] = toBf16((float)value);
          else t.partials[(((size_t)item.partial * t.kvHeads + kvHead) * 16 + row) * t.padded + i] = (float)value;
        }
        if (item.partial >= 0)
          t.partialSums[((size_t)item.partial * t.kvHeads + kvHead) * 16 + row] =
              sum > 0 ? (float)((most + std::log(sum)) * 1.4426950408889634) : -1e30f;
      }
  }
}

void mergePartials(const MergeTask& t) {
  const int group = t.heads / t.kvHeads;
  for (int index = 0; index < t.itemCount; index++)
    for (int query = 0; query < t.items[index].queries; query++)
      for (int head = 0; head < t.heads; head++)
        for (int i = 0; i < t.headDim; i++) {
          const MergeItem& item = t.items[index];
          const auto at = [&](int part) { return ((size_t)(item.first + part) * t.kvHeads + head / group) * 16 + query * group + head % group; };
          double most = -1e30, sum = 0, value = 0;
          for (int part = 0; part < item.count; part++) most = std::max(most, (double)t.partialSums[at(part)]);
          for (int part = 0; part < item.count; part++) {
            const double weight = t.partialSums[at(part)] <= -1e30f ? 0 : std::exp2(t.partialSums[at(part)] - most);
            sum += weight;
            value += weight * t.partials[at(part) * (size_t)t.padded + (size_t)i];
          }
          t.out[((size_t)(item.row + query) * t.heads + head) * t.headDim + i] = toBf16((float)(sum > 0 ? value / sum : 0));
        }
}

void gemm(const GemmTask& t) {
  if (t.starts) {
    for (int expert = 0; expert < t.experts; expert++)
      for (int row = t.starts[expert]; row < t.starts[expert + 1]; row++) {
        GemmTask one = t;
        one.starts = one.rowsOf = nullptr;
        one.x += (size_t)(t.rowsOf ? t.rowsOf[row] : row) * (size_t)t.k;
        one.y += (size_t)row * (size_t)t.n;
        one.w += (size_t)expert * (size_t)t.n * (size_t)t.k;
        if (t.w8) {
          one.w8 += (size_t)expert * (size_t)t.n * (size_t)t.k;
          one.scales += (size_t)expert * (size_t)t.n;
        }
        one.rows = 1;
        gemm(one);
      }
    return;
  }
  for (int row = 0; row < t.rows; row++)
    for (int n = 0; n < t.n; n++) {
      const auto weight = [&](int k) {
        return t.w8 ? fromE4m3(t.w8[(size_t)n * t.k + fp8Place(k)]) * t.scales[n] : (double)fromBf16(t.w[(size_t)n * t.k + k]);
      };
      double sum = t.bias ? t.bias[n] : 0;
      for (int k = 0; k < t.k; k++) sum += (double)fromBf16(t.x[(size_t)row * t.k + k]) * weight(k);
      float& y = t.y[(size_t)row * t.n + n];
      y = (float)(t.accumulate ? y + sum : sum);
    }
}

void expandWeights(const ExpandTask& t) {
  for (int n = 0; n < t.n; n++)
    for (int k = 0; k < t.k; k++)
      t.out[(size_t)n * t.k + k] = toBf16((float)(fromE4m3(t.w8[(size_t)n * t.k + fp8Place(k)]) * t.scales[n]));
}

void route(const RouteTask& t) {
  for (int row = 0; row < t.rows; row++) {
    const float* logits = t.logits + (size_t)row * t.experts;
    std::vector<int> order((size_t)t.experts);
    for (int i = 0; i < t.experts; i++) order[(size_t)i] = i;
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return logits[a] > logits[b]; });
    double total = 0;
    for (int i = 0; i < (t.renormalizes ? t.perToken : t.experts); i++) total += std::exp((double)logits[order[(size_t)i]] - logits[order[0]]);
    for (int rank = 0; rank < t.perToken; rank++) {
      t.ids[(size_t)row * t.perToken + rank] = order[(size_t)rank];
      t.weights[(size_t)row * t.perToken + rank] = (float)(std::exp((double)logits[order[(size_t)rank]] - logits[order[0]]) / total);
    }
  }
}

void sortByExpert(const ExpertSortTask& t) {
  int place = 0;
  for (int expert = 0; expert < t.experts; expert++) {
    t.starts[expert] = place;
    for (int i = 0; i < t.rows * t.perToken; i++)
      if (t.ids[i] == expert) {
        t.places[i] = place;
        t.rowsOf[place++] = i / t.perToken;
      }
  }
  t.starts[t.experts] = place;
}

void combineExperts(const CombineTask& t) {
  for (int row = 0; row < t.rows; row++)
    for (int i = 0; i < t.n; i++) {
      double sum = 0;
      for (int rank = 0; rank < t.perToken; rank++) {
        const size_t pair = (size_t)row * t.perToken + rank;
        sum += (double)t.weights[pair] * t.outputs[(size_t)t.places[pair] * t.n + i];
      }
      float& out = t.out[(size_t)row * t.n + i];
      out = (float)(t.accumulate ? out + sum : sum);
    }
}

void gate(const GateTask& t) {
  for (int row = 0; row < t.rows; row++)
    for (int i = 0; i < t.n; i++) {
      const double x = t.gateUp[(size_t)row * 2 * t.n + i], up = t.gateUp[((size_t)row * 2 + 1) * t.n + i];
      const double activated = t.gelu ? x / 2 * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))) : x / (1 + std::exp(-x));
      t.out[(size_t)row * t.n + i] = toBf16((float)(activated * up));
    }
}

void gatherRows(const GatherTask& t) {
  for (int i = 0; i < t.count; i++)
    memcpy(static_cast<char*>(t.out) + (size_t)i * t.bytes, static_cast<const char*>(t.in) + (size_t)t.rows[i] * t.bytes, t.bytes);
}

void copyPages(const PageCopyTask& t) {
  for (int i = 0; i < t.count; i++)
    memcpy(static_cast<char*>(t.to) + (size_t)t.pairs[2 * i + 1] * t.pageBytes,
           static_cast<const char*>(t.from) + (size_t)t.pairs[2 * i] * t.pageBytes, t.pageBytes);
}

namespace {

struct Entry { double value; int id; };

// What may be drawn of one row, best first.
std::vector<Entry> keptOf(const std::vector<float>& x, const float* floats, const int32_t* ints) {
  std::vector<Entry> kept;
  for (size_t i = 0; i < x.size(); i++)
    if (x[i] > -std::numeric_limits<float>::infinity()) kept.push_back({x[i], (int)i});
  std::stable_sort(kept.begin(), kept.end(), [](const Entry& a, const Entry& b) { return a.value > b.value; });
  const auto k = (size_t)ints[0];
  if (k > 0 && k < kept.size())
    kept.erase(std::find_if(kept.begin() + (ptrdiff_t)k, kept.end(), [&](const Entry& e) { return e.value < kept[k - 1].value; }), kept.end());
  if (floats[1] < 1 && !kept.empty()) {
    double total = 0, before = 0;
    for (const Entry& e : kept) total += std::exp(e.value - kept[0].value);
    size_t count = 0;
    while (count < kept.size() && before < total * floats[1]) before += std::exp(kept[count++].value - kept[0].value);
    kept.resize(std::max<size_t>(1, count));
  }
  if (floats[2] > 0)
    while (kept.size() > 1 && kept.back().value < kept[0].value + std::log((double)floats[2])) kept.pop_back();
  return kept;
}

}  // namespace

void sample(const SampleTask& t) {
  for (int row = 0; row < t.rows; row++) {
    const float* floats = t.floats + (size_t)row * PM_SAMPLING_FLOATS;
    const int32_t* ints = t.ints + (size_t)row * PM_SAMPLING_INTS;
    std::vector<float> x(t.logits + (size_t)row * t.vocab, t.logits + (size_t)(row + 1) * t.vocab);
    if (t.softcap > 0)
      for (float& v : x) v = (float)(t.softcap * std::tanh((double)v / t.softcap));
    const std::vector<float> raw = x;
    if (t.keepsRaw) std::copy(raw.begin(), raw.end(), t.raw + (size_t)row * t.vocab);
    for (int i = t.biasStarts[row]; i < t.biasStarts[row + 1]; i++) x[(size_t)t.lists->biasIds[i]] += t.lists->biasValues[i];
    if (t.maskOf[row] >= 0)
      for (int i = 0; i < t.vocab; i++)
        if (!(t.lists->masks[(size_t)t.maskOf[row] * ((size_t)(t.vocab + 31) / 32) + (size_t)i / 32] >> (i % 32) & 1)) x[(size_t)i] = -std::numeric_limits<float>::infinity();
    std::vector<int> counts((size_t)t.vocab, -1);
    for (int i = 0; i < ints[7]; i++) {
      int& count = counts[(size_t)t.lists->history[ints[5] + i]];
      count = std::max(count, 0) + (i >= ints[6] ? 1 : 0);
    }
    for (size_t i = 0; i < x.size(); i++) {
      if (counts[i] < 0) continue;
      x[i] = x[i] > 0 ? x[i] / floats[3] : x[i] * floats[3];
      if (counts[i] > 0) x[i] -= floats[5] * (float)counts[i] + floats[4];
    }
    const auto best = std::max_element(x.begin(), x.end());
    int id = *best > -std::numeric_limits<float>::infinity() ? (int)(best - x.begin()) : 0;
    if (floats[0] >= 1e-5f && *best > -std::numeric_limits<float>::infinity()) {
      for (float& v : x) v /= floats[0];
      auto kept = keptOf(x, floats, ints);
      const double top = kept[0].value;
      std::sort(kept.begin(), kept.end(), [](const Entry& a, const Entry& b) { return a.id < b.id; });
      double total = 0;
      for (const Entry& e : kept) total += std::exp(e.value - top);
      double left = total * uniform((uint64_t)(uint32_t)ints[2] << 32 | (uint32_t)ints[1], (uint64_t)(uint32_t)ints[3]);
      id = kept.back().id;
      for (const Entry& e : kept)
        if ((left -= std::exp(e.value - top)) < 0) {
          id = e.id;
          break;
        }
    }
    if (t.forced[row] >= 0) id = t.forced[row];
    t.ids[row] = id;
    t.logprobs[row] = 0;
    t.ranks[row] = 0;
    if (ints[4] < 0) continue;
    double sum = 0;
    for (const float v : raw) sum += std::exp((double)v);
    t.logprobs[row] = (float)(raw[(size_t)id] - std::log(sum));
    t.ranks[row] = 1 + (int)std::count_if(raw.begin(), raw.end(), [&](float v) { return v > raw[(size_t)id]; });
    std::vector<int> order((size_t)t.vocab);
    for (int i = 0; i < t.vocab; i++) order[(size_t)i] = i;
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return raw[(size_t)a] > raw[(size_t)b]; });
    for (int i = 0; i < ints[4]; i++) {
      const bool isThere = i < t.vocab;
      t.topIds[(size_t)row * t.topStride + i] = isThere ? order[(size_t)i] : -1;
      t.topLogprobs[(size_t)row * t.topStride + i] =
          isThere ? (float)(raw[(size_t)order[(size_t)i]] - std::log(sum)) : -std::numeric_limits<float>::infinity();
    }
  }
}

void applyDeltas(const DeltaTask& t) {
  for (int i = 0; i < t.count; i++)
    if (const auto& [row, column, block] = t.deltas[i]; block >= 0) t.tables[row * t.columns + column] = block;
}

void feedTokens(const FeedTask& t) {
  for (int i = 0; i < t.count; i++)
    if (t.ids[i] < 0) t.ids[i] = t.chosen[-1 - t.ids[i]];
}

}  // namespace pm::cuda::twin
