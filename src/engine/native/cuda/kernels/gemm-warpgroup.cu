// y[rows, n] = x[rows, k] w[n, k]^T + bias for many rows on Hopper, where cuBLASLt is not found: products of warpgroups
// (wgmma), each sum one chain along k.
//
// A block computes 128 rows by 128 outputs, each of its two warpgroups 64 rows. Slices of 64 along k pass through four
// stages; a row of a slice is 128 bytes and chunk c lies at c ^ (row & 7), which is how matrix-descriptor.h wants it. All
// threads fetch 16 bytes at a time: a tensor map would need the driver's encoder for each pair of sizes, and the fetch
// has the time of two slices to hide in. The products of one slice run while the next one is waited for.
#include <warpgroup.h>

#include "kernels.h"
#include "warp.h"

namespace pm::cuda {
namespace {

constexpr int kTile = 128, kThreads = 256, kStages = 4, kAhead = kStages - 2, kSlice = 64;
constexpr int kMatrixBytes = kTile * kLine, kStageBytes = 2 * kMatrixBytes, kShared = kAtomBytes + kStages * kStageBytes;

// Rows [first, first + 128) of a matrix [limit, k] at a slice; zeros outside of it.
PM_DEVICE void fetchTile(char* to, const Bf16* from, int first, int limit, int k, int slice) {
  PM_UNROLL
  for (int i = 0; i < kMatrixBytes / 16 / kThreads; i++) {
    const int at = i * kThreads + (int)threadIdx.x, row = at / 8, chunk = at % 8, column = slice * kSlice + chunk * 8;
    const bool valid = first + row < limit && column < k;
    copyAsync(to + swizzledChunk(row, chunk), from + (valid ? (size_t)(first + row) * k + column : 0), valid);
  }
}

PM_KERNEL PM_BOUNDS(kThreads, 1) gemmWarpgroupKernel(GemmTask t) {
  PM_SHARED(shared);
  char* stages = shared + (-sharedAddress(shared) & (kAtomBytes - 1));
  const int lane = laneOf(), firstRow = (int)blockIdx.y * kTile, firstOut = (int)blockIdx.x * kTile;
  const int slices = (t.k + kSlice - 1) / kSlice, ownRows = warpOf() / 4 * 64;
  const auto stage = [&](int slice) { return stages + slice % kStages * kStageBytes; };
  const auto issue = [&](int slice) {
    if (slice < slices) {
      fetchTile(stage(slice), t.x, firstRow, t.rows, t.k, slice);
      fetchTile(stage(slice) + kMatrixBytes, t.w, firstOut, t.n, t.k, slice);
    }
    commitCopies();
  };

  float sum[kTile / 2];
  PM_UNROLL
  for (int i = 0; i < kTile / 2; i++) sum[i] = 0;
  PM_UNROLL
  for (int i = 0; i < kAhead; i++) issue(i);
  for (int slice = 0; slice < slices; slice++) {
    waitCopies<kAhead - 1>();
    fenceShared();
    syncThreads();  // the slice is there for all, and all have left the one before the last
    settle(sum);
    beginProducts();
    PM_UNROLL
    for (int step = 0; step < kSlice / 16; step++)
      multiplyWarpgroup<kTile, false>(sum, matrixDescriptor(sharedAddress(stage(slice) + ownRows * kLine + step * 32), 16, kAtomBytes),
                                      matrixDescriptor(sharedAddress(stage(slice) + kMatrixBytes + step * 32), 16, kAtomBytes), true);
    endProducts();
    issue(slice + kAhead);
    waitProducts<1>();
  }
  waitProducts<0>();
  settle(sum);
  waitCopies<0>();

  PM_UNROLL
  for (int i = 0; i < kTile / 2; i++) {
    const int row = firstRow + ownRows + warpOf() % 4 * 16 + (lane >> 2) + (i >> 1 & 1) * 8;
    const int out = firstOut + i / 4 * 8 + (lane & 3) * 2 + (i & 1);
    if (row >= t.rows || out >= t.n) continue;
    float* y = t.y + (size_t)row * t.n + out;
    const float value = t.bias ? sum[i] + t.bias[out] : sum[i];
    *y = t.accumulate ? *y + value : value;
  }
}

}  // namespace

void gemmWarpgroups(const GemmTask& t, cudaStream_t stream) {
  const dim3 grid((unsigned)((t.n + kTile - 1) / kTile), (unsigned)((t.rows + kTile - 1) / kTile));
  launch<gemmWarpgroupKernel>(grid, kThreads, (size_t)kShared, stream, t);
}

}  // namespace pm::cuda
