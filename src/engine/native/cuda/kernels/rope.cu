// What happens to q, k and v between their projection and attention. With a = head[0 .. half), b = head[half .. 2 half)
//   a' = a cos - b sin,  b' = b cos + a sin      (Su et al. 2021, "RoFormer", section 3.4.2)
// after each head's own norm (Qwen3, Gemma 3); channels from 2 half on pass as they are. Angles are computed in double,
// once a step for all layers. One warp per head, four heads of a row per block.
#include "kernels.h"
#include "warp.h"

namespace pm::cuda {
namespace {

constexpr int kWarps = 4, kAngleThreads = 128, kMaxPadded = 256;

PM_KERNEL anglesKernel(AnglesTask t) {
  const int i = (int)(blockIdx.y * kAngleThreads + threadIdx.x), row = (int)blockIdx.x, table = (int)blockIdx.z;
  if (i >= t.half) return;
  const double angle = (double)t.positions[row] * (double)t.inverseFrequencies[table * t.half + i];
  const size_t at = ((size_t)table * t.maxRows + row) * t.half + i;
  t.cosines[at] = (float)(cos(angle) * (double)t.factors[table]);
  t.sines[at] = (float)(sin(angle) * (double)t.factors[table]);
}

PM_DEVICE void storePair(void* tile, int token, int channel, int padded, KvType type, float low, float high) {
  char* at = static_cast<char*>(tile) + offsetInTile(token, channel, padded, type);
  if (type == KvType::Bf16) *reinterpret_cast<uint32_t*>(at) = packBf16(low, high);
  else *reinterpret_cast<uint16_t*>(at) = packE4m3(low, high);
}

PM_KERNEL ropeKernel(RopeTask t) {
  PM_SHARED(shared);
  const int lane = laneOf(), row = (int)blockIdx.x, head = (int)blockIdx.y * kWarps + warpOf();
  const int all = t.heads + 2 * t.kvHeads, d = t.headDim;
  if (head >= all) return;
  float* x = reinterpret_cast<float*>(shared) + warpOf() * kMaxPadded;
  const float* in = t.qkv + ((size_t)row * all + head) * d;
  const bool isQuery = head < t.heads, isValue = head >= t.heads + t.kvHeads;
  const float* norm = isValue ? nullptr : isQuery ? t.qNorm : t.kNorm;

  float squares = 0;
  for (int i = lane; i < t.padded; i += 32) {
    const float value = i < d ? in[i] : 0.0f;
    x[i] = value;
    squares += value * value;
  }
  if (norm) {
    const float scale = 1.0f / sqrtf(warpSum(squares) / (float)d + t.eps);
    for (int i = lane; i < d; i += 32) x[i] = x[i] * scale * norm[i];
  }
  syncWarp();
  if (!isValue) {
    for (int i = lane; i < t.half; i += 32) {
      const float a = x[i], b = x[t.half + i];
      const float c = t.cosines[(size_t)row * t.half + i], s = t.sines[(size_t)row * t.half + i];
      x[i] = a * c - b * s;
      x[t.half + i] = b * c + a * s;
    }
    syncWarp();
  }
  if (isQuery) {
    uint32_t* q = reinterpret_cast<uint32_t*>(t.q + ((size_t)row * t.heads + head) * t.padded);
    for (int i = lane; i < t.padded / 2; i += 32) q[i] = packBf16(x[2 * i], x[2 * i + 1]);
    return;
  }
  const int slot = t.slots[row];
  if (slot < 0) return;
  const int kvHead = head - t.heads - (isValue ? t.kvHeads : 0);
  char* tile = static_cast<char*>(isValue ? t.values : t.keys) +
               tileOffset((size_t)slot / kPageTokens, kvHead, t.kvHeads, t.padded, t.type);
  for (int i = lane; i < t.padded / 2; i += 32) storePair(tile, slot % kPageTokens, 2 * i, t.padded, t.type, x[2 * i], x[2 * i + 1]);
}

}  // namespace

void ropeAngles(const AnglesTask& t, cudaStream_t stream) {
  const unsigned parts = (unsigned)((t.half + kAngleThreads - 1) / kAngleThreads);
  launch<anglesKernel>(dim3((unsigned)t.rows, parts, (unsigned)t.tables), kAngleThreads, 0, stream, t);
}

void rope(const RopeTask& t, cudaStream_t stream) {
  const unsigned parts = (unsigned)((t.heads + 2 * t.kvHeads + kWarps - 1) / kWarps);
  launch<ropeKernel>(dim3((unsigned)t.rows, parts), kWarps * 32, kWarps * kMaxPadded * sizeof(float), stream, t);
}

}  // namespace pm::cuda
