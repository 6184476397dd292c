// What the machine can do at most, for the table: bytes read from memory per second, and products per second in
// registers, all threads together. Prints one JSON object.  roofline THREADS
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__AMX_BF16__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

static double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Runs body(thread) on all threads at once; the best time of several rounds.
template <class Body>
static double best(int threads, int rounds, const Body& body) {
  double least = 1e9;
  for (int round = 0; round < rounds; round++) {
    std::atomic<int> waiting{threads};
    std::atomic<bool> go{false};
    std::vector<std::thread> others;
    for (int t = 1; t < threads; t++)
      others.emplace_back([&, t] {
        waiting--;
        while (!go) {}
        body(t);
      });
    waiting--;
    while (waiting > 0) {}
    const double start = now();
    go = true;
    body(0);
    for (auto& other : others) other.join();
    const double time = now() - start;
    least = time < least ? time : least;
  }
  return least;
}

static volatile float sink;

int main(int count, char** arguments) {
  const int threads = count > 1 ? atoi(arguments[1]) : 1;
  const size_t bytes = size_t{512} << 20;
  char* memory = static_cast<char*>(mmap(nullptr, bytes + (2 << 20), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  memory = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(memory) + (2 << 20) - 1) & ~uintptr_t{(2 << 20) - 1});
  madvise(memory, bytes, MADV_HUGEPAGE);
  memset(memory, 1, bytes);
  const double readTime = best(threads, 6, [&](int thread) {
    const size_t share = bytes / (size_t)threads / 512 * 512;
    const char* from = memory + (size_t)thread * share;
    typedef float V __attribute__((vector_size(64)));
    V sums[8] = {};
    for (size_t i = 0; i < share; i += 512) {
      __builtin_prefetch(from + i + 4096);
      __builtin_prefetch(from + i + 4096 + 256);
      for (int j = 0; j < 8; j++) {
        V v;
        memcpy(&v, from + i + (size_t)j * 64, 64);
        sums[j] += v;
      }
    }
    V all = sums[0];
    for (int j = 1; j < 8; j++) all += sums[j];
    sink = all[0] + all[7];
  });
  printf("{\"readGBs\": %.1f", (double)bytes / readTime / 1e9);

  const long steps = 40'000'000;
#if defined(__AVX512F__)
  const auto peak = [&](auto operation) {
    return best(threads, 4, [&](int) {
      __m512i sums[12];
      for (auto& sum : sums) sum = _mm512_setzero_si512();
      __m512i x = _mm512_set1_epi8(3);
      for (long i = 0; i < steps; i++) {
#pragma GCC unroll 12
        for (auto& sum : sums) sum = operation(sum, x);
        asm volatile("" : "+v"(x));
      }
      __m512i all = sums[0];
      for (const auto& sum : sums) all = _mm512_xor_si512(all, sum);
      sink = _mm512_reduce_add_ps(_mm512_castsi512_ps(all));
    });
  };
  const auto rate = [&](double time, double each) { return steps * 12.0 * threads * each / time / 1e9; };
  printf(", \"float32GFLOPs\": %.0f", rate(peak([](__m512i a, __m512i x) {
    return _mm512_castps_si512(_mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(x), _mm512_castsi512_ps(a))); }), 32));
#if defined(__AMX_BF16__) && defined(__AMX_INT8__) && defined(__linux__)
  // Tiles of 16 rows by 64 bytes; asked for at Linux first.
  if (syscall(SYS_arch_prctl, 0x1023, 18) == 0) {
    struct alignas(64) {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } shapes;
    const long products = 2'000'000;
    const auto tiles = [&](bool bytes) {
      return best(threads, 4, [&](int) {
        asm volatile("ldtilecfg %0" : : "m"(shapes));
        for (long i = 0; i < products; i++) {
          if (bytes) asm volatile("tdpbssd %tmm6, %tmm4, %tmm0\n tdpbssd %tmm7, %tmm4, %tmm1\n tdpbssd %tmm6, %tmm5, %tmm2\n tdpbssd %tmm7, %tmm5, %tmm3");
          else asm volatile("tdpbf16ps %tmm6, %tmm4, %tmm0\n tdpbf16ps %tmm7, %tmm4, %tmm1\n tdpbf16ps %tmm6, %tmm5, %tmm2\n tdpbf16ps %tmm7, %tmm5, %tmm3");
        }
        asm volatile("tilerelease");
      });
    };
    const double each = products * 4.0 * threads * 16 * 16 * 2 / 1e9;
    printf(", \"bfloat16GFLOPs\": %.0f, \"int8GOPs\": %.0f}\n", each * 32 / tiles(false), each * 64 / tiles(true));
    return 0;
  }
#endif
#if defined(__AVX512BF16__)
  printf(", \"bfloat16GFLOPs\": %.0f", rate(peak([](__m512i a, __m512i x) {
    return _mm512_castps_si512(_mm512_dpbf16_ps(_mm512_castsi512_ps(a), (__m512bh)x, (__m512bh)x)); }), 64));
#endif
#if defined(__AVX512VNNI__)
  printf(", \"int8GOPs\": %.0f", rate(peak([](__m512i a, __m512i x) { return _mm512_dpbusd_epi32(a, x, x); }), 128));
#endif
#endif
  printf("}\n");
}
