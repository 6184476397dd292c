#include "reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "../numbers.h"

namespace pm::reference {
namespace {

double read(const void* data, Dtype dtype, size_t index) {
  if (dtype == Dtype::F32) return (double)static_cast<const float*>(data)[index];
  const uint16_t half = static_cast<const uint16_t*>(data)[index];
  return (double)(dtype == Dtype::BF16 ? fromBf16(half) : fromF16(half));
}

void write(void* data, Dtype dtype, size_t index, double value) {
  if (dtype == Dtype::F32) static_cast<float*>(data)[index] = (float)value;
  else static_cast<uint16_t*>(data)[index] = toBf16((float)value);
}

// The elements of one token and one kv head among those of a page.
struct Stored {
  char* tile;
  size_t channels;
  bool isKey;
  size_t at(Dtype dtype, size_t slot, size_t channel) const {
    return isKey ? keyIndex(dtype, slot % 16, channel) : valueIndex(dtype, channels, slot % 16, channel);
  }
  uint16_t* scale(size_t slot) const { return reinterpret_cast<uint16_t*>(tile + kvScalesAt(channels)) + slot % 16; }
};

Stored keysOf(const KvPages& pages, size_t slot, size_t kvHead) {
  const size_t tile = slot / 16 * pages.kvHeads + kvHead;
  return {pages.keys + tile * kvTileBytes(pages.dtype, pages.headDim), pages.headDim, true};
}

Stored valuesOf(const KvPages& pages, size_t slot, size_t kvHead) {
  const size_t tile = slot / 16 * pages.kvHeads + kvHead;
  return {pages.values + tile * kvTileBytes(pages.dtype, pages.paddedHeadDim), pages.paddedHeadDim, false};
}

double readStored(const KvPages& pages, const Stored& s, size_t slot, size_t channel) {
  const size_t index = s.at(pages.dtype, slot, channel);
  if (pages.dtype != Dtype::I8) return read(s.tile, pages.dtype, index);
  return (double)reinterpret_cast<const int8_t*>(s.tile)[index] * (double)fromBf16(*s.scale(slot));
}

void writeStored(const KvPages& pages, const Stored& s, size_t slot, const std::vector<double>& x) {
  if (pages.dtype != Dtype::I8) {
    for (size_t i = 0; i < x.size(); i++) write(s.tile, pages.dtype, s.at(pages.dtype, slot, i), x[i]);
    return;
  }
  double most = 0;
  for (const double value : x) most = std::fmax(most, std::fabs(value));
  uint16_t scale = toBf16((float)(most / 127));
  if ((double)fromBf16(scale) < most / 127) scale++;  // the next bfloat16 up
  *s.scale(slot) = scale;
  for (size_t i = 0; i < x.size(); i++)
    reinterpret_cast<int8_t*>(s.tile)[s.at(pages.dtype, slot, i)] = (int8_t)(most > 0 ? std::nearbyint(x[i] / (double)fromBf16(scale)) : 0);
}

const char* panelOf(const GemmTask& t, size_t output) {
  return static_cast<const char*>(t.weights) + output / 16 * panelBytes(t.dtype, t.k);
}

// Of weights in 8 bits.
int quantumAt(const GemmTask& t, size_t output, size_t k) {
  return (int)(uint8_t)panelOf(t, output)[(k / 4 * 16 + output % 16) * 4 + k % 4] - 128;
}
double scaleAt(const GemmTask& t, size_t output, size_t k) {
  return read(panelOf(t, output) + groupsOf(t.k) * kGroup * 16, Dtype::F16, k / kGroup * 16 + output % 16);
}

// As bf16: cut, with a scale of 15 bits that makes up for it (gemm-amx.cc).
double widenedAt(const GemmTask& t, size_t output, size_t k) {
  const auto keep = [](float x, uint32_t mask) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    bits &= mask;
    memcpy(&x, &bits, 4);
    return x;
  };
  const float scale = keep((float)scaleAt(t, output, k) * (1.0f + kCutLoss), ~0x1ffu);
  return (double)keep((float)quantumAt(t, output, k) * scale, ~0xffffu);
}

}  // namespace

