// Paged attention for few rows: one token per sequence, or a few speculated ones. The query heads that share a kv head
// are the rows of one matrix product, so each key and value is read once for all of them, and the kernel is bound by
// the bytes of the cache. One block per (item, kv head); an item is at most one chunk of a sequence's tokens (split-KV).
// Each of its four warps takes every fourth page through a ring of its own in shared memory, without barriers; at
// the end the warps' results are joined in their order, and mergePartials joins the chunks.
#include "attention-core.h"

namespace pm::cuda {
namespace {

constexpr int kWarps = 4;

template <int D, KvType TYPE>
struct Ring {
  static constexpr int kTile = kPageTokens * D * bytesOf(TYPE), kPage = 2 * kTile;
  // Two blocks of heads of 128 channels fit a multiprocessor.
  static constexpr int kStages = kPage >= 8192 ? 3 : 4;
  static constexpr int kWarpBytes = kStages * kPage;
  static constexpr int kShared = kWarps * kWarpBytes + kWarps * 16 * 2 * (int)sizeof(float);
  static_assert(kWarpBytes >= 16 * D * (int)sizeof(float), "the ring also holds a warp's result");
};

template <int D, KvType TYPE>
PM_KERNEL PM_BOUNDS(kWarps * 32, 1) decodeKernel(AttentionTask t) {
  using R = Ring<D, TYPE>;
  PM_SHARED(shared);
  const AttentionItem item = t.items[blockIdx.x];
  if (item.queries == 0) return;
  const int lane = laneOf(), warp = warpOf(), kvHead = (int)blockIdx.y, group = t.heads / t.kvHeads;
  char* ring = shared + warp * R::kWarpBytes;
  float* mosts = reinterpret_cast<float*>(shared + kWarps * R::kWarpBytes);
  float* sums = mosts + kWarps * 16;

  const int begin = t.window > 0 ? max(item.begin, (item.position - t.window + 1) / kPageTokens * kPageTokens) : item.begin;
  const int pages = (item.end - begin + kPageTokens - 1) / kPageTokens;  // below 1: the window has left this chunk
  const int rounds = pages > warp ? (pages - warp + kWarps - 1) / kWarps : 0;
  const auto fetch = [&](int round) {
    if (round < rounds) {
      const int page = t.tables[item.table + begin / kPageTokens + round * kWarps + warp];
      const size_t from = tileOffset((size_t)page, kvHead, t.kvHeads, D, TYPE);
      char* to = ring + round % R::kStages * R::kPage;
      PM_UNROLL
      for (int i = 0; i < R::kTile / 512; i++) {
        const int at = (i * 32 + lane) * 16;
        copyAsync(to + at, static_cast<const char*>(t.keys) + from + at, true);
        copyAsync(to + R::kTile + at, static_cast<const char*>(t.values) + from + at, true);
      }
    }
    commitCopies();
  };
  PM_UNROLL
  for (int i = 0; i < R::kStages - 1; i++) fetch(i);

  const int used = item.queries * group;
  AttentionRows<D, TYPE> rows;
  rows.begin([&](int r) {
    return r < used ? t.q + ((size_t)(item.row + r / group) * t.heads + kvHead * group + r % group) * D : nullptr;
  });
  const int positions[2] = {item.position + (lane >> 2) / group, item.position + ((lane >> 2) + 8) / group};
  for (int round = 0; round < rounds; round++) {
    waitCopies<R::kStages - 2>();
    syncWarp();
    const char* page = ring + round % R::kStages * R::kPage;
    const char* const keys[1] = {page};
    const char* const values[1] = {page + R::kTile};
    rows.template attend<1>(keys, values, begin + (round * kWarps + warp) * kPageTokens, item.end, positions, t.window, t.scale, t.softcap);
    syncWarp();  // all lanes have read the stage that the next copy overwrites
    fetch(round + R::kStages - 1);
  }
  waitCopies<0>();
  rows.finish();
  syncWarp();

  // Each warp leaves its rows in its own ring; then all threads add them up.
  float* own = reinterpret_cast<float*>(ring);
  PM_UNROLL
  for (int half = 0; half < 2; half++) {
    const int row = (lane >> 2) + half * 8;
    if ((lane & 3) == 0) {
      mosts[warp * 16 + row] = rows.most[half];
      sums[warp * 16 + row] = rows.sum[half];
    }
    PM_UNROLL
    for (int i = 0; i < rows.kTiles; i++)
      PM_UNROLL
      for (int e = 0; e < 2; e++) own[row * D + rows.channelOf(i, e)] = rows.out[i][half * 2 + e];
  }
  syncThreads();
  for (int at = (int)threadIdx.x; at < used * D; at += kWarps * 32) {
    const int row = at / D, channel = at % D;
    float most = kUnseen, sum = 0, value = 0;
    for (int w = 0; w < kWarps; w++) most = fmaxf(most, mosts[w * 16 + row]);
    for (int w = 0; w < kWarps; w++) {
      const float factor = exp2Fast(mosts[w * 16 + row] - most);
      sum += sums[w * 16 + row] * factor;
      value += reinterpret_cast<const float*>(shared + w * R::kWarpBytes)[row * D + channel] * factor;
    }
    value = sum > 0.0f ? value / sum : 0.0f;
    if (item.partial >= 0) {
      const size_t to = ((size_t)item.partial * t.kvHeads + kvHead) * 16 + row;
      t.partials[to * D + channel] = value;
      if (channel == 0) t.partialSums[to] = sum > 0.0f ? most + log2f(sum) : kUnseen;
    } else if (channel < t.headDim) {
      t.out[((size_t)(item.row + row / group) * t.heads + kvHead * group + row % group) * t.headDim + channel] = (Bf16)packBf16(value, 0.0f);
    }
  }
}

PM_KERNEL mergeKernel(MergeTask t) {
  const MergeItem item = t.items[blockIdx.x];
  const int group = t.heads / t.kvHeads, row = (int)blockIdx.z, kvHead = (int)blockIdx.y, channel = (int)threadIdx.x;
  if (row >= item.queries * group || channel >= t.headDim) return;
  const auto at = [&](int i) { return ((size_t)(item.first + i) * t.kvHeads + kvHead) * 16 + row; };
  float most = kUnseen, sum = 0, value = 0;
  for (int i = 0; i < item.count; i++) most = fmaxf(most, t.partialSums[at(i)]);
  for (int i = 0; i < item.count; i++) {
    const float factor = t.partialSums[at(i)] <= kUnseen ? 0.0f : exp2Fast(t.partialSums[at(i)] - most);
    sum += factor;
    value += factor * t.partials[at(i) * t.padded + channel];
  }
  t.out[((size_t)(item.row + row / group) * t.heads + kvHead * group + row % group) * t.headDim + channel] =
      (Bf16)packBf16(sum > 0.0f ? value / sum : 0.0f, 0.0f);
}

template <int D, KvType TYPE>
void launchDecode(const AttentionTask& t, cudaStream_t stream) {
  launch<decodeKernel<D, TYPE>>(dim3((unsigned)t.itemCount, (unsigned)t.kvHeads), kWarps * 32, Ring<D, TYPE>::kShared, stream, t);
}

}  // namespace

void attendDecode(const AttentionTask& t, cudaStream_t stream) {
  const bool isBf16 = t.type == KvType::Bf16;
  switch (t.padded) {
    case 64: return isBf16 ? launchDecode<64, KvType::Bf16>(t, stream) : launchDecode<64, KvType::E4m3>(t, stream);
    case 128: return isBf16 ? launchDecode<128, KvType::Bf16>(t, stream) : launchDecode<128, KvType::E4m3>(t, stream);
    default: return isBf16 ? launchDecode<256, KvType::Bf16>(t, stream) : launchDecode<256, KvType::E4m3>(t, stream);
  }
}

void mergePartials(const MergeTask& t, cudaStream_t stream) {
  launch<mergeKernel>(dim3((unsigned)t.itemCount, (unsigned)t.kvHeads, 16), t.padded, 0, stream, t);
}

}  // namespace pm::cuda
