// Mixtures of experts around the products of gemm.cu, which read rows of x through a list here.
//
//   route    one warp per row: softmax over all experts, the perToken largest, equal ones in index order (Jiang et al. 2024,
//            "Mixtral of Experts", section 2.1); weights scaled to sum to 1 where the model does so
//   sort     one block per expert: where its pairs (row, rank) begin among those sorted by expert, and which rows they are.
//            Stable and without atomics: the same every time
//   combine  one block per row: the weighted sum of its experts' outputs, best first
#include "kernels.h"
#include "warp.h"

namespace pm::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32, kMostPerLane = kMaxExperts / 32;

PM_KERNEL routeKernel(RouteTask t) {
  const int row = (int)blockIdx.x * kWarps + warpOf(), lane = laneOf();
  if (row >= t.rows) return;
  const float* logits = t.logits + (size_t)row * t.experts;
  float p[kMostPerLane], most = -INFINITY, total = 0;
  PM_UNROLL
  for (int i = 0; i < kMostPerLane; i++) {
    const int expert = i * 32 + lane;
    p[i] = expert < t.experts ? logits[expert] : -INFINITY;
    most = fmaxf(most, p[i]);
  }
  most = warpMax(most);
  PM_UNROLL
  for (int i = 0; i < kMostPerLane; i++) {
    p[i] = i * 32 + lane < t.experts ? expf(p[i] - most) : -1.0f;
    total += p[i] > 0.0f ? p[i] : 0.0f;
  }
  total = warpSum(total);
  float picked = 0, mine = 0;
  int mineId = 0;
  for (int rank = 0; rank < t.perToken; rank++) {
    float best = -2;
    int id = 0;
    PM_UNROLL
    for (int i = 0; i < kMostPerLane; i++)
      if (p[i] > best) {
        best = p[i];
        id = i * 32 + lane;
      }
    PM_UNROLL
    for (int mask = 16; mask > 0; mask >>= 1) {
      const float other = shuffleXor(best, mask);
      const int otherId = shuffleXor(id, mask);
      if (other > best || (other == best && otherId < id)) {
        best = other;
        id = otherId;
      }
    }
    PM_UNROLL
    for (int i = 0; i < kMostPerLane; i++)
      if (i * 32 + lane == id) p[i] = -1.0f;
    picked += best;
    if (lane == rank) {
      mine = best;
      mineId = id;
    }
  }
  if (lane < t.perToken) {
    t.ids[(size_t)row * t.perToken + lane] = mineId;
    t.weights[(size_t)row * t.perToken + lane] = mine / (t.renormalizes ? picked : total);
  }
}

PM_KERNEL sortKernel(ExpertSortTask t) {
  PM_SHARED(shared);
  int* counts = reinterpret_cast<int*>(shared);  // [kWarps]
  const int expert = (int)blockIdx.x, pairs = t.rows * t.perToken, lane = laneOf(), warp = warpOf();
  int before = 0;  // pairs of earlier experts
  for (int i = (int)threadIdx.x; i < pairs; i += kThreads) before += t.ids[i] < expert;
  before = blockSum(before, counts);
  if (threadIdx.x == 0) {
    t.starts[expert] = before;
    if (expert + 1 == t.experts) t.starts[t.experts] = pairs;
  }
  int next = before;
  for (int first = 0; first < pairs; first += kThreads) {
    const int i = first + (int)threadIdx.x;
    const bool isMine = i < pairs && t.ids[i] == expert;
    const uint32_t votes = ballot(isMine);
    syncThreads();
    if (lane == 0) counts[warp] = countBits(votes);
    syncThreads();
    int place = next;
    for (int w = 0; w < kWarps; w++) {
      if (w < warp) place += counts[w];
      next += counts[w];
    }
    if (!isMine) continue;
    place += countBits(votes & ((1u << lane) - 1));
    t.places[i] = place;
    t.rowsOf[place] = i / t.perToken;
  }
}

PM_KERNEL combineKernel(CombineTask t) {
  const size_t row = blockIdx.x;
  for (int i = (int)threadIdx.x; i < t.n; i += kThreads) {
    float sum = 0;
    for (int rank = 0; rank < t.perToken; rank++)
      sum += t.weights[row * t.perToken + rank] * t.outputs[(size_t)t.places[row * t.perToken + rank] * t.n + i];
    float* out = t.out + row * t.n + i;
    *out = t.accumulate ? *out + sum : sum;
  }
}

}  // namespace

void route(const RouteTask& t, cudaStream_t stream) {
  launch<routeKernel>(dim3((unsigned)((t.rows + kWarps - 1) / kWarps)), kThreads, 0, stream, t);
}
void sortByExpert(const ExpertSortTask& t, cudaStream_t stream) {
  launch<sortKernel>(dim3((unsigned)t.experts), kThreads, kWarps * sizeof(int), stream, t);
}
void combineExperts(const CombineTask& t, cudaStream_t stream) {
  launch<combineKernel>(dim3((unsigned)t.rows), kThreads, 0, stream, t);
}

}  // namespace pm::cuda
