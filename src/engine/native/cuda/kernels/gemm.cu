// y[rows, n] = x[rows, k] w[n, k]^T + bias, bfloat16 in, float32 sums and out. Weights may have 8 bits (fp8.h): they become
// bfloat16 in registers, exactly, and the sums are scaled.
//
// A block computes TM rows by TN outputs. Slices of 64 along k pass through shared memory, several under way at a time;
// a row of a slice is 128 bytes, its 16-byte chunk c lies at c ^ (row & 7), so matrix loads meet no bank twice.
// k is cut into gemmSplits(n, k) ranges. For few rows (decoding, bound by the bytes of w) each range has blocks of
// its own, so that all multiprocessors stream weights; the block that finishes a tile last adds the ranges up. For many
// rows, and for experts, whose rows are few but whose matrices are many, one block walks all ranges. Both add in the same order: a row's result does not depend on the other rows.
#include <algorithm>

#include "kernels.h"
#include "warp.h"

namespace pm::cuda {
namespace {

constexpr int kSlice = 64, kRowBytes = kSlice * 2, kChunks = kRowBytes / 16;
constexpr int kRowBytes8 = kSlice, kChunks8 = kRowBytes8 / 16;  // of 8-bit weights
// Blocks that keep 132 multiprocessors busy three times over. Fixed, so that sums do not depend on the card.
constexpr int kWantedBlocks = 396, kSkinnyTile = 64, kMaxSplits = 8, kLeastSlices = 4;
constexpr int kExpandThreads = 256;
constexpr int kFewRowsOfExpert = 32;  // on average

struct Ranges {
  int slices, perSplit;
};
PM_BOTH Ranges rangesOf(int k, int splits) {
  const int slices = (k + kSlice - 1) / kSlice;
  return {slices, (slices + splits - 1) / splits};
}

template <int TM, int TN, int WM, int WN, int STAGES, bool SERIAL, bool FP8, bool GROUPED = false>
struct Shape {
  static constexpr int kThreads = WM * WN * 32, kRows = TM, kOutputs = TN, kStages = STAGES;
  static constexpr int kWarpRows = TM / WM / 16, kWarpTiles = TN / WN / 8;  // 16-row and 8-output tiles of a warp
  static constexpr int kWeightRow = FP8 ? kRowBytes8 : kRowBytes;
  static constexpr int kStageBytes = TM * kRowBytes + TN * kWeightRow, kSharedBytes = STAGES * kStageBytes + 16;
  static constexpr bool kSerial = SERIAL, kFp8 = FP8, kGrouped = GROUPED;
  static constexpr int kWarpsN = WN;
};

// Rows [first, first + ROWS) of a matrix [limit, k] at slice `slice`; zeros outside of it. `rowsOf`: where rows lie, or
// null: as they are numbered.
template <int ROWS, int THREADS>
PM_DEVICE void fetch(char* to, const Bf16* from, int first, int limit, int k, int slice, const int32_t* rowsOf = nullptr) {
  PM_UNROLL
  for (int i = 0; i < ROWS * kChunks / THREADS; i++) {
    const int at = i * THREADS + (int)threadIdx.x, row = at / kChunks, chunk = at % kChunks;
    const int column = slice * kSlice + chunk * 8;
    const bool valid = first + row < limit && column < k;
    const size_t sourceRow = valid ? (size_t)(rowsOf ? rowsOf[first + row] : first + row) : 0;
    const Bf16* source = from + (valid ? sourceRow * (size_t)k + (size_t)column : 0);
    copyAsync(to + row * kRowBytes + ((chunk ^ (row & 7)) << 4), source, valid);
  }
}

// The same of 8-bit weights. Two rows share a line of banks.
PM_BOTH constexpr int chunk8(int row, int chunk) { return row * kRowBytes8 + ((chunk ^ (row >> 1 & 3)) << 4); }
template <int ROWS, int THREADS>
PM_DEVICE void fetch8(char* to, const uint8_t* from, int first, int limit, int k, int slice) {
  PM_UNROLL
  for (int i = 0; i < ROWS * kChunks8 / THREADS; i++) {
    const int at = i * THREADS + (int)threadIdx.x, row = at / kChunks8, chunk = at % kChunks8;
    const int column = slice * kSlice + chunk * 16;
    const bool valid = first + row < limit && column < k;
    copyAsync(to + chunk8(row, chunk), from + (valid ? (size_t)(first + row) * k + column : 0), valid);
  }
}

template <class S>
PM_KERNEL PM_BOUNDS(S::kThreads, 1) gemmKernel(GemmTask t, int splits) {
  PM_SHARED(shared);
  constexpr int MT = S::kWarpRows, NT = S::kWarpTiles;
  const int lane = laneOf(), warpM = warpOf() / S::kWarpsN, warpN = warpOf() % S::kWarpsN;
  const int firstOut = (int)blockIdx.x * S::kOutputs;
  int firstRow = (int)blockIdx.y * S::kRows;
  if constexpr (S::kGrouped) {
    // The tiles of all experts, one after the other.
    int tile = (int)blockIdx.y, expert = 0;
    for (; expert < t.experts; expert++) {
      const int tiles = (t.starts[expert + 1] - t.starts[expert] + S::kRows - 1) / S::kRows;
      if (tile < tiles) break;
      tile -= tiles;
    }
    if (expert == t.experts) return;
    firstRow = t.starts[expert] + tile * S::kRows;
    t.rows = t.starts[expert + 1];
    t.w += (size_t)expert * t.n * t.k;
    if constexpr (S::kFp8) {
      t.w8 += (size_t)expert * t.n * t.k;
      t.scales += (size_t)expert * t.n;
    }
  }
  const Ranges ranges = rangesOf(t.k, splits);
  const int from = S::kSerial ? 0 : (int)blockIdx.z * ranges.perSplit;
  const int to = S::kSerial ? ranges.slices : min(ranges.slices, from + ranges.perSplit);

  const auto stage = [&](int slice) { return shared + (slice - from) % S::kStages * S::kStageBytes; };
  const auto issue = [&](int slice) {
    if (slice < to) {
      fetch<S::kRows, S::kThreads>(stage(slice), t.x, firstRow, t.rows, t.k, slice, S::kGrouped ? t.rowsOf : nullptr);
      char* weights = stage(slice) + S::kRows * kRowBytes;
      if constexpr (S::kFp8) fetch8<S::kOutputs, S::kThreads>(weights, t.w8, firstOut, t.n, t.k, slice);
      else fetch<S::kOutputs, S::kThreads>(weights, t.w, firstOut, t.n, t.k, slice);
    }
    commitCopies();
  };

  float sum[MT][NT][4] = {}, total[S::kSerial ? MT : 1][S::kSerial ? NT : 1][4] = {};
  PM_UNROLL
  for (int i = 0; i < S::kStages - 1; i++) issue(from + i);
  for (int slice = from; slice < to; slice++) {
    waitCopies<S::kStages - 2>();
    syncThreads();
    issue(slice + S::kStages - 1);
    const char* x = stage(slice) + warpM * MT * 16 * kRowBytes;
    const char* w = stage(slice) + S::kRows * kRowBytes + warpN * NT * 8 * S::kWeightRow;
    PM_UNROLL
    for (int step = 0; step < kSlice / 16; step++) {
      uint32_t a[MT][4], b[NT / 2][4];
      PM_UNROLL
      for (int i = 0; i < MT; i++) {
        const int row = i * 16 + (lane & 15), chunk = step * 2 + (lane >> 4);
        loadMatrices(a[i], x + row * kRowBytes + ((chunk ^ (row & 7)) << 4));
      }
      PM_UNROLL
      for (int i = 0; i < NT / 2; i++) {
        if constexpr (S::kFp8) {
          PM_UNROLL
          for (int half = 0; half < 2; half++) {
            const int row = i * 16 + half * 8 + (lane >> 2);
            e4m3ToBf16(*reinterpret_cast<const uint32_t*>(w + chunk8(row, step) + (lane & 3) * 4), b[i][half * 2], b[i][half * 2 + 1]);
          }
        } else {
          const int row = i * 16 + (lane & 7) + ((lane >> 4) << 3), chunk = step * 2 + ((lane >> 3) & 1);
          loadMatrices(b[i], w + row * kRowBytes + ((chunk ^ (row & 7)) << 4));
        }
      }
      PM_UNROLL
      for (int i = 0; i < MT; i++)
        PM_UNROLL
        for (int j = 0; j < NT; j++) multiplyBf16(sum[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
    if constexpr (S::kSerial) {
      if ((slice + 1) % ranges.perSplit == 0 || slice + 1 == to) {
        const bool isFirst = slice < ranges.perSplit;
        PM_UNROLL
        for (int i = 0; i < MT; i++)
          PM_UNROLL
          for (int j = 0; j < NT; j++)
            PM_UNROLL
            for (int e = 0; e < 4; e++) {
              total[i][j][e] = isFirst ? sum[i][j][e] : total[i][j][e] + sum[i][j][e];
              sum[i][j][e] = 0;
            }
      }
    }
  }

  // Calls body(row, output, value) for what this thread holds.
  const auto each = [&](const auto& values, const auto& body) {
    PM_UNROLL
    for (int i = 0; i < MT; i++)
      PM_UNROLL
      for (int j = 0; j < NT; j++)
        PM_UNROLL
        for (int e = 0; e < 4; e++) {
          const int row = firstRow + (warpM * MT + i) * 16 + (lane >> 2) + (e >> 1) * 8;
          const int out = firstOut + (warpN * NT + j) * 8 + (lane & 3) * 2 + (e & 1);
          if (row < t.rows && out < t.n) body(row, out, values[i][j][e]);
        }
  };
  const auto store = [&](int row, int out, float value) {
    float* y = t.y + (size_t)row * t.n + out;
    if constexpr (S::kFp8) value *= t.scales[out];
    if (t.bias) value += t.bias[out];
    *y = t.accumulate ? *y + value : value;
  };
  if constexpr (S::kSerial) {
    each(total, store);
  } else {
    if (splits == 1) {
      each(sum, store);
      return;
    }
    const size_t plane = (size_t)t.rows * t.n;
    each(sum, [&](int row, int out, float value) { t.workspace[blockIdx.z * plane + (size_t)row * t.n + out] = value; });
    uint32_t* arrived = reinterpret_cast<uint32_t*>(shared + S::kStages * S::kStageBytes);
    fence();
    syncThreads();
    if (threadIdx.x == 0) {
      *arrived = addAtomic(t.counters + blockIdx.x, 1u);
      if (*arrived == (uint32_t)splits - 1) t.counters[blockIdx.x] = 0;
    }
    syncThreads();
    if (*arrived != (uint32_t)splits - 1) return;
    fence();
    each(sum, [&](int row, int out, float) {
      const float* at = t.workspace + (size_t)row * t.n + out;
      float value = loadFresh(at);
      for (int split = 1; split < splits; split++) value += loadFresh(at + (size_t)split * plane);
      store(row, out, value);
    });
  }
}

template <class S>
void launchShape(const GemmTask& t, cudaStream_t stream) {
  const int splits = gemmSplits(t.n, t.k);
  const int tiles = (t.rows + S::kRows - 1) / S::kRows + (S::kGrouped ? t.experts : 0);
  const dim3 grid((unsigned)((t.n + S::kOutputs - 1) / S::kOutputs), (unsigned)tiles,
                  S::kSerial ? 1u : (unsigned)splits);
  launch<gemmKernel<S>>(grid, S::kThreads, S::kSharedBytes, stream, t, splits);
}

}  // namespace

int gemmSplits(int n, int k) {
  const int tiles = (n + kSkinnyTile - 1) / kSkinnyTile, slices = (k + kSlice - 1) / kSlice;
  const int wanted = std::clamp(kWantedBlocks / tiles, 1, std::min(kMaxSplits, std::max(1, slices / kLeastSlices)));
  const int each = (slices + wanted - 1) / wanted;
  return (slices + each - 1) / each;  // no range is empty
}

size_t gemmWorkspace(int n, int k) {
  const int splits = gemmSplits(n, k);
  return splits == 1 ? 0 : (size_t)splits * kSkinnyRows * n;
}

namespace {

template <bool FP8>
void launchFor(const GemmTask& t, cudaStream_t stream) {
  if (t.starts && t.rows <= kFewRowsOfExpert * t.experts) return launchShape<Shape<16, kSkinnyTile, 1, 4, 6, true, FP8, true>>(t, stream);
  if (t.starts) return launchShape<Shape<128, 64, 4, 2, 4, true, FP8, true>>(t, stream);
  if (t.rows <= 16) launchShape<Shape<16, kSkinnyTile, 1, 4, 6, false, FP8>>(t, stream);
  else if (t.rows <= 32) launchShape<Shape<32, kSkinnyTile, 1, 4, 6, false, FP8>>(t, stream);
  else if (t.rows <= kSkinnyRows) launchShape<Shape<64, kSkinnyTile, 1, 4, 5, false, FP8>>(t, stream);
  else launchShape<Shape<128, 64, 4, 2, 4, true, FP8>>(t, stream);
}

// One thread per word of four weights.
PM_KERNEL expandKernel(ExpandTask t) {
  const int word = (int)(blockIdx.y * kExpandThreads + threadIdx.x), row = (int)blockIdx.x;
  if (word >= t.k / 4) return;
  uint32_t even, odd;
  e4m3ToBf16(reinterpret_cast<const uint32_t*>(t.w8 + (size_t)row * t.k)[word], even, odd);
  const float scale = t.scales[row];
  uint32_t* to = reinterpret_cast<uint32_t*>(t.out + (size_t)row * t.k + word / 4 * 16 + word % 4 * 2);
  to[0] = packBf16(lowBf16(even) * scale, highBf16(even) * scale);
  to[4] = packBf16(lowBf16(odd) * scale, highBf16(odd) * scale);
}

}  // namespace

void gemm(const GemmTask& t, cudaStream_t stream) {
  if (t.w8) launchFor<true>(t, stream);
  else launchFor<false>(t, stream);
}

void expandWeights(const ExpandTask& t, cudaStream_t stream) {
  const unsigned parts = (unsigned)((t.k / 4 + kExpandThreads - 1) / kExpandThreads);
  launch<expandKernel>(dim3((unsigned)t.n, parts), kExpandThreads, 0, stream, t);
}

}  // namespace pm::cuda
