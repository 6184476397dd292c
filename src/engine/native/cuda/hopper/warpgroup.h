// What only Hopper has (sm_90a), for kernels that run there alone: barriers in shared memory, copies that complete on
// them, and matrix products of a warpgroup (128 threads, four warps from a multiple of four on). PTX ISA 9.0 is the
// source; the emulation for tests repeats each meaning in plain C++. For other targets the same names trap.
#pragma once

#include <device.h>

#include "../matrix-descriptor.h"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define PM_HOPPER(...) asm volatile(__VA_ARGS__)
#else
#define PM_HOPPER(...) __trap()
#endif

namespace pm::cuda {

using SharedBarrier = uint64_t;

// A phase of the barrier ends with `count` arrivals and the bytes that were announced for it. By one thread; others may
// use it after fenceBarriers() there and syncThreads().
PM_DEVICE void initBarrier(SharedBarrier* barrier, int count) {
  PM_HOPPER("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(sharedAddress(barrier)), "r"(count) : "memory");
}
PM_DEVICE void fenceBarriers() { PM_HOPPER("fence.mbarrier_init.release.cluster; fence.proxy.async.shared::cta;" ::: "memory"); }
PM_DEVICE void arrive(SharedBarrier* barrier) {
  PM_HOPPER("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(sharedAddress(barrier)) : "memory");
}
// Arrives, and announces bytes of copies.
PM_DEVICE void arriveExpecting(SharedBarrier* barrier, int bytes) {
  PM_HOPPER("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(sharedAddress(barrier)), "r"(bytes) : "memory");
}
// Until the phase of that parity has ended. Of a new barrier the phase before the first, of parity 1, has.
PM_DEVICE void waitBarrier(SharedBarrier* barrier, int parity) {
  PM_HOPPER(
      "{\n.reg .pred done;\n"
      "again:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@!done bra again;\n}" ::"r"(sharedAddress(barrier)),
      "r"(parity) : "memory");
}

// A multiple of 16 bytes from global to shared memory by the copy engine; they count for the barrier.
PM_DEVICE void copyBulk(void* to, const void* from, int bytes, SharedBarrier* barrier) {
  PM_HOPPER("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(sharedAddress(to)),
            "l"(from), "r"(bytes), "r"(sharedAddress(barrier)) : "memory");
}

// A plain write to shared memory that the copy engine or a product reads next; fenceShared() comes after it.
PM_DEVICE void storeShared(void* to, uint4 value) { *reinterpret_cast<uint4*>(to) = value; }

// Makes this thread's plain writes to shared memory visible to the copy engine and the warpgroup's products; before the
// barrier that tells others of them.
PM_DEVICE void fenceShared() { PM_HOPPER("fence.proxy.async.shared::cta;" ::: "memory"); }

// A barrier of the 128 threads of warpgroup `group`, 0 or 1.
PM_DEVICE void syncWarpgroup(int group) {
  if (group == 0) PM_HOPPER("bar.sync 1, 128;" ::: "memory");
  else PM_HOPPER("bar.sync 2, 128;" ::: "memory");
}

// Registers of each thread of this warpgroup from here on; a launch begins with equal shares.
template <int N>
PM_DEVICE void takeRegisters() { PM_HOPPER("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N)); }
template <int N>
PM_DEVICE void giveRegisters() { PM_HOPPER("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N)); }

// Products run by themselves: beginProducts() before the first one, and after registers of c or a were written;
// endProducts() closes a batch; waitProducts<N>() until at most N batches run. Until then c, a and the matrices in
// shared memory must stay as they are.
PM_DEVICE void beginProducts() { PM_HOPPER("wgmma.fence.sync.aligned;" ::: "memory"); }
PM_DEVICE void endProducts() { PM_HOPPER("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N>
PM_DEVICE void waitProducts() { PM_HOPPER("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"); }

// The compiler may not move reads or writes of these registers across this point.
template <int N>
PM_DEVICE void settle(float (&c)[N]) {
  PM_UNROLL
  for (int i = 0; i < N; i++) asm volatile("" : "+f"(c[i])::"memory");
}
template <int M, int N>
PM_DEVICE void settle(float (&c)[M][N]) {
  PM_UNROLL
  for (int i = 0; i < M; i++) settle(c[i]);
}

// Registers c[0 .. n) as operands, and the names %0 .. %n-1 of these.
#define PM_C8(i) \
  "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3]), "+f"(c[i + 4]), "+f"(c[i + 5]), "+f"(c[i + 6]), "+f"(c[i + 7])
#define PM_C32(i) PM_C8(i), PM_C8(i + 8), PM_C8(i + 16), PM_C8(i + 24)
#define PM_C64(i) PM_C32(i), PM_C32(i + 32)
#define PM_TEN(t) "%" #t "0, %" #t "1, %" #t "2, %" #t "3, %" #t "4, %" #t "5, %" #t "6, %" #t "7, %" #t "8, %" #t "9, "
#define PM_D32 PM_TEN() PM_TEN(1) PM_TEN(2) "%30, %31"
#define PM_D64 PM_TEN() PM_TEN(1) PM_TEN(2) PM_TEN(3) PM_TEN(4) PM_TEN(5) "%60, %61, %62, %63"
#define PM_D128                                                                                                     \
  PM_TEN() PM_TEN(1) PM_TEN(2) PM_TEN(3) PM_TEN(4) PM_TEN(5) PM_TEN(6) PM_TEN(7) PM_TEN(8) PM_TEN(9) PM_TEN(10) PM_TEN(11) \
  "%120, %121, %122, %123, %124, %125, %126, %127"

// c[64 x N] = a[64 x 16] b[16 x N], or c += ... where `adds`. a: rows along k in shared memory, or registers: warp w has
// rows 16 w and on as the a of multiplyBf16. b: N rows along k in shared memory, or with TransposedB 16 rows along n.
// Element i of c: row 16 w + lane / 4 + i / 2 % 2 * 8, column i / 4 * 8 + lane % 4 * 2 + i % 2.
template <int N, bool TransposedB>
PM_DEVICE void multiplyWarpgroup(float (&c)[N / 2], uint64_t a, uint64_t b, bool adds) {
  static_assert(N == 64 || N == 128 || N == 256);
  if constexpr (N == 64)
    PM_HOPPER("{\n.reg .pred adds;\nsetp.ne.b32 adds, %34, 0;\n"
              "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" PM_D32 "}, %32, %33, adds, 1, 1, 0, %35;\n}"
              : PM_C32(0) : "l"(a), "l"(b), "r"((int)adds), "n"((int)TransposedB));
  else if constexpr (N == 128)
    PM_HOPPER("{\n.reg .pred adds;\nsetp.ne.b32 adds, %66, 0;\n"
              "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" PM_D64 "}, %64, %65, adds, 1, 1, 0, %67;\n}"
              : PM_C64(0) : "l"(a), "l"(b), "r"((int)adds), "n"((int)TransposedB));
  else if constexpr (N == 256)
    PM_HOPPER("{\n.reg .pred adds;\nsetp.ne.b32 adds, %130, 0;\n"
              "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" PM_D128 "}, %128, %129, adds, 1, 1, 0, %131;\n}"
              : PM_C64(0), PM_C64(64) : "l"(a), "l"(b), "r"((int)adds), "n"((int)TransposedB));
}
template <int N, bool TransposedB>
PM_DEVICE void multiplyWarpgroup(float (&c)[N / 2], const uint32_t (&a)[4], uint64_t b, bool adds) {
  static_assert(N == 64 || N == 128 || N == 256);
  if constexpr (N == 64)
    PM_HOPPER("{\n.reg .pred adds;\nsetp.ne.b32 adds, %37, 0;\n"
              "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" PM_D32 "}, {%32, %33, %34, %35}, %36, adds, 1, 1, %38;\n}"
              : PM_C32(0) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)adds), "n"((int)TransposedB));
  else if constexpr (N == 128)
    PM_HOPPER("{\n.reg .pred adds;\nsetp.ne.b32 adds, %69, 0;\n"
              "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" PM_D64 "}, {%64, %65, %66, %67}, %68, adds, 1, 1, %70;\n}"
              : PM_C64(0) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)adds), "n"((int)TransposedB));
  else if constexpr (N == 256)
    PM_HOPPER("{\n.reg .pred adds;\nsetp.ne.b32 adds, %133, 0;\n"
              "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" PM_D128 "}, {%128, %129, %130, %131}, %132, adds, 1, 1, %134;\n}"
              : PM_C64(0), PM_C64(64) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)adds), "n"((int)TransposedB));
}

#undef PM_C8
#undef PM_C32
#undef PM_C64
#undef PM_TEN
#undef PM_D32
#undef PM_D64
#undef PM_D128

}  // namespace pm::cuda
