// The same names and meanings as src/engine/native/cuda/hopper/device.h, in plain C++.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#include "../../../../src/engine/native/numbers.h"
#include "cuda-api.h"

#define PM_KERNEL void
#define PM_BOUNDS(threads, blocks)
#define PM_DEVICE inline
#define PM_UNROLL
#define PM_SHARED(name) char* const name = emulation::sharedMemory()

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) uint4 { uint32_t x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }

#define threadIdx (emulation::position().threadIdx)
#define blockIdx (emulation::position().blockIdx)
#define blockDim (emulation::position().blockDim)
#define gridDim (emulation::position().gridDim)

namespace pm::cuda {

using std::max;
using std::min;

inline void syncThreads() { emulation::barrier(); }
inline void syncWarp() { emulation::together([](void* const*, int) {}, nullptr); }
inline void fence() {}
inline float loadFresh(const float* at) { return *at; }

template <class T>
struct Shuffle { T in, out; int argument; };

template <class T>
T shuffleXor(T x, int mask) {
  Shuffle<T> mine{x, x, mask};
  emulation::together([](void* const* all, int lanes) {
    for (int i = 0; i < lanes; i++) {
      auto* lane = static_cast<Shuffle<T>*>(all[i]);
      if (lane->argument != static_cast<Shuffle<T>*>(all[0])->argument) emulation::fail("lanes shuffle by different masks");
      lane->out = static_cast<Shuffle<T>*>(all[i ^ lane->argument])->in;
    }
  }, &mine);
  return mine.out;
}

inline double shuffleUp(double x, int by) {
  Shuffle<double> mine{x, x, by};
  emulation::together([](void* const* all, int lanes) {
    for (int i = 0; i < lanes; i++) {
      auto* lane = static_cast<Shuffle<double>*>(all[i]);
      lane->out = i >= lane->argument ? static_cast<Shuffle<double>*>(all[i - lane->argument])->in : lane->in;
    }
  }, &mine);
  return mine.out;
}

inline uint32_t ballot(bool vote) {
  Shuffle<uint32_t> mine{vote, 0, 0};
  emulation::together([](void* const* all, int lanes) {
    uint32_t votes = 0;
    for (int i = 0; i < lanes; i++) votes |= static_cast<Shuffle<uint32_t>*>(all[i])->in << i;
    for (int i = 0; i < lanes; i++) static_cast<Shuffle<uint32_t>*>(all[i])->out = votes;
  }, &mine);
  return mine.out;
}

inline int countBits(uint32_t bits) { return __builtin_popcount(bits); }

template <class T>
T addAtomic(T* at, T value) {
  const T before = *at;
  *at += value;
  return before;
}

inline int exchangeAtomic(int* at, int value) { return std::exchange(*at, value); }

// The window of shared memory starts at no particular alignment.
inline uint32_t sharedAddress(const void* p) { return 0x480u + (uint32_t)(static_cast<const char*>(p) - emulation::sharedMemory()); }

inline void copyAsync(void* to, const void* from, bool valid) { emulation::copy16(to, from, valid); }
inline void commitCopies() { emulation::commitCopies(); }
template <int N>
void waitCopies() { emulation::waitCopies(N); }

void loadMatrices(uint32_t (&r)[4], const void* row);
void loadMatricesTransposed(uint32_t (&r)[4], const void* row);
void multiplyBf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
void multiplyF16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

inline uint32_t packBf16(float low, float high) { return toBf16(low) | (uint32_t)toBf16(high) << 16; }
inline uint32_t packF16(float low, float high) { return toF16(low) | (uint32_t)toF16(high) << 16; }
inline float lowBf16(uint32_t pair) { return fromBf16((uint16_t)pair); }
inline float highBf16(uint32_t pair) { return fromBf16((uint16_t)(pair >> 16)); }

inline uint32_t multiplyPairBf16(uint32_t a, uint32_t b) { return packBf16(lowBf16(a) * lowBf16(b), highBf16(a) * highBf16(b)); }

uint16_t packE4m3(float low, float high);
uint32_t e4m3ToF16(uint16_t pair);

inline float exp2Fast(float x) { return std::exp2(x); }
inline uint32_t bitsOf(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
inline float floatOf(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }

}  // namespace pm::cuda
