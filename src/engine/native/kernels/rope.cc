// Rotary position embedding in the half-split convention of Llama checkpoints: with a = head[0 .. d/2),
// b = head[d/2 .. d) and angle(i) = position * inverseFrequency[i],
//   a' = a cos - b sin,  b' = b cos + a sin        (Su et al. 2021, "RoFormer", section 3.4.2).
// Qwen3 normalizes each head of q and k before that: head / sqrt(mean(head^2) + eps) * weight.
// Halves are copied to zero-padded buffers, so any even headDim works with full Vecs.
// Parallelization: callers cut rows; a row touches only its own slot.
#include "rope.h"

#include <cmath>

#include "table.h"

namespace pm::PM_ISA {
namespace {

struct Head {
  alignas(64) float a[kMaxHeadDim / 2 + kLanes];
  alignas(64) float b[kMaxHeadDim / 2 + kLanes];
};

void read(Head& head, const float* x, size_t half) {
  const size_t padded = (half + kLanes - 1) / kLanes * kLanes;
  for (size_t i = half; i < padded; i++) head.a[i] = head.b[i] = 0.0f;
  memcpy(head.a, x, half * sizeof(float));
  memcpy(head.b, x + half, half * sizeof(float));
}

void normalize(Head& head, const float* weight, size_t half, float eps) {
  Vec sum = zero();
  for (size_t i = 0; i < half; i += kLanes) sum = fma(load(head.a + i), load(head.a + i), sum);
  for (size_t i = 0; i < half; i += kLanes) sum = fma(load(head.b + i), load(head.b + i), sum);
  const float scale = 1.0f / sqrtf(reduceAdd(sum) / (float)(2 * half) + eps);
  for (size_t i = 0; i < half; i++) {
    head.a[i] = head.a[i] * scale * weight[i];
    head.b[i] = head.b[i] * scale * weight[half + i];
  }
}

void rotate(Head& head, const float* cosines, const float* sines, size_t half, float scale) {
  const Vec s = set1(scale);
  for (size_t i = 0; i < half; i += kLanes) {
    const Vec a = load(head.a + i), b = load(head.b + i), c = load(cosines + i), n = load(sines + i);
    store(head.a + i, mul(sub(mul(a, c), mul(b, n)), s));
    store(head.b + i, mul(add(mul(b, c), mul(a, n)), s));
  }
}

template <class S>
void writeKey(const KvPages& pages, size_t block, size_t lane, size_t kvHead, const Head& head) {
  const size_t half = pages.headDim / 2;
  auto* out = static_cast<typename S::Stored*>(pages.keys) +
              (block * pages.kvHeads + kvHead) * pages.headDim * kLanes + lane;
  for (size_t i = 0; i < half; i++) out[i * kLanes] = S::from(head.a[i]);
  for (size_t i = 0; i < half; i++) out[(half + i) * kLanes] = S::from(head.b[i]);
}

template <class S>
void writeValue(const KvPages& pages, size_t block, size_t lane, size_t kvHead, const float* v) {
  auto* out = static_cast<typename S::Stored*>(pages.values) +
              ((block * pages.kvHeads + kvHead) * kLanes + lane) * pages.paddedHeadDim;
  for (size_t i = 0; i < pages.headDim; i++) out[i] = S::from(v[i]);
  for (size_t i = pages.headDim; i < pages.paddedHeadDim; i++) out[i] = S::from(0.0f);
}

template <class S>
void run(const RopeTask& t) {
  const size_t d = t.pages.headDim, half = d / 2;
  Head head;
  for (size_t row = 0; row < t.rows; row++) {
    float* q = t.qkv + row * t.qkvStride;
    const float* k = q + t.heads * d;
    const float* v = k + t.pages.kvHeads * d;
    const float* cosines = t.cosines + (size_t)t.positions[row] * paddedHalf(d);
    const float* sines = t.sines + (size_t)t.positions[row] * paddedHalf(d);
    const size_t block = (size_t)t.slots[row] / kLanes, lane = (size_t)t.slots[row] % kLanes;
    for (size_t h = 0; h < t.heads; h++) {
      read(head, q + h * d, half);
      if (t.qNorm) normalize(head, t.qNorm, half, t.eps);
      rotate(head, cosines, sines, half, t.queryScale);
      memcpy(q + h * d, head.a, half * sizeof(float));
      memcpy(q + h * d + half, head.b, half * sizeof(float));
    }
    for (size_t h = 0; h < t.pages.kvHeads; h++) {
      read(head, k + h * d, half);
      if (t.kNorm) normalize(head, t.kNorm, half, t.eps);
      rotate(head, cosines, sines, half, 1.0f);
      writeKey<S>(t.pages, block, lane, h, head);
      writeValue<S>(t.pages, block, lane, h, v + h * d);
    }
  }
}

}  // namespace

void rope(const RopeTask& task) {
  if (task.pages.dtype == Dtype::F32) return run<AsF32>(task);
  return run<AsBf16>(task);
}

}  // namespace pm::PM_ISA