double weightAt(const GemmTask& t, size_t output, size_t k) {
  const char* panel = panelOf(t, output);
  const size_t lane = output % 16;
  if (t.dtype == Dtype::BF16) return read(panel, t.dtype, (k / 2 * 16 + lane) * 2 + k % 2);
  if (t.dtype != Dtype::I8) return read(panel, t.dtype, k * 16 + lane);
  return quantumAt(t, output, k) * scaleAt(t, output, k);
}
double activationAt(const void* row, Dtype form, size_t k, size_t index) {
  if (form != Dtype::I8) return read(row, form, index);
  const auto* bytes = static_cast<const signed char*>(row);
  return bytes[index] * read(bytes + scalesAt(k), Dtype::F32, index / kGroup);
}
double keyAt(const KvPages& pages, size_t slot, size_t kvHead, size_t channel) {
  return readStored(pages, keysOf(pages, slot, kvHead), slot, channel);
}
double valueAt(const KvPages& pages, size_t slot, size_t kvHead, size_t channel) {
  return readStored(pages, valuesOf(pages, slot, kvHead), slot, channel);
}

void gemm(const GemmTask& t, Dtype form) {
  // Weights of 8 bits that meet bf16 are widened to it.
  const auto weight = [&](size_t n, size_t k) {
    return t.dtype == Dtype::I8 && form == Dtype::BF16 ? widenedAt(t, n, k) : weightAt(t, n, k);
  };
  for (size_t row = 0; row < t.rows; row++)
    for (size_t n = 0; n < t.panels * 16; n++) {
      double sum = 0;
      for (size_t k = 0; k < t.k; k++)
        sum += activationAt(static_cast<const char*>(t.x) + row * t.xStride, form, t.k, k) * weight(n, k);
      t.y[row * t.yStride + n] = (float)(sum + (t.bias ? (double)t.bias[n] : 0.0));
    }
}

void rmsNorm(const RmsNormTask& t) {
  for (size_t row = 0; row < t.rows; row++) {
    float* x = t.x + row * t.xStride;
    double squares = 0;
    for (size_t i = 0; i < t.n; i++) {
      if (t.delta) x[i] += t.delta[row * t.deltaStride + i];
      squares += (double)x[i] * x[i];
    }
    const double scale = 1.0 / std::sqrt(squares / (double)t.n + (double)t.eps);
    for (size_t i = 0; i < t.n; i++) t.out[row * t.outStride + i] = (float)((double)x[i] * scale * (double)t.weight[i]);
  }
}

void rope(const RopeTask& t) {
  const size_t d = t.pages.headDim, half = t.rotaryDim / 2;
  for (size_t row = 0; row < t.rows; row++) {
    const size_t slot = (size_t)t.slots[row];
    const float* cosines = t.cosines + (size_t)t.positions[row] * paddedHalf(t.rotaryDim);
    const float* sines = t.sines + (size_t)t.positions[row] * paddedHalf(t.rotaryDim);
    for (size_t h = 0; h < t.heads + t.pages.kvHeads; h++) {
      const bool isQuery = h < t.heads;
      float* head = t.qkv + row * t.qkvStride + h * d;
      const float* norm = isQuery ? t.qNorm : t.kNorm;
      double squares = 0;
      for (size_t i = 0; i < d; i++) squares += (double)head[i] * head[i];
      const double scale = norm ? 1.0 / std::sqrt(squares / (double)d + (double)t.eps) : 1.0;
      std::vector<double> x(d);
      for (size_t i = 0; i < d; i++) x[i] = (double)head[i] * scale * (norm ? (double)norm[i] : 1.0);
      for (size_t i = 0; i < half; i++) {
        const double a = x[i], b = x[half + i];
        x[i] = a * (double)cosines[i] - b * (double)sines[i];
        x[half + i] = b * (double)cosines[i] + a * (double)sines[i];
      }
      if (isQuery)
        for (size_t i = 0; i < d; i++) head[i] = (float)(x[i] * (double)t.queryScale);
      else writeStored(t.pages, keysOf(t.pages, slot, h - t.heads), slot, x);
    }
    const float* v = t.qkv + row * t.qkvStride + (t.heads + t.pages.kvHeads) * d;
    for (size_t h = 0; h < t.pages.kvHeads; h++) {
      std::vector<double> x(t.pages.paddedHeadDim, 0.0);
      std::copy(v + h * d, v + (h + 1) * d, x.begin());
      writeStored(t.pages, valuesOf(t.pages, slot, h), slot, x);
    }
  }
}

