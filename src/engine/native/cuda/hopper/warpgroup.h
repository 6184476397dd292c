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

// Registers c[0 .. n) as operands.
#define PM_C32 \
  "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]), "+f"(c[4]), "+f"(c[5]), "+f"(c[6]), "+f"(c[7]), \
  "+f"(c[8]), "+f"(c[9]), "+f"(c[10]), "+f"(c[11]), "+f"(c[12]), "+f"(c[13]), "+f"(c[14]), \
  "+f"(c[15]), "+f"(c[16]), "+f"(c[17]), "+f"(c[18]), "+f"(c[19]), "+f"(c[20]), "+f"(c[21]), \
  "+f"(c[22]), "+f"(c[23]), "+f"(c[24]), "+f"(c[25]), "+f"(c[26]), "+f"(c[27]), "+f"(c[28]), \
  "+f"(c[29]), "+f"(c[30]), "+f"(c[31])
#define PM_D32 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, " \
  "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define PM_C64 \
  "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]), "+f"(c[4]), "+f"(c[5]), "+f"(c[6]), "+f"(c[7]), \
  "+f"(c[8]), "+f"(c[9]), "+f"(c[10]), "+f"(c[11]), "+f"(c[12]), "+f"(c[13]), "+f"(c[14]), \
  "+f"(c[15]), "+f"(c[16]), "+f"(c[17]), "+f"(c[18]), "+f"(c[19]), "+f"(c[20]), "+f"(c[21]), \
  "+f"(c[22]), "+f"(c[23]), "+f"(c[24]), "+f"(c[25]), "+f"(c[26]), "+f"(c[27]), "+f"(c[28]), \
  "+f"(c[29]), "+f"(c[30]), "+f"(c[31]), "+f"(c[32]), "+f"(c[33]), "+f"(c[34]), "+f"(c[35]), \
  "+f"(c[36]), "+f"(c[37]), "+f"(c[38]), "+f"(c[39]), "+f"(c[40]), "+f"(c[41]), "+f"(c[42]), \
  "+f"(c[43]), "+f"(c[44]), "+f"(c[45]), "+f"(c[46]), "+f"(c[47]), "+f"(c[48]), "+f"(c[49]), \
  "+f"(c[50]), "+f"(c[51]), "+f"(c[52]), "+f"(c[53]), "+f"(c[54]), "+f"(c[55]), "+f"(c[56]), \
  "+f"(c[57]), "+f"(c[58]), "+f"(c[59]), "+f"(c[60]), "+f"(c[61]), "+f"(c[62]), "+f"(c[63])
#define PM_D64 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, " \
  "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, " \
  "%40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, " \
  "%59, %60, %61, %62, %63"
#define PM_C128 \
  "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]), "+f"(c[4]), "+f"(c[5]), "+f"(c[6]), "+f"(c[7]), \
  "+f"(c[8]), "+f"(c[9]), "+f"(c[10]), "+f"(c[11]), "+f"(c[12]), "+f"(c[13]), "+f"(c[14]), \
  "+f"(c[15]), "+f"(c[16]), "+f"(c[17]), "+f"(c[18]), "+f"(c[19]), "+f"(c[20]), "+f"(c[21]), \
  "+f"(c[22]), "+f"(c[23]), "+f"(c[24]), "+f"(c[25]), "+f"(c[26]), "+f"(c[27]), "+f"(c[28]), \
  "+f"(c[29]), "+f"(c[30]), "+f"(c[31]), "+f"(c[32]), "+f"(c[33]), "+f"(c[34]), "+f"(c[35]), \
  "+f"(c[36]), "+f"(c[37]), "+f"(c[38]), "+f"(c[39]), "+f"(c[40]), "+f"(c[41]), "+f"(c[42]), \
  "+f"(c[43]), "+f"(c[44]), "+f"(c[45]), "+f"(c[46]), "+f"(c[47]), "+f"(c[48]), "+f"(c[49]), \
  "+f"(c[50]), "+f"(c[51]), "+f"(c[52]), "+f"(c[53]), "+f"(c[54]), "+f"(c[55]), "+f"(c[56]), \
  "+f"(c[57]), "+f"(c[58]), "+f"(c[59]), "+f"(c[60]), "+f"(c[61]), "+f"(c[62]), "+f"(c[63]), \
  "+f"(c[64]), "+f"(c[65]), "+f"(c[66]), "+f"(c[67]), "+f"(c[68]), "+f"(c[69]), "+f"(c[70]), \
  "+f"(c[71]), "+f"(c[72]), "+f"(c[73]), "+f"(c[74]), "+f"(c[75]), "+f"(c[76]), "+f"(c[77]), \
  "+f"(c[78]), "+f"(c[79]), "+f"(c[80]), "+f"(c[81]), "+f"(c[82]), "+f"(c[83]), "+f"(c[84]), \
  "+f"(c[85]), "+f"(c[86]), "+f"(c[87]), "+f"(c[88]), "+f"(c[89]), "+f"(c[90]), "+f"(c[91]), \
  "+f"(c[92]), "+f"(c[93]), "+f"(c[94]), "+f"(c[95]), "+f"(c[96]), "+f"(c[97]), "+f"(c[98]), \
  "+f"(c[99]), "+f"(c[100]), "+f"(c[101]), "+f"(c[102]), "+f"(c[103]), "+f"(c[104]), "+f"(c[105]), \
  "+f"(c[106]), "+f"(c[107]), "+f"(c[108]), "+f"(c[109]), "+f"(c[110]), "+f"(c[111]), "+f"(c[112]), \
  "+f"(c[113]), "+f"(c[114]), "+f"(c[115]), "+f"(c[116]), "+f"(c[117]), "+f"(c[118]), "+f"(c[119]), \
  "+f"(c[120]), "+f"(c[121]), "+f"(c[122]), "+f"(c[123]), "+f"(c[124]), "+f"(c[125]), "+f"(c[126]), \
  "+f"(c[127])
