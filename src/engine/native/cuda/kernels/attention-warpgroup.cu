// Paged attention for chunks of prompts on Hopper: bfloat16 pages, products of whole warpgroups (wgmma), pages brought by
// the copy engine. The same task as attention-prefill.cu; after Shah et al. 2024, "FlashAttention-3", sections 3.1, 3.2.
//
// A block has 128 rows (queries times the heads of their group): two warpgroups of 64 rows each, and a third one, of
// which one warp copies and the others end at once. Keys and values pass through shared memory in stages of 128 tokens (64 with heads of 256 channels):
//
//   copying warp   | keys 0 | values 0 | keys 1 | values 1 | keys 2 (waits until keys 0 are read) ...
//   warpgroup      | s0 = q k0 | softmax | s1 = q k1 and out += p0 v0 run | softmax of s1 | scale out | s2 ...
//
// so a warpgroup's softmax runs beside its product with the values, and beside the products of the other one. A stage is
// [line of 128 bytes][token], so a page of 16 tokens is one plain copy per line: 2 KiB already in the order that
// matrix-descriptor.h describes, which layout.h stores for this; a tensor map would have to know the page table.
// Of the last page only the tokens that are there are copied, and the values after them are set to zero, because what
// memory holds behind them may be NaN, and 0 times NaN is NaN.
#include <warpgroup.h>

#include "attention-core.h"

namespace pm::cuda {
namespace {

constexpr int kGroups = 2, kGroupRows = 64, kConsumerWarps = kGroups * 4, kThreads = (kGroups + 1) * 128, kStages = 2;
// Of 65,536: what the copying warpgroup does not need is for the others.
constexpr int kCopyRegisters = 24, kRowRegisters = 240;
static_assert(kCopyRegisters + kGroups * kRowRegisters <= (kGroups + 1) * (65536 / kThreads / 8 * 8));
constexpr int kPageLine = kPageTokens * kLine;

template <int D>
struct Stage {
  static constexpr int kLines = D / 64;                                 // of a token
  static constexpr int kTokens = D > 128 ? 64 : 128, kPages = kTokens / kPageTokens;
  static constexpr int kLineBytes = kTokens * kLine;                    // of all tokens
  static constexpr int kBytes = kLines * kLineBytes;                    // keys or values
  static constexpr int kQueryLine = kGroupRows * kLine, kQueryBytes = kLines * kQueryLine;
  static constexpr int kShared = kAtomBytes + kGroups * kQueryBytes + 2 * kStages * kBytes + 4 * kStages * (int)sizeof(SharedBarrier);
};

template <int D>
struct Memory {
  using S = Stage<D>;
  char *queries, *keys, *values;
  SharedBarrier *keysFull, *keysEmpty, *valuesFull, *valuesEmpty;  // of each stage

