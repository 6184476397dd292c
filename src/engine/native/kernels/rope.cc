// Rotary position embedding in the half-split convention of Llama checkpoints: with a = head[0 .. d/2),
// b = head[d/2 .. d) and angle(i) = position * inverseFrequency[i],
//   a' = a cos - b sin,  b' = b cos + a sin        (Su et al. 2021, "RoFormer", section 3.4.2).
// Qwen3 normalizes each head of q and k before that: head / sqrt(mean(head^2) + eps) * weight.
// With partial rotation (Phi-4-mini) d is rotaryDim and the channels after it pass as they are.
// Parts are copied to zero-padded buffers, so any even size works with full Vecs.
// Keys and values of I8 pages are quantized as rope.h says.
// Parallelization: callers cut rows; a row touches only its own slot.
#include "rope.h"

#include <cmath>

#include "table.h"

namespace pm::PM_ISA {
namespace {

// A head in three parts, each zero-padded to whole Vecs: the two rotated halves and what passes unrotated.
struct Head {
  alignas(64) float a[kMaxHeadDim / 2 + kLanes];
  alignas(64) float b[kMaxHeadDim / 2 + kLanes];
  alignas(64) float rest[kMaxHeadDim + kLanes];
};

struct Parts {
  size_t half, rest;
};

void readPart(float* part, const float* x, size_t n) {
  const size_t padded = (n + kLanes - 1) / kLanes * kLanes;
  for (size_t i = n; i < padded; i++) part[i] = 0.0f;
  memcpy(part, x, n * sizeof(float));
}

void read(Head& head, const float* x, Parts parts) {
  readPart(head.a, x, parts.half);
  readPart(head.b, x + parts.half, parts.half);
  readPart(head.rest, x + 2 * parts.half, parts.rest);
}

void write(const Head& head, float* x, Parts parts) {
  memcpy(x, head.a, parts.half * sizeof(float));
  memcpy(x + parts.half, head.b, parts.half * sizeof(float));
  memcpy(x + 2 * parts.half, head.rest, parts.rest * sizeof(float));
}

Vec squares(Vec sum, const float* part, size_t n) {
  for (size_t i = 0; i < n; i += kLanes) sum = fma(load(part + i), load(part + i), sum);
  return sum;
}

void normalize(Head& head, const float* weight, Parts parts, float eps) {
  const Vec sum = squares(squares(squares(zero(), head.a, parts.half), head.b, parts.half), head.rest, parts.rest);
  const float scale = 1.0f / sqrtf(reduceAdd(sum) / (float)(2 * parts.half + parts.rest) + eps);
  for (size_t i = 0; i < parts.half; i++) {
    head.a[i] = head.a[i] * scale * weight[i];
    head.b[i] = head.b[i] * scale * weight[parts.half + i];
  }
  for (size_t i = 0; i < parts.rest; i++) head.rest[i] = head.rest[i] * scale * weight[2 * parts.half + i];
}

void rotate(Head& head, const float* cosines, const float* sines, Parts parts, float scale) {
  const Vec s = set1(scale);
  for (size_t i = 0; i < parts.half; i += kLanes) {
    const Vec a = load(head.a + i), b = load(head.b + i), c = load(cosines + i), n = load(sines + i);
    store(head.a + i, mul(sub(mul(a, c), mul(b, n)), s));
    store(head.b + i, mul(add(mul(b, c), mul(a, n)), s));
  }
  for (size_t i = 0; i < parts.rest; i += kLanes) store(head.rest + i, mul(load(head.rest + i), s));
}

char* keyTile(const KvPages& pages, size_t block, size_t kvHead) {
  return pages.keys + (block * pages.kvHeads + kvHead) * kvTileBytes(pages.dtype, pages.headDim);
}

char* valueTile(const KvPages& pages, size_t block, size_t kvHead) {
  return pages.values + (block * pages.kvHeads + kvHead) * kvTileBytes(pages.dtype, pages.paddedHeadDim);
}

template <class S>
void writeKey(const KvPages& pages, size_t block, size_t lane, size_t kvHead, const Head& head, Parts parts) {
  auto* out = reinterpret_cast<typename S::Stored*>(keyTile(pages, block, kvHead));
  const auto put = [&](size_t from, const float* part, size_t n) {
    for (size_t i = 0; i < n; i++) out[keyIndex(S::kDtype, lane, from + i)] = S::from(part[i]);
  };
  put(0, head.a, parts.half);
  put(parts.half, head.b, parts.half);
  put(2 * parts.half, head.rest, parts.rest);
}

template <class S>
void writeValue(const KvPages& pages, size_t block, size_t lane, size_t kvHead, const float* v) {
  auto* out = reinterpret_cast<typename S::Stored*>(valueTile(pages, block, kvHead));
  const auto put = [&](size_t i, float x) { out[valueIndex(S::kDtype, pages.paddedHeadDim, lane, i)] = S::from(x); };
  for (size_t i = 0; i < pages.headDim; i++) put(i, v[i]);
  for (size_t i = pages.headDim; i < pages.paddedHeadDim; i++) put(i, 0.0f);
}

float largest(float most, const float* part, size_t n) {
  Vec top = set1(most);
  for (size_t i = 0; i < n; i += kLanes) {
    const Vec x = load(part + i);
    top = max(top, max(x, sub(zero(), x)));
  }
  return reduceMax(top);
}

// The scale of integers up to 127 for magnitudes up to `most`, rounded up to bfloat16; stored, and returned as its
// inverse. Below 1e-36 the inverse would overflow; such a head counts as zero.
float storeScale(char* tile, size_t channels, size_t lane, float most) {
  uint32_t bits = 0;
  if (most > 1e-36f) {
    const float scale = most * (1.0f / 127.0f);
    memcpy(&bits, &scale, 4);
    bits = (bits + 0xffffu) & 0xffff0000u;
  }
  float rounded;
  memcpy(&rounded, &bits, 4);
  const uint16_t stored = (uint16_t)(bits >> 16);
  memcpy(tile + kvScalesAt(channels) + lane * sizeof stored, &stored, sizeof stored);
  return bits == 0 ? 0.0f : 1.0f / rounded;
}

// out[i * step] = x[i] * inverse to the nearest integer, ties to even. Adding 1.5 * 2^23 rounds and leaves the integer
// in the low mantissa bits; product and sum are not fused, so all instruction sets give the same.
void quantize(int8_t* out, size_t step, const float* x, size_t n, float inverse) {
  const Vec factor = set1(inverse), magic = set1(12582912.0f);
  alignas(64) float shifted[kLanes];
  for (size_t i = 0; i < n; i += kLanes) {
    store(shifted, add(mul(load(x + i), factor), magic));
    for (size_t lane = 0; lane < kLanes && i + lane < n; lane++) {
      int32_t bits;
      memcpy(&bits, shifted + lane, 4);
      out[(i + lane) * step] = (int8_t)bits;
    }
  }
}

template <>
void writeKey<AsI8>(const KvPages& pages, size_t block, size_t lane, size_t kvHead, const Head& head, Parts parts) {
  char* tile = keyTile(pages, block, kvHead);
  const float most = largest(largest(largest(0.0f, head.a, parts.half), head.b, parts.half), head.rest, parts.rest);
  const float inverse = storeScale(tile, pages.headDim, lane, most);
  int8_t* out = reinterpret_cast<int8_t*>(tile) + lane;
  quantize(out, kLanes, head.a, parts.half, inverse);
  quantize(out + parts.half * kLanes, kLanes, head.b, parts.half, inverse);
  quantize(out + 2 * parts.half * kLanes, kLanes, head.rest, parts.rest, inverse);
}

template <>
void writeValue<AsI8>(const KvPages& pages, size_t block, size_t lane, size_t kvHead, const float* v) {
  alignas(64) float padded[kMaxHeadDim];
  readPart(padded, v, pages.headDim);
  char* tile = valueTile(pages, block, kvHead);
  const float inverse = storeScale(tile, pages.paddedHeadDim, lane, largest(0.0f, padded, pages.headDim));
  quantize(reinterpret_cast<int8_t*>(tile) + lane * pages.paddedHeadDim, 1, padded, pages.paddedHeadDim, inverse);
}

template <class S>
void run(const RopeTask& t) {
  const size_t d = t.pages.headDim;
  const Parts parts{t.rotaryDim / 2, d - t.rotaryDim};
  Head head;
  for (size_t row = 0; row < t.rows; row++) {
    float* q = t.qkv + row * t.qkvStride;
    const float* k = q + t.heads * d;
    const float* v = k + t.pages.kvHeads * d;
    const float* cosines = t.cosines + (size_t)t.positions[row] * paddedHalf(t.rotaryDim);
    const float* sines = t.sines + (size_t)t.positions[row] * paddedHalf(t.rotaryDim);
    const size_t block = (size_t)t.slots[row] / kLanes, lane = (size_t)t.slots[row] % kLanes;
    for (size_t h = 0; h < t.heads; h++) {
      read(head, q + h * d, parts);
      if (t.qNorm) normalize(head, t.qNorm, parts, t.eps);
      rotate(head, cosines, sines, parts, t.queryScale);
      write(head, q + h * d, parts);
    }
    for (size_t h = 0; h < t.pages.kvHeads; h++) {
      read(head, k + h * d, parts);
      if (t.kNorm) normalize(head, t.kNorm, parts, t.eps);
      rotate(head, cosines, sines, parts, 1.0f);
      writeKey<S>(t.pages, block, lane, h, head, parts);
      writeValue<S>(t.pages, block, lane, h, v + h * d);
    }
  }
}

}  // namespace

void rope(const RopeTask& task) {
  if (task.pages.dtype == Dtype::F32) return run<AsF32>(task);
  if (task.pages.dtype == Dtype::I8) return run<AsI8>(task);
  return run<AsBf16>(task);
}

}  // namespace pm::PM_ISA
