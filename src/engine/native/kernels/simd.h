// Sixteen floats as one value, for AVX-512, AVX2 with FMA, and plain GCC/Clang vectors. Kernels are written
// once over `Vec`; the build compiles them once per instruction set, each into its own namespace PM_ISA, so
// that one binary holds all of them and no symbol of one set can be linked in place of another's.
//
// Reductions use the same tree on every instruction set (i with i+8, then +4, +2, +1) and `fma` is one
// rounding where the hardware has it, so AVX-512 and AVX2 give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dtype.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#include <immintrin.h>
#define PM_ISA_AVX512 1
#if defined(__AMX_BF16__)
#define PM_ISA amx
#elif defined(__AVX512BF16__)
#define PM_ISA avx512_bf16
#elif defined(__AVX512VNNI__)
#define PM_ISA avx512_vnni
#else
#define PM_ISA avx512
#endif
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include <immintrin.h>
#define PM_ISA_AVX2 1
#if defined(__AVXVNNI__)
#define PM_ISA avx2_vnni
#else
#define PM_ISA avx2
#endif
#else
#define PM_ISA portable
#if defined(__aarch64__)
#include <arm_neon.h>
#endif
#endif

#define PM_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define PM_UNROLL _Pragma("clang loop unroll(full)")
#define PM_UNROLL4 _Pragma("clang loop unroll_count(4)")
#else
#define PM_UNROLL _Pragma("GCC unroll 64")
#define PM_UNROLL4 _Pragma("GCC unroll 4")
#endif

namespace pm::PM_ISA {

constexpr int kLanes = 16;

#if defined(PM_ISA_AVX512)

// Accumulators that fit in registers beside the operands: 24 of 32.
constexpr int kAccumulators = 24;

struct Vec { __m512 v; };
PM_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
PM_INLINE void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
PM_INLINE Vec set1(float x) { return {_mm512_set1_ps(x)}; }
PM_INLINE Vec add(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
PM_INLINE Vec sub(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
PM_INLINE Vec mul(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
PM_INLINE Vec div(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
PM_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
PM_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
PM_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
PM_INLINE Vec loadBf16(const uint16_t* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16))};
}
PM_INLINE Vec loadF16(const uint16_t* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p))}; }
PM_INLINE Vec loadI8(const int8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p)))};
}
// Sixteen pairs of bf16, and the first or the second of each pair.
struct Bf16Pairs { __m512i v; };
PM_INLINE Bf16Pairs loadBf16Pairs(const uint16_t* p) { return {_mm512_loadu_si512(p)}; }
PM_INLINE Vec firstOf(Bf16Pairs p) { return {_mm512_castsi512_ps(_mm512_slli_epi32(p.v, 16))}; }
PM_INLINE Vec secondOf(Bf16Pairs p) {
  return {_mm512_castsi512_ps(_mm512_and_si512(p.v, _mm512_set1_epi32((int)0xffff0000u)))};
}
PM_INLINE float reduceAdd8(__m256 a) {
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
PM_INLINE float reduceMax8(__m256 a) {
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}
PM_INLINE float reduceAdd(Vec a) {
  return reduceAdd8(_mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1)));
}
PM_INLINE float reduceMax(Vec a) {
  return reduceMax8(_mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1)));
}
// Bit i set where the comparison holds in lane i.
PM_INLINE unsigned equalMask(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ); }
PM_INLINE unsigned greaterMask(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ); }
// Lanes whose bit is set from a, the others from b.
PM_INLINE Vec select(unsigned mask, Vec a, Vec b) { return {_mm512_mask_blend_ps((__mmask16)mask, b.v, a.v)}; }
// p * 2^n, where `shifted` holds n in its low mantissa bits (see exp below).
PM_INLINE Vec scaleByPower(Vec p, Vec shifted) {
  return {_mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_castps_si512(p.v), _mm512_slli_epi32(_mm512_castps_si512(shifted.v), 23)))};
}

#elif defined(PM_ISA_AVX2)

constexpr int kAccumulators = 6;