void attention(const AttentionTask& t) {
  const size_t d = t.pages.headDim;
  for (size_t query = 0; query < t.queries; query++)
    for (size_t g = 0; g < t.group; g++) {
      const float* q = t.q + query * t.qStride + g * d;
      const size_t end = t.firstPosition + query + 1;
      const size_t start = t.window && end > t.window ? end - t.window : 0;
      const auto slotOf = [&](size_t token) { return (size_t)t.blockTable[token / 16] * 16 + token % 16; };
      std::vector<double> p(end);
      double most = -1e300, sum = 0;
      for (size_t token = start; token < end; token++) {
        double s = 0;
        for (size_t i = 0; i < d; i++) s += (double)q[i] * keyAt(t.pages, slotOf(token), t.kvHead, i);
        if (t.softcap > 0) s = (double)t.softcap * std::tanh(s / (double)t.softcap);
        p[token] = s;
        most = std::fmax(most, s);
      }
      for (size_t token = start; token < end; token++) sum += p[token] = std::exp(p[token] - most);
      for (size_t i = 0; i < d; i++) {
        double value = 0;
        for (size_t token = start; token < end; token++) value += p[token] / sum * valueAt(t.pages, slotOf(token), t.kvHead, i);
        t.out[query * t.outStride + g * d + i] = (float)value;
      }
    }
}

void swiglu(const SwigluTask& t) {
  for (size_t row = 0; row < t.rows; row++)
    for (size_t i = 0; i < t.panels * 16; i++) {
      const float* pair = t.gateUp + row * t.gateUpStride + i / 16 * 32 + i % 16;
      t.out[row * t.outStride + i] = (float)((double)pair[0] / (1.0 + std::exp(-(double)pair[0])) * (double)pair[16]);
    }
}

void geglu(const SwigluTask& t) {
  for (size_t row = 0; row < t.rows; row++)
    for (size_t i = 0; i < t.panels * 16; i++) {
      const float* pair = t.gateUp + row * t.gateUpStride + i / 16 * 32 + i % 16;
      const double x = (double)pair[0];
      const double gelu = x / 2 * (1 + std::tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
      t.out[row * t.outStride + i] = (float)(gelu * (double)pair[16]);
    }
}

void softcap(float* x, size_t n, float cap) {
  for (size_t i = 0; i < n; i++) x[i] = (float)((double)cap * std::tanh((double)x[i] / (double)cap));
}

void route(const RouteTask& t) {
  for (size_t row = 0; row < t.rows; row++) {
    const float* logits = t.logits + row * t.stride;
    std::vector<size_t> order(t.experts);
    for (size_t i = 0; i < t.experts; i++) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
    double total = 0, picked = 0;
    for (size_t i = 0; i < t.experts; i++) total += std::exp((double)logits[i] - (double)logits[order[0]]);
    for (size_t k = 0; k < t.perToken; k++) picked += std::exp((double)logits[order[k]] - (double)logits[order[0]]);
    for (size_t k = 0; k < t.perToken; k++) {
      t.ids[row * t.perToken + k] = (int32_t)order[k];
      t.weights[row * t.perToken + k] =
          (float)(std::exp((double)logits[order[k]] - (double)logits[order[0]]) / (t.renormalize ? picked : total));
    }
  }
}

void combine(const CombineTask& t) {
  for (size_t row = 0; row < t.rows; row++)
    for (size_t i = 0; i < t.n; i++) {
      double sum = 0;
      for (size_t k = 0; k < t.perToken; k++)
        sum += (double)t.weights[row * t.perToken + k] *
               (double)t.outputs[(size_t)t.places[row * t.perToken + k] * t.outputStride + i];
      t.out[row * t.outStride + i] = (float)sum;
    }
}

float maxOf(const float* x, size_t n) {
  float most = x[0];
  for (size_t i = 1; i < n; i++) most = x[i] > most ? x[i] : most;
  return most;
}

double sumExp(const float* x, size_t n, float shift) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += std::exp((double)x[i] - (double)shift);
  return sum;
}

}  // namespace pm::reference
