// What kernels use of the processor beyond plain C++: lanes, barriers, asynchronous copies, matrix products and
// conversions, each with one meaning that the emulation for tests repeats in plain C++. PTX ISA 9.0 is the source
// of every fragment layout. All of it runs from compute capability 8.9 (e4m3) or 8.0 (the rest) on.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#define PM_KERNEL __global__ void
#define PM_BOUNDS(threads, blocks) __launch_bounds__(threads, blocks)
#define PM_DEVICE __device__ __forceinline__
#define PM_UNROLL _Pragma("unroll")
// Declares `name` as the block's dynamic shared memory.
#define PM_SHARED(name) extern __shared__ __align__(128) char name[]

namespace pm::cuda {

constexpr unsigned kFullWarp = 0xffffffffu;

PM_DEVICE void syncThreads() { __syncthreads(); }
PM_DEVICE void syncWarp() { __syncwarp(); }
PM_DEVICE void fence() { __threadfence(); }
PM_DEVICE float shuffleXor(float x, int mask) { return __shfl_xor_sync(kFullWarp, x, mask); }
PM_DEVICE double shuffleXor(double x, int mask) { return __shfl_xor_sync(kFullWarp, x, mask); }
PM_DEVICE uint32_t shuffleXor(uint32_t x, int mask) { return __shfl_xor_sync(kFullWarp, x, mask); }
PM_DEVICE int shuffleXor(int x, int mask) { return __shfl_xor_sync(kFullWarp, x, mask); }
PM_DEVICE double shuffleUp(double x, int by) { return __shfl_up_sync(kFullWarp, x, by); }
PM_DEVICE uint32_t ballot(bool vote) { return __ballot_sync(kFullWarp, vote); }
PM_DEVICE int countBits(uint32_t bits) { return __popc(bits); }
PM_DEVICE uint32_t addAtomic(uint32_t* at, uint32_t value) { return atomicAdd(at, value); }
PM_DEVICE uint64_t addAtomic(uint64_t* at, uint64_t value) {
  return atomicAdd(reinterpret_cast<unsigned long long*>(at), (unsigned long long)value);
}
PM_DEVICE int addAtomic(int* at, int value) { return atomicAdd(at, value); }
PM_DEVICE float addAtomic(float* at, float value) { return atomicAdd(at, value); }
PM_DEVICE int exchangeAtomic(int* at, int value) { return atomicExch(at, value); }

// Past the first-level cache: what another block of the same launch has written.
PM_DEVICE float loadFresh(const float* at) { return __ldcg(at); }

PM_DEVICE uint32_t sharedAddress(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }

// 16 bytes from global to shared memory, zeros where not `valid`. Done when waitCopies says so.
PM_DEVICE void copyAsync(void* to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(sharedAddress(to)), "l"(from), "r"(valid ? 16 : 0) : "memory");
}
PM_DEVICE void commitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most N of this thread's groups are under way.
template <int N>
PM_DEVICE void waitCopies() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// Four 8x8 matrices of 16-bit elements: lane i gives the address of row i % 8 of matrix i / 8, and gets of each
// matrix the two elements at row i / 4, columns i % 4 * 2 and + 1 (transposed: rows i % 4 * 2 and + 1, column i / 4).
PM_DEVICE void loadMatrices(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(sharedAddress(row)) : "memory");
}
PM_DEVICE void loadMatricesTransposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(sharedAddress(row)) : "memory");
}

// c[16x8] += a[16x16] b[16x8]. With g = lane / 4, t = lane % 4 * 2: a = rows {g, g+8, g, g+8} at columns
// {t, t, t+8, t+8} and + 1; b = rows {t, t+8} and + 1 at column g; c = (g, t), (g, t+1), (g+8, t), (g+8, t+1).
PM_DEVICE void multiplyBf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
PM_DEVICE void multiplyF16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Pairs of 16-bit floats, `low` in the low half. To nearest even.
PM_DEVICE uint32_t packBf16(float low, float high) {
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
PM_DEVICE uint32_t packF16(float low, float high) {
  uint32_t r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
PM_DEVICE float lowBf16(uint32_t pair) { return __uint_as_float(pair << 16); }
PM_DEVICE float highBf16(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

// Products of both halves, rounded to nearest even; subnormal numbers count.
PM_DEVICE uint32_t multiplyPairBf16(uint32_t a, uint32_t b) {
  uint32_t r;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(0x80008000u));  // a b - 0
  return r;
}

// Pairs of 8-bit floats e4m3, `low` in the low byte; beyond 448 saturates.
PM_DEVICE uint16_t packE4m3(float low, float high) {
#if __CUDA_ARCH__ >= 890
  uint16_t r;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(r) : "f"(high), "f"(low));
  return r;
#else
  __trap();
  return 0;
#endif
}
PM_DEVICE uint32_t e4m3ToF16(uint16_t pair) {
#if __CUDA_ARCH__ >= 890
  uint32_t r;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(r) : "h"(pair));
  return r;
#else
  __trap();
  return 0;
#endif
}

PM_DEVICE float exp2Fast(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
PM_DEVICE uint32_t bitsOf(float x) { return __float_as_uint(x); }
PM_DEVICE float floatOf(uint32_t bits) { return __uint_as_float(bits); }

}  // namespace pm::cuda