struct Vec { __m256 lo, hi; };
PM_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
PM_INLINE void store(float* p, Vec a) { _mm256_storeu_ps(p, a.lo); _mm256_storeu_ps(p + 8, a.hi); }
PM_INLINE Vec set1(float x) { __m256 v = _mm256_set1_ps(x); return {v, v}; }
PM_INLINE Vec add(Vec a, Vec b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
PM_INLINE Vec sub(Vec a, Vec b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
PM_INLINE Vec mul(Vec a, Vec b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
PM_INLINE Vec div(Vec a, Vec b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
PM_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
PM_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
PM_INLINE Vec fma(Vec a, Vec b, Vec c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
PM_INLINE __m256 widenBf16(__m128i h) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16)); }
PM_INLINE Vec loadBf16(const uint16_t* p) {
  return {widenBf16(_mm_loadu_si128((const __m128i*)p)), widenBf16(_mm_loadu_si128((const __m128i*)(p + 8)))};
}
PM_INLINE Vec loadF16(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)), _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(p + 8)))};
}
PM_INLINE __m256 widenI8(const int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)));
}
PM_INLINE Vec loadI8(const int8_t* p) { return {widenI8(p), widenI8(p + 8)}; }
struct Bf16Pairs { __m256i lo, hi; };
PM_INLINE Bf16Pairs loadBf16Pairs(const uint16_t* p) {
  return {_mm256_loadu_si256((const __m256i*)p), _mm256_loadu_si256((const __m256i*)(p + 16))};
}
PM_INLINE Vec firstOf(Bf16Pairs p) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(p.lo, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(p.hi, 16))};
}
PM_INLINE Vec secondOf(Bf16Pairs p) {
  const __m256i high = _mm256_set1_epi32((int)0xffff0000u);
  return {_mm256_castsi256_ps(_mm256_and_si256(p.lo, high)), _mm256_castsi256_ps(_mm256_and_si256(p.hi, high))};
}
PM_INLINE float reduceAdd(Vec a) {
  __m256 e = _mm256_add_ps(a.lo, a.hi);
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(e), _mm256_extractf128_ps(e, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
PM_INLINE float reduceMax(Vec a) {
  __m256 e = _mm256_max_ps(a.lo, a.hi);
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(e), _mm256_extractf128_ps(e, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}
PM_INLINE unsigned equalMask(Vec a, Vec b) {
  return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ)) |
         (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ)) << 8;
}
PM_INLINE unsigned greaterMask(Vec a, Vec b) {
  return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ)) |
         (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ)) << 8;
}
PM_INLINE __m256 spreadMask(unsigned bits) {
  const __m256i each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)bits), each), each));
}
PM_INLINE Vec select(unsigned mask, Vec a, Vec b) {
  return {_mm256_blendv_ps(b.lo, a.lo, spreadMask(mask & 255)), _mm256_blendv_ps(b.hi, a.hi, spreadMask(mask >> 8 & 255))};
}
PM_INLINE __m256 scaleByPower8(__m256 p, __m256 shifted) {
  return _mm256_castsi256_ps(
      _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(shifted), 23)));
}
PM_INLINE Vec scaleByPower(Vec p, Vec shifted) {
  return {scaleByPower8(p.lo, shifted.lo), scaleByPower8(p.hi, shifted.hi)};
}

#else

#if defined(__aarch64__)
constexpr int kAccumulators = 6;  // 24 of 32 registers of four floats
#else
constexpr int kAccumulators = 3;  // 12 of 16
#endif