  explicit PM_DEVICE Memory(char* shared) {
    queries = shared + (-sharedAddress(shared) & (kAtomBytes - 1));
    keys = queries + kGroups * S::kQueryBytes;
    values = keys + kStages * S::kBytes;
    keysFull = reinterpret_cast<SharedBarrier*>(values + kStages * S::kBytes);
    keysEmpty = keysFull + kStages;
    valuesFull = keysEmpty + kStages;
    valuesEmpty = valuesFull + kStages;
  }
};

// What a block works on: `rounds` stages of tokens from `begin` on.
struct Span {
  int begin, rounds;
};

// Copies the stages, one page and line per lane at a time.
template <int D>
PM_DEVICE void copyStages(const AttentionTask& t, const AttentionItem& item, const Memory<D>& m, Span span) {
  using S = Stage<D>;
  const int lane = laneOf(), kvHead = (int)blockIdx.y;
  const auto copy = [&](const void* pages, char* stage, int first, int valid, SharedBarrier* full) {
    if (lane == 0) arriveExpecting(full, S::kLines * valid * kLine);
    syncWarp();
    for (int i = lane; i < S::kPages * S::kLines; i += 32) {
      const int page = i % S::kPages, line = i / S::kPages, tokens = min(kPageTokens, valid - page * kPageTokens);
      if (tokens <= 0) continue;
      const size_t number = (size_t)t.tables[item.table + first / kPageTokens + page];
      const char* from = static_cast<const char*>(pages) + tileOffset(number, kvHead, t.kvHeads, D, KvType::Bf16) + line * kPageLine;
      copyBulk(stage + line * S::kLineBytes + page * kPageLine, from, tokens * kLine, full);
    }
  };
  for (int round = 0; round < span.rounds; round++) {
    const int at = round % kStages, parity = (round / kStages & 1) ^ 1;
    const int first = span.begin + round * S::kTokens, valid = min(S::kTokens, item.end - first);
    waitBarrier(m.keysEmpty + at, parity);
    copy(t.keys, m.keys + at * S::kBytes, first, valid, m.keysFull + at);
    waitBarrier(m.valuesEmpty + at, parity);
    char* values = m.values + at * S::kBytes;
    if (valid < S::kTokens) {
      for (int line = 0; line < S::kLines; line++)
        for (int byte = valid * kLine + lane * 16; byte < S::kLineBytes; byte += 512)
          storeShared(values + line * S::kLineBytes + byte, uint4{0, 0, 0, 0});
      fenceShared();
    }
    syncWarp();
    copy(t.values, values, first, valid, m.valuesFull + at);
  }
}

// One warpgroup's rows, in registers: a lane has rows lane / 4 and lane / 4 + 8 of its warp's sixteen.
template <int D>
struct WarpgroupRows {
  using S = Stage<D>;
  static constexpr int kScores = S::kTokens / 2, kSteps = S::kTokens / 16;

  float s[kScores], out[D / 2];
  uint32_t p[kSteps][4];
  float most[2] = {kUnseen, kUnseen}, sum[2] = {0, 0};  // the sum is this lane's part only
  float factor[2];                                      // what the last softmax scales the rows by
  int positions[2];

  // s = q k^T of a stage.
  PM_DEVICE void startScores(const char* queries, const char* keys) {
    settle(s);
    beginProducts();
    PM_UNROLL
    for (int step = 0; step < D / 16; step++) {
      const int line = step / 4, inside = step % 4 * 32;
      multiplyWarpgroup<S::kTokens, false>(s, matrixDescriptor(sharedAddress(queries + line * S::kQueryLine + inside), 16, kAtomBytes),
                                           matrixDescriptor(sharedAddress(keys + line * S::kLineBytes + inside), 16, kAtomBytes), step > 0);
    }
    endProducts();
  }

  // out += p v of a stage.
  PM_DEVICE void startOutput(const char* values, bool adds) {
    settle(out);
    beginProducts();
    PM_UNROLL
    for (int step = 0; step < kSteps; step++)
      multiplyWarpgroup<D, true>(out, p[step], matrixDescriptor(sharedAddress(values + step * kPageLine), S::kLineBytes, kAtomBytes),
                                 adds || step > 0);
    endProducts();
  }

  // Turns scores into exponentials. `k`: what turns a score into a power of two.
  PM_DEVICE void softmax(const AttentionTask& t, int first, bool isMasked, float k) {
    if (t.softcap > 0.0f) {
      PM_UNROLL
      for (int i = 0; i < kScores; i++) s[i] = t.softcap * tanhf(s[i] * t.scale / t.softcap);
    }
    if (isMasked) {
      PM_UNROLL
      for (int i = 0; i < kScores; i++) {
        const int token = first + i / 4 * 8 + (laneOf() & 3) * 2 + (i & 1), position = positions[i >> 1 & 1];
        if (token > position || (t.window > 0 && token <= position - t.window)) s[i] = kUnseen;
      }
    }
    float top[2] = {most[0], most[1]}, offset[2];
    PM_UNROLL
    for (int i = 0; i < kScores; i++) top[i >> 1 & 1] = fmaxf(top[i >> 1 & 1], s[i]);
    PM_UNROLL
    for (int row = 0; row < 2; row++) {
      top[row] = fmaxf(top[row], shuffleXor(top[row], 1));
      top[row] = fmaxf(top[row], shuffleXor(top[row], 2));
      factor[row] = exp2Fast((most[row] - top[row]) * k);
      most[row] = top[row];
      sum[row] *= factor[row];
      offset[row] = top[row] <= kUnseen ? 0.0f : top[row] * k;  // nothing seen so far: all exponentials are zero
    }
    PM_UNROLL
    for (int i = 0; i < kScores; i++) {
      s[i] = exp2Fast(s[i] * k - offset[i >> 1 & 1]);
      sum[i >> 1 & 1] += s[i];
    }
  }

