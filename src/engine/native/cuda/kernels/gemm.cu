// y[rows, n] = x[rows, k] w[n, k]^T + bias, bfloat16 in, float32 sums and out.
//
// A block computes TM rows by TN outputs. Slices of 64 along k pass through shared memory, several under way at a time;
// a row of a slice is 128 bytes, its 16-byte chunk c lies at c ^ (row & 7), so matrix loads meet no bank twice.
// k is cut into gemmSplits(n, k) ranges. For few rows (decoding, bound by the bytes of w) each range has blocks of
// its own, so that all multiprocessors stream weights; the block that finishes a tile last adds the ranges up. For many
// rows one block walks all ranges. Both add in the same order: a row's result does not depend on the other rows.
#include <algorithm>

#include "kernels.h"
#include "warp.h"

namespace pm::cuda {
namespace {

constexpr int kSlice = 64, kRowBytes = kSlice * 2, kChunks = kRowBytes / 16;
// Blocks that keep 132 multiprocessors busy three times over. Fixed, so that sums do not depend on the card.
constexpr int kWantedBlocks = 396, kSkinnyTile = 64, kMaxSplits = 8, kLeastSlices = 4;

struct Ranges {
  int slices, perSplit;
};
PM_BOTH Ranges rangesOf(int k, int splits) {
  const int slices = (k + kSlice - 1) / kSlice;
  return {slices, (slices + splits - 1) / splits};
}

template <int TM, int TN, int WM, int WN, int STAGES, bool SERIAL>
struct Shape {
  static constexpr int kThreads = WM * WN * 32, kRows = TM, kOutputs = TN, kStages = STAGES;
  static constexpr int kWarpRows = TM / WM / 16, kWarpTiles = TN / WN / 8;  // 16-row and 8-output tiles of a warp
  static constexpr int kStageBytes = (TM + TN) * kRowBytes, kSharedBytes = STAGES * kStageBytes + 16;
  static constexpr bool kSerial = SERIAL;
  static constexpr int kWarpsN = WN;
};

// Rows [first, first + ROWS) of a matrix [limit, k] at slice `slice`; zeros outside of it.
template <int ROWS, int THREADS>
PM_DEVICE void fetch(char* to, const Bf16* from, int first, int limit, int k, int slice) {
  PM_UNROLL
  for (int i = 0; i < ROWS * kChunks / THREADS; i++) {
    const int at = i * THREADS + (int)threadIdx.x, row = at / kChunks, chunk = at % kChunks;
    const int column = slice * kSlice + chunk * 8;
    const bool valid = first + row < limit && column < k;
    const Bf16* source = from + (valid ? (size_t)(first + row) * k + column : 0);
    copyAsync(to + row * kRowBytes + ((chunk ^ (row & 7)) << 4), source, valid);
  }
}

template <class S>
PM_KERNEL PM_BOUNDS(S::kThreads, 1) gemmKernel(GemmTask t, int splits) {
  PM_SHARED(shared);
  constexpr int MT = S::kWarpRows, NT = S::kWarpTiles;
  const int lane = laneOf(), warpM = warpOf() / S::kWarpsN, warpN = warpOf() % S::kWarpsN;
  const int firstRow = (int)blockIdx.y * S::kRows, firstOut = (int)blockIdx.x * S::kOutputs;
  const Ranges ranges = rangesOf(t.k, splits);
  const int from = S::kSerial ? 0 : (int)blockIdx.z * ranges.perSplit;
  const int to = S::kSerial ? ranges.slices : min(ranges.slices, from + ranges.perSplit);

  const auto stage = [&](int slice) { return shared + (slice - from) % S::kStages * S::kStageBytes; };
  const auto issue = [&](int slice) {
    if (slice < to) {
      fetch<S::kRows, S::kThreads>(stage(slice), t.x, firstRow, t.rows, t.k, slice);
      fetch<S::kOutputs, S::kThreads>(stage(slice) + S::kRows * kRowBytes, t.w, firstOut, t.n, t.k, slice);
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
    const char* w = stage(slice) + (S::kRows + warpN * NT * 8) * kRowBytes;
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
        const int row = i * 16 + (lane & 7) + ((lane >> 4) << 3), chunk = step * 2 + ((lane >> 3) & 1);
        loadMatrices(b[i], w + row * kRowBytes + ((chunk ^ (row & 7)) << 4));
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
  const dim3 grid((unsigned)((t.n + S::kOutputs - 1) / S::kOutputs), (unsigned)((t.rows + S::kRows - 1) / S::kRows),
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

void gemm(const GemmTask& t, cudaStream_t stream) {
  if (t.rows <= 16) launchShape<Shape<16, kSkinnyTile, 1, 4, 6, false>>(t, stream);
  else if (t.rows <= 32) launchShape<Shape<32, kSkinnyTile, 1, 4, 6, false>>(t, stream);
  else if (t.rows <= kSkinnyRows) launchShape<Shape<64, kSkinnyTile, 1, 4, 5, false>>(t, stream);
  else launchShape<Shape<128, 64, 4, 2, 4, true>>(t, stream);
}

}  // namespace pm::cuda