typedef float Quad __attribute__((vector_size(16)));
typedef uint32_t QuadBits __attribute__((vector_size(16)));
struct Vec { Quad a, b, c, d; };
PM_INLINE Quad loadQuad(const float* p) { Quad q; memcpy(&q, p, 16); return q; }
PM_INLINE QuadBits bitsOf(Quad q) { return (QuadBits)q; }
PM_INLINE Quad floatOf(QuadBits q) { return (Quad)q; }
PM_INLINE Quad pick(QuadBits mask, Quad a, Quad b) { return floatOf((bitsOf(a) & mask) | (bitsOf(b) & ~mask)); }
PM_INLINE Vec load(const float* p) { return {loadQuad(p), loadQuad(p + 4), loadQuad(p + 8), loadQuad(p + 12)}; }
PM_INLINE void store(float* p, Vec a) {
  memcpy(p, &a.a, 16); memcpy(p + 4, &a.b, 16); memcpy(p + 8, &a.c, 16); memcpy(p + 12, &a.d, 16);
}
PM_INLINE Vec set1(float x) { Quad q = {x, x, x, x}; return {q, q, q, q}; }
PM_INLINE Vec add(Vec x, Vec y) { return {x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d}; }
PM_INLINE Vec sub(Vec x, Vec y) { return {x.a - y.a, x.b - y.b, x.c - y.c, x.d - y.d}; }
PM_INLINE Vec mul(Vec x, Vec y) { return {x.a * y.a, x.b * y.b, x.c * y.c, x.d * y.d}; }
PM_INLINE Vec div(Vec x, Vec y) { return {x.a / y.a, x.b / y.b, x.c / y.c, x.d / y.d}; }
PM_INLINE Quad maxQuad(Quad x, Quad y) { return pick((QuadBits)(x > y), x, y); }
PM_INLINE Quad minQuad(Quad x, Quad y) { return pick((QuadBits)(x < y), x, y); }
PM_INLINE Vec max(Vec x, Vec y) { return {maxQuad(x.a, y.a), maxQuad(x.b, y.b), maxQuad(x.c, y.c), maxQuad(x.d, y.d)}; }
PM_INLINE Vec min(Vec x, Vec y) { return {minQuad(x.a, y.a), minQuad(x.b, y.b), minQuad(x.c, y.c), minQuad(x.d, y.d)}; }
// One rounding where the processor fuses; two where it cannot. Never left to the compiler's choice
// (-ffp-contract=off), because two inlined copies of one expression must not differ.
PM_INLINE Quad fmaQuad(Quad x, Quad y, Quad z) {
#if defined(__aarch64__)
  return (Quad)vfmaq_f32((float32x4_t)z, (float32x4_t)x, (float32x4_t)y);
#else
  return x * y + z;
#endif
}
PM_INLINE Vec fma(Vec x, Vec y, Vec z) {
  return {fmaQuad(x.a, y.a, z.a), fmaQuad(x.b, y.b, z.b), fmaQuad(x.c, y.c, z.c), fmaQuad(x.d, y.d, z.d)};
}
PM_INLINE QuadBits widen(const uint16_t* p) { return QuadBits{p[0], p[1], p[2], p[3]}; }
PM_INLINE Vec loadBf16(const uint16_t* p) {
  return {floatOf(widen(p) << 16), floatOf(widen(p + 4) << 16), floatOf(widen(p + 8) << 16), floatOf(widen(p + 12) << 16)};
}
// Shifts exponent and mantissa into place, then rescales by 2^112: exact for normal and subnormal halves.
PM_INLINE Quad widenF16(const uint16_t* p) {
  const QuadBits h = widen(p);
  const Quad scale = {0x1p112f, 0x1p112f, 0x1p112f, 0x1p112f};
  const QuadBits infinite = (QuadBits)((h & 0x7c00u) == 0x7c00u) & 0x7f800000u;
  const QuadBits magnitude = bitsOf(floatOf((h & 0x7fffu) << 13) * scale) | infinite;
  return floatOf(magnitude | (h & 0x8000u) << 16);
}
PM_INLINE Vec loadF16(const uint16_t* p) { return {widenF16(p), widenF16(p + 4), widenF16(p + 8), widenF16(p + 12)}; }
PM_INLINE Quad widenI8(const int8_t* p) { return Quad{(float)p[0], (float)p[1], (float)p[2], (float)p[3]}; }
PM_INLINE Vec loadI8(const int8_t* p) { return {widenI8(p), widenI8(p + 4), widenI8(p + 8), widenI8(p + 12)}; }
struct Bf16Pairs { QuadBits a, b, c, d; };
PM_INLINE Bf16Pairs loadBf16Pairs(const uint16_t* p) {
  Bf16Pairs pairs;
  memcpy(&pairs, p, 64);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weights are read as little-endian pairs"
#endif
  return pairs;
}
PM_INLINE Vec firstOf(Bf16Pairs p) { return {floatOf(p.a << 16), floatOf(p.b << 16), floatOf(p.c << 16), floatOf(p.d << 16)}; }
PM_INLINE Vec secondOf(Bf16Pairs p) {
  return {floatOf(p.a & 0xffff0000u), floatOf(p.b & 0xffff0000u), floatOf(p.c & 0xffff0000u), floatOf(p.d & 0xffff0000u)};
}
PM_INLINE float reduceAdd(Vec x) {
  const Quad q = (x.a + x.c) + (x.b + x.d);
  return (q[0] + q[2]) + (q[1] + q[3]);
}
PM_INLINE float reduceMax(Vec x) {
  const Quad q = maxQuad(maxQuad(x.a, x.c), maxQuad(x.b, x.d));
  const float e = q[0] > q[2] ? q[0] : q[2], o = q[1] > q[3] ? q[1] : q[3];
  return e > o ? e : o;
}
PM_INLINE unsigned packMask(QuadBits m) { return (m[0] & 1) | (m[1] & 2) | (m[2] & 4) | (m[3] & 8); }
PM_INLINE unsigned equalMask(Vec x, Vec y) {
  return packMask((QuadBits)(x.a == y.a)) | packMask((QuadBits)(x.b == y.b)) << 4 |
         packMask((QuadBits)(x.c == y.c)) << 8 | packMask((QuadBits)(x.d == y.d)) << 12;
}
PM_INLINE unsigned greaterMask(Vec x, Vec y) {
  return packMask((QuadBits)(x.a > y.a)) | packMask((QuadBits)(x.b > y.b)) << 4 |
         packMask((QuadBits)(x.c > y.c)) << 8 | packMask((QuadBits)(x.d > y.d)) << 12;
}
PM_INLINE QuadBits spreadMask(unsigned bits) {
  const QuadBits each = {1, 2, 4, 8};
  return (QuadBits)((QuadBits{bits, bits, bits, bits} & each) == each);
}
PM_INLINE Vec select(unsigned mask, Vec x, Vec y) {
  return {pick(spreadMask(mask), x.a, y.a), pick(spreadMask(mask >> 4), x.b, y.b), pick(spreadMask(mask >> 8), x.c, y.c),
          pick(spreadMask(mask >> 12), x.d, y.d)};
}
PM_INLINE Quad scaleQuad(Quad p, Quad shifted) { return floatOf(bitsOf(p) + (bitsOf(shifted) << 23)); }
PM_INLINE Vec scaleByPower(Vec p, Vec shifted) {
  return {scaleQuad(p.a, shifted.a), scaleQuad(p.b, shifted.b), scaleQuad(p.c, shifted.c), scaleQuad(p.d, shifted.d)};
}