  PM_DEVICE void scaleOutput() {
    PM_UNROLL
    for (int i = 0; i < D / 2; i++) out[i] *= factor[i >> 1 & 1];
  }

  // The sixteen tokens of a step are two tiles of eight in s.
  PM_DEVICE void pack() {
    PM_UNROLL
    for (int step = 0; step < kSteps; step++)
      PM_UNROLL
      for (int i = 0; i < 4; i++) p[step][i] = packBf16(s[step * 8 + i * 2], s[step * 8 + i * 2 + 1]);
  }
};

template <int D>
PM_DEVICE void attendRows(const AttentionTask& t, const AttentionItem& item, const Memory<D>& m, Span span) {
  using S = Stage<D>;
  const int lane = laneOf(), wgroup = warpOf() / 4, kvHead = (int)blockIdx.y, heads = t.heads / t.kvHeads, used = item.queries * heads;
  const int firstRow = wgroup * kGroupRows;
  const auto rowOf = [&](int r) { return (size_t)(item.row + r / heads) * t.heads + kvHead * heads + r % heads; };
  const auto positionOf = [&](int r) { return min(item.position + r / heads, item.end - 1); };

  char* queries = m.queries + wgroup * S::kQueryBytes;
  for (int i = (int)threadIdx.x % 128; i < kGroupRows * D / 8; i += 128) {
    const int row = i / (D / 8), chunk = i % (D / 8);
    uint4 value{0, 0, 0, 0};
    if (firstRow + row < used) value = reinterpret_cast<const uint4*>(t.q + rowOf(firstRow + row) * D)[chunk];
    storeShared(queries + chunk / 8 * S::kQueryLine + swizzledChunk(row, chunk % 8), value);
  }
  fenceShared();
  syncWarpgroup(wgroup);

  WarpgroupRows<D> rows;
  const int ownRow = firstRow + warpOf() % 4 * 16 + (lane >> 2);
  rows.positions[0] = positionOf(ownRow);
  rows.positions[1] = positionOf(ownRow + 8);
  const int lowest = positionOf(firstRow), highest = positionOf(firstRow + kGroupRows - 1);
  // Stages after the last query of the warpgroup are not looked at.
  const int mine = firstRow < used ? min(span.rounds, (highest - span.begin) / S::kTokens + 1) : 0;
  const float k = t.softcap > 0.0f ? kLog2E : t.scale * kLog2E;

  const auto parityOf = [](int round) { return round / kStages & 1; };
  const auto keysOf = [&](int round) { return m.keys + round % kStages * S::kBytes; };
  const auto valuesOf = [&](int round) { return m.values + round % kStages * S::kBytes; };
  const auto release = [&](SharedBarrier* empty, int round) {
    if (lane == 0) arrive(empty + round % kStages);
  };
  const auto softmax = [&](int round) {
    const int first = span.begin + round * S::kTokens;
    rows.softmax(t, first, first + S::kTokens - 1 > lowest || (t.window > 0 && first <= highest - t.window), k);
  };

  if (mine > 0) {
    waitBarrier(m.keysFull, 0);
    rows.startScores(queries, keysOf(0));
    waitProducts<0>();
    settle(rows.s);
    release(m.keysEmpty, 0);
    softmax(0);
    rows.pack();
    for (int round = 1; round < mine; round++) {
      waitBarrier(m.keysFull + round % kStages, parityOf(round));
      rows.startScores(queries, keysOf(round));
      waitBarrier(m.valuesFull + (round - 1) % kStages, parityOf(round - 1));
      rows.startOutput(valuesOf(round - 1), round > 1);
      waitProducts<1>();
      settle(rows.s);
      release(m.keysEmpty, round);
      softmax(round);
      waitProducts<0>();
      settle(rows.out);
      release(m.valuesEmpty, round - 1);
      rows.scaleOutput();
      rows.pack();
    }
    waitBarrier(m.valuesFull + (mine - 1) % kStages, parityOf(mine - 1));
    rows.startOutput(valuesOf(mine - 1), mine > 1);
    waitProducts<0>();
    settle(rows.out);
    release(m.valuesEmpty, mine - 1);
  }
  // The copying warp goes on for the other warpgroup.
  for (int round = mine; round < span.rounds; round++) {
    waitBarrier(m.keysFull + round % kStages, parityOf(round));
    release(m.keysEmpty, round);
    waitBarrier(m.valuesFull + round % kStages, parityOf(round));
    release(m.valuesEmpty, round);
  }

  PM_UNROLL
  for (int half = 0; half < 2; half++) {
    float sum = rows.sum[half];
    sum += shuffleXor(sum, 1);
    sum += shuffleXor(sum, 2);
    const int row = ownRow + half * 8;
    if (row >= used) continue;
    const float inverse = sum > 0.0f ? 1.0f / sum : 0.0f;
    Bf16* out = t.out + rowOf(row) * t.headDim;
    PM_UNROLL
    for (int i = 0; i < D / 8; i++) {
      const int channel = i * 8 + (lane & 3) * 2;  // head sizes are even
      if (channel < t.headDim)
        *reinterpret_cast<uint32_t*>(out + channel) = packBf16(rows.out[i * 4 + half * 2] * inverse, rows.out[i * 4 + half * 2 + 1] * inverse);
    }
  }
}

template <int D>
PM_KERNEL PM_BOUNDS(kThreads, 1) warpgroupKernel(AttentionTask t) {
  PM_SHARED(shared);
  const AttentionItem item = t.items[blockIdx.x];
  if (item.queries == 0) return;
  const int begin = t.window > 0 ? max(item.begin, (item.position - t.window + 1) / kPageTokens * kPageTokens) : item.begin;
  const Span span{begin, (item.end - begin + Stage<D>::kTokens - 1) / Stage<D>::kTokens};
  const Memory<D> memory(shared);
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; i++) {
      initBarrier(memory.keysFull + i, 1);
      initBarrier(memory.valuesFull + i, 1);
      initBarrier(memory.keysEmpty + i, kConsumerWarps);
      initBarrier(memory.valuesEmpty + i, kConsumerWarps);
    }
    fenceBarriers();
  }
  syncThreads();
  if (warpOf() >= kConsumerWarps) {
    giveRegisters<kCopyRegisters>();
    if (warpOf() == kConsumerWarps) copyStages<D>(t, item, memory, span);
  } else {
    takeRegisters<kRowRegisters>();
    attendRows<D>(t, item, memory, span);
  }
}

template <int D>
void launchWarpgroups(const AttentionTask& t, cudaStream_t stream) {
  launch<warpgroupKernel<D>>(dim3((unsigned)t.itemCount, (unsigned)t.kvHeads), kThreads, Stage<D>::kShared, stream, t);
}

}  // namespace

void attendPrefillWarpgroups(const AttentionTask& t, cudaStream_t stream) {
  switch (t.padded) {
    case 64: return launchWarpgroups<64>(t, stream);
    case 128: return launchWarpgroups<128>(t, stream);
    default: return launchWarpgroups<256>(t, stream);
  }
}

}  // namespace pm::cuda
