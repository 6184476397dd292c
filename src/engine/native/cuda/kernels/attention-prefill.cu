// Paged attention for many rows: chunks of prompts. Rows are queries times the heads of their group, 64 to a block, 16
// to a warp; all warps share the tiles of 64 tokens (32 with heads of 256 channels) that pass through shared memory
// two at a time. One block per (item, kv head). Bound by the tensor cores once prompts are long.
#include "attention-core.h"

namespace pm::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * 32, kStages = 2;

template <int D, KvType TYPE>
struct Tiles {
  static constexpr int kPages = D > 128 ? 2 : 4;
  static constexpr int kTile = kPageTokens * D * bytesOf(TYPE);
  static constexpr int kStage = kPages * 2 * kTile, kShared = kStages * kStage;
};

template <int D, KvType TYPE>
PM_KERNEL PM_BOUNDS(kThreads, 1) prefillKernel(AttentionTask t) {
  using T = Tiles<D, TYPE>;
  PM_SHARED(shared);
  const AttentionItem item = t.items[blockIdx.x];
  if (item.queries == 0) return;
  const int lane = laneOf(), kvHead = (int)blockIdx.y, group = t.heads / t.kvHeads, used = item.queries * group;
  const int begin = t.window > 0 ? max(item.begin, (item.position - t.window + 1) / kPageTokens * kPageTokens) : item.begin;
  constexpr int kTokens = T::kPages * kPageTokens;
  const int rounds = (item.end - begin + kTokens - 1) / kTokens;

  const auto fetch = [&](int round) {
    if (round < rounds) {
      char* to = shared + round % kStages * T::kStage;
      PM_UNROLL
      for (int p = 0; p < T::kPages; p++) {
        const int token = begin + round * kTokens + p * kPageTokens;
        const bool valid = token < item.end;
        const int page = valid ? t.tables[item.table + token / kPageTokens] : 0;
        const size_t from = tileOffset((size_t)page, kvHead, t.kvHeads, D, TYPE);
        PM_UNROLL
        for (int i = 0; i < (T::kTile / 16 + kThreads - 1) / kThreads; i++) {
          const int at = (i * kThreads + (int)threadIdx.x) * 16;
          if (at < T::kTile) {
            copyAsync(to + p * 2 * T::kTile + at, static_cast<const char*>(t.keys) + from + at, valid);
            copyAsync(to + (p * 2 + 1) * T::kTile + at, static_cast<const char*>(t.values) + from + at, valid);
          }
        }
      }
    }
    commitCopies();
  };
  fetch(0);

  const int firstRow = warpOf() * 16;
  AttentionRows<D, TYPE> rows;
  const auto rowOf = [&](int r) { return (size_t)(item.row + r / group) * t.heads + kvHead * group + r % group; };
  rows.begin([&](int r) { return firstRow + r < used ? t.q + rowOf(firstRow + r) * D : nullptr; });
  const int positions[2] = {item.position + (firstRow + (lane >> 2)) / group, item.position + (firstRow + (lane >> 2) + 8) / group};
  // Tokens after the warp's last query need not be looked at.
  const int last = min(item.end, item.position + min(firstRow + 15, used - 1) / group + 1);
  for (int round = 0; round < rounds; round++) {
    fetch(round + 1);
    waitCopies<1>();
    syncThreads();
    const int token = begin + round * kTokens;
    if (firstRow < used && token < last) {
      const char* stage = shared + round % kStages * T::kStage;
      const char* keys[T::kPages];
      const char* values[T::kPages];
      PM_UNROLL
      for (int p = 0; p < T::kPages; p++) {
        keys[p] = stage + p * 2 * T::kTile;
        values[p] = keys[p] + T::kTile;
      }
      rows.template attend<T::kPages>(keys, values, token, last, positions, t.window, t.scale, t.softcap);
    }
    syncThreads();
  }
  rows.finish();
  PM_UNROLL
  for (int half = 0; half < 2; half++) {
    const int row = firstRow + (lane >> 2) + half * 8;
    if (row >= used) continue;
    const float inverse = rows.sum[half] > 0.0f ? 1.0f / rows.sum[half] : 0.0f;
    Bf16* out = t.out + rowOf(row) * t.headDim;
    PM_UNROLL
    for (int i = 0; i < rows.kTiles; i++)
      PM_UNROLL
      for (int e = 0; e < 2; e++) {
        const int channel = rows.channelOf(i, e);
        if (channel < t.headDim) out[channel] = (Bf16)packBf16(rows.out[i][half * 2 + e] * inverse, 0.0f);
      }
  }
}

template <int D, KvType TYPE>
void launchPrefill(const AttentionTask& t, cudaStream_t stream) {
  launch<prefillKernel<D, TYPE>>(dim3((unsigned)t.itemCount, (unsigned)t.kvHeads), kThreads, Tiles<D, TYPE>::kShared, stream, t);
}

}  // namespace

void attendPrefill(const AttentionTask& t, cudaStream_t stream) {
  const bool isBf16 = t.type == KvType::Bf16;
  switch (t.padded) {
    case 64: return isBf16 ? launchPrefill<64, KvType::Bf16>(t, stream) : launchPrefill<64, KvType::E4m3>(t, stream);
    case 128: return isBf16 ? launchPrefill<128, KvType::Bf16>(t, stream) : launchPrefill<128, KvType::E4m3>(t, stream);
    default: return isBf16 ? launchPrefill<256, KvType::Bf16>(t, stream) : launchPrefill<256, KvType::E4m3>(t, stream);
  }
}

}  // namespace pm::cuda
