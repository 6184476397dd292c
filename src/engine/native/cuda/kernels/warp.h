// Reductions and scans over a warp or a block. All threads of the warp or block take part.
#pragma once

#include <device.h>

namespace pm::cuda {

PM_DEVICE int laneOf() { return (int)threadIdx.x & 31; }
PM_DEVICE int warpOf() { return (int)threadIdx.x >> 5; }

template <class T>
PM_DEVICE T warpSum(T x) {
  PM_UNROLL
  for (int mask = 16; mask > 0; mask >>= 1) x += shuffleXor(x, mask);
  return x;
}

PM_DEVICE float warpMax(float x) {
  PM_UNROLL
  for (int mask = 16; mask > 0; mask >>= 1) x = fmaxf(x, shuffleXor(x, mask));
  return x;
}

// `scratch` holds one value per warp. In the order of the warps, so the same every time.
template <class T>
PM_DEVICE T blockSum(T x, T* scratch) {
  x = warpSum(x);
  syncThreads();
  if (laneOf() == 0) scratch[warpOf()] = x;
  syncThreads();
  T sum = 0;
  for (int i = 0; i < (int)blockDim.x / 32; i++) sum += scratch[i];
  return sum;
}

PM_DEVICE float blockMax(float x, float* scratch) {
  x = warpMax(x);
  syncThreads();
  if (laneOf() == 0) scratch[warpOf()] = x;
  syncThreads();
  float most = scratch[0];
  for (int i = 1; i < (int)blockDim.x / 32; i++) most = fmaxf(most, scratch[i]);
  return most;
}

// Four e4m3 as two pairs of bfloat16, exactly: bytes 0 and 2, bytes 1 and 3. Their bits are those of a bfloat16 with an
// exponent 120 too small, subnormal ones included.
PM_DEVICE void e4m3ToBf16(uint32_t four, uint32_t& even, uint32_t& odd) {
  constexpr uint32_t kTwoTo120 = 0x7b807b80u;
  even = multiplyPairBf16((four << 8 & 0x80008000u) | (four << 4 & 0x07f007f0u), kTwoTo120);
  odd = multiplyPairBf16((four & 0x80008000u) | (four >> 4 & 0x07f007f0u), kTwoTo120);
}

}  // namespace pm::cuda