#define PM_D128 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, " \
  "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, " \
  "%40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, " \
  "%59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, " \
  "%78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, " \
  "%97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, " \
  "%113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

// c[64 x N] = a[64 x 16] b[16 x N], or c += ... where `adds`. a: rows along k in shared memory, or registers: warp w has
// rows 16 w and on as the a of multiplyBf16. b: N rows along k in shared memory, or with TransposedB 16 rows along n.
// Element i of c: row 16 w + lane / 4 + i / 2 % 2 * 8, column i / 4 * 8 + lane % 4 * 2 + i % 2.
template <int N, bool TransposedB>
PM_DEVICE void multiplyWarpgroup(float (&c)[N / 2], uint64_t a, uint64_t b, bool adds) {
  static_assert(N == 64 || N == 128 || N == 256);
  if constexpr (N == 64)
    PM_HOPPER("{\n.reg .pred adds;\nsetp.ne.b32 adds, %34, 0;\n"
              "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" PM_D32 "}, %32, %33, adds, 1, 1, 0, %35;\n}"
              : PM_C32 : "l"(a), "l"(b), "r"((int)adds), "n"((int)TransposedB));
  else if constexpr (N == 128)
    PM_HOPPER("{\n.reg .pred adds;\nsetp.ne.b32 adds, %66, 0;\n"
              "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" PM_D64 "}, %64, %65, adds, 1, 1, 0, %67;\n}"
              : PM_C64 : "l"(a), "l"(b), "r"((int)adds), "n"((int)TransposedB));
  else if constexpr (N == 256)
    PM_HOPPER("{\n.reg .pred adds;\nsetp.ne.b32 adds, %130, 0;\n"
              "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" PM_D128 "}, %128, %129, adds, 1, 1, 0, %131;\n}"
              : PM_C128 : "l"(a), "l"(b), "r"((int)adds), "n"((int)TransposedB));
}
template <int N, bool TransposedB>
PM_DEVICE void multiplyWarpgroup(float (&c)[N / 2], const uint32_t (&a)[4], uint64_t b, bool adds) {
  static_assert(N == 64 || N == 128 || N == 256);
  if constexpr (N == 64)
    PM_HOPPER("{\n.reg .pred adds;\nsetp.ne.b32 adds, %37, 0;\n"
              "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" PM_D32 "}, {%32, %33, %34, %35}, %36, adds, 1, 1, %38;\n}"
              : PM_C32 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)adds), "n"((int)TransposedB));
  else if constexpr (N == 128)
    PM_HOPPER("{\n.reg .pred adds;\nsetp.ne.b32 adds, %69, 0;\n"
              "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" PM_D64 "}, {%64, %65, %66, %67}, %68, adds, 1, 1, %70;\n}"
              : PM_C64 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)adds), "n"((int)TransposedB));
  else if constexpr (N == 256)
    PM_HOPPER("{\n.reg .pred adds;\nsetp.ne.b32 adds, %133, 0;\n"
              "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" PM_D128 "}, {%128, %129, %130, %131}, %132, adds, 1, 1, %134;\n}"
              : PM_C128 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)adds), "n"((int)TransposedB));
}

#undef PM_C32
#undef PM_D32
#undef PM_C64
#undef PM_D64
#undef PM_C128
#undef PM_D128

}  // namespace pm::cuda
