// The same names and meanings as src/engine/native/cuda/hopper/warpgroup.h, in plain C++.
#pragma once

#include "../../../../src/engine/native/cuda/matrix-descriptor.h"
#include "device.h"

namespace pm::cuda {

using SharedBarrier = uint64_t;

void initBarrier(SharedBarrier* barrier, int count);
void arrive(SharedBarrier* barrier);
void arriveExpecting(SharedBarrier* barrier, int bytes);
void waitBarrier(SharedBarrier* barrier, int parity);
void copyBulk(void* to, const void* from, int bytes, SharedBarrier* barrier);
inline void fenceBarriers() { emulation::fenceShared(); }
inline void fenceShared() { emulation::fenceShared(); }
inline void storeShared(void* to, uint4 value) {
  memcpy(to, &value, sizeof value);
  emulation::wroteShared(to, sizeof value);
}

inline void syncWarpgroup(int) { emulation::togetherWarpgroup([](void* const*) {}, nullptr); }

template <int N>
void takeRegisters() { emulation::setRegisters(N); }
template <int N>
void giveRegisters() { emulation::setRegisters(N); }

inline void beginProducts() { emulation::products().fenced = true; }
void endProducts();
void waitForProducts(int batches);
template <int N>
void waitProducts() { waitForProducts(N); }
template <class T>
void settle(T&) {}

void startProduct(const emulation::WarpgroupProduct& product);

template <int N, bool TransposedB>
void multiplyWarpgroup(float (&c)[N / 2], uint64_t a, uint64_t b, bool adds) {
  startProduct({c, nullptr, a, b, N, TransposedB, adds});
}
template <int N, bool TransposedB>
void multiplyWarpgroup(float (&c)[N / 2], const uint32_t (&a)[4], uint64_t b, bool adds) {
  startProduct({c, a, 0, b, N, TransposedB, adds});
}

}  // namespace pm::cuda