#endif

PM_INLINE Vec zero() { return set1(0.0f); }

// Bits [low, high) of a lane mask; bounds outside 0..16 are clamped.
PM_INLINE unsigned laneRange(int low, int high) {
  const unsigned below = high >= kLanes ? 0xffffu : high <= 0 ? 0u : (1u << high) - 1;
  return low <= 0 ? below : low >= kLanes ? 0u : below & ~((1u << low) - 1);
}

// e^x, relative error below 2e-7; exactly 1 at 0 and exactly 0 below -87 (so also at -infinity).
// x = n ln 2 + r with |r| <= ln 2 / 2; adding 1.5 * 2^23 rounds to an integer and leaves n in the low bits.
PM_INLINE Vec exp(Vec x) {
  const Vec bounded = min(max(x, set1(-87.3f)), set1(88.0f));
  const Vec magic = set1(12582912.0f);
  const Vec shifted = fma(bounded, set1(1.44269504f), magic);
  const Vec n = sub(shifted, magic);
  Vec r = fma(n, set1(-0.693359375f), bounded);
  r = fma(n, set1(2.12194440e-4f), r);
  Vec p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = add(fma(mul(p, r), r, r), set1(1.0f));
  return select(greaterMask(x, set1(-87.0f)), scaleByPower(p, shifted), zero());
}

// The same conversions as in numbers.h, which kernels must not include: an inline function compiled for a wide
// instruction set could be linked in place of the plain one.
PM_INLINE float bf16ToFloat(uint16_t b) {
  const uint32_t u = (uint32_t)b << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}
// Round to nearest, ties to even; NaN stays NaN.
PM_INLINE uint16_t floatToBf16(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40);
  return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

// Storage types of weights and of the KV cache: `Stored` in memory, `Vec` in registers. Of I8, which only the cache
// uses here, a register holds integers that a scale is still to be applied to.
struct AsF32 {
  using Stored = float;
  static constexpr Dtype kDtype = Dtype::F32;
  PM_INLINE Vec get(const Stored* p) { return load(p); }
  PM_INLINE float one(Stored x) { return x; }
  PM_INLINE Stored from(float x) { return x; }
};
struct AsBf16 {
  using Stored = uint16_t;
  static constexpr Dtype kDtype = Dtype::BF16;
  PM_INLINE Vec get(const Stored* p) { return loadBf16(p); }
  PM_INLINE float one(Stored x) { return bf16ToFloat(x); }
  PM_INLINE Stored from(float x) { return floatToBf16(x); }
};
struct AsI8 {
  using Stored = int8_t;
  static constexpr Dtype kDtype = Dtype::I8;
  PM_INLINE Vec get(const Stored* p) { return loadI8(p); }
};

}  // namespace pm::PM_ISA
