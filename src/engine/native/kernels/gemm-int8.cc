// y = x W^T + bias with weights and activations as 8-bit integers in groups of 32 along k, one scale per group:
//   y[m][n] = sum over groups g of  scaleX[m][g] * scaleW[n][g] * (sum over the 32 of qx * qw) + bias[n].
//
// Products within a group are added up as integers, exactly; groups in float32, one chain over g = 0, 1, 2, ...
// whatever the tile and the blocking. So a row's bits do not depend on the rows beside it, nor, where multiply-add
// is fused, on the instruction set. Against the product with the unquantized factors the error is at most
//   sum over k of  |w| * stepX / 2 + |x| * stepW / 2 + stepX * stepW / 4,   step = largest magnitude of a group / 127.
//
// Weights are stored as value + 128, because dpbusd multiplies unsigned by signed bytes; its sums start at
// -128 * (sum of qx), which the packed activations carry. Without VNNI the offset is taken off each weight instead.
//
// Parallelization: callers cut rows and panels into rectangles, one GemmTask each.
#include "activations.h"
#include "panel-walk.h"

namespace pm::PM_ISA {

void gemmInt8(const GemmTask& task);

namespace {

constexpr size_t kSteps = kGroup / 4;  // steps of four k in a group

// Sixteen sums of products of four bytes.
#if defined(__AVX512VNNI__) && defined(PM_ISA_AVX512)

constexpr bool kStartsAtOffset = true;
struct Sums { __m512i v; };
PM_INLINE Sums startAt(int32_t x) { return {_mm512_set1_epi32(x)}; }
struct Bytes { __m512i v; };
PM_INLINE Bytes loadWeights(const char* p) { return {_mm512_load_si512(p)}; }
PM_INLINE Sums dot(Sums s, Bytes w, int32_t x) { return {_mm512_dpbusd_epi32(s.v, w.v, _mm512_set1_epi32(x))}; }
PM_INLINE Vec toFloat(Sums s) { return {_mm512_cvtepi32_ps(s.v)}; }

#elif defined(PM_ISA_AVX2)

struct Sums { __m256i lo, hi; };
struct Bytes { __m256i lo, hi; };
PM_INLINE Sums startAt(int32_t x) { const __m256i v = _mm256_set1_epi32(x); return {v, v}; }
PM_INLINE Vec toFloat(Sums s) { return {_mm256_cvtepi32_ps(s.lo), _mm256_cvtepi32_ps(s.hi)}; }
#if defined(__AVXVNNI__)
constexpr bool kStartsAtOffset = true;
PM_INLINE Bytes loadWeights(const char* p) {
  return {_mm256_load_si256((const __m256i*)p), _mm256_load_si256((const __m256i*)(p + 32))};
}
PM_INLINE Sums dot(Sums s, Bytes w, int32_t x) {
  const __m256i v = _mm256_set1_epi32(x);
  return {_mm256_dpbusd_avx_epi32(s.lo, w.lo, v), _mm256_dpbusd_avx_epi32(s.hi, w.hi, v)};
}
#else
constexpr bool kStartsAtOffset = false;
PM_INLINE Bytes loadWeights(const char* p) {
  const __m256i offset = _mm256_set1_epi8((char)0x80);
  return {_mm256_xor_si256(_mm256_load_si256((const __m256i*)p), offset),
          _mm256_xor_si256(_mm256_load_si256((const __m256i*)(p + 32)), offset)};
}
// |w| * (x with w's sign): magnitudes are at most 127, so a pair of products fits 16 bits.
PM_INLINE __m256i dot8(__m256i s, __m256i w, __m256i x) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  return _mm256_add_epi32(s, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
PM_INLINE Sums dot(Sums s, Bytes w, int32_t x) {
  const __m256i v = _mm256_set1_epi32(x);
  return {dot8(s.lo, w.lo, v), dot8(s.hi, w.hi, v)};
}
#endif

#else

constexpr bool kStartsAtOffset = false;
struct Sums { int32_t v[kLanes]; };
struct Bytes { int8_t v[kLanes * 4]; };
PM_INLINE Sums startAt(int32_t x) {
  Sums s;
  for (int i = 0; i < kLanes; i++) s.v[i] = x;
  return s;
}
PM_INLINE Bytes loadWeights(const char* p) {
  Bytes w;
  for (int i = 0; i < kLanes * 4; i++) w.v[i] = (int8_t)((uint8_t)p[i] ^ 0x80);
  return w;
}
PM_INLINE Sums dot(Sums s, const Bytes& w, int32_t x) {
  int8_t q[4];
  memcpy(q, &x, 4);
  for (int i = 0; i < kLanes; i++)
    s.v[i] += w.v[4 * i] * q[0] + w.v[4 * i + 1] * q[1] + w.v[4 * i + 2] * q[2] + w.v[4 * i + 3] * q[3];
  return s;
}
PM_INLINE Vec toFloat(const Sums& s) {
  float f[kLanes];
  for (int i = 0; i < kLanes; i++) f[i] = (float)s.v[i];
  return load(f);
}

#endif

// Sums and integer sums of a tile both live in registers.
constexpr int kTileRows = kAccumulators >= 24 ? 6 : 2;
constexpr int kTilePanels = kAccumulators >= 24 ? 2 : 1;

struct Int8Tile {
  static constexpr size_t kRows = kTileRows, kPanels = kTilePanels, kBlock = 32 * kSteps;

  template <int MB, int NB, int Lines>
  static void compute(const TileTask& t) {
    const size_t k = t.k, groups = groupsOf(k);
    Vec sum[MB][NB];
    PM_UNROLL for (int m = 0; m < MB; m++)
      PM_UNROLL for (int b = 0; b < NB; b++) sum[m][b] = t.from == 0 ? zero() : load(t.y + m * t.yStride + b * kLanes);
    const char* scales = t.weights + groups * kGroup * kLanes;
    const char* ahead = t.ahead;
    for (size_t g = t.from / kSteps; g < t.to / kSteps; g++) {
      Sums integer[MB][NB];
      PM_UNROLL for (int m = 0; m < MB; m++) {
        int32_t offset = 0;
        if (kStartsAtOffset) memcpy(&offset, t.x + m * t.xStride + offsetsAt(k) + g * 4, 4);
        PM_UNROLL for (int b = 0; b < NB; b++) integer[m][b] = startAt(offset);
      }
      const char* w = t.weights + g * kGroup * kLanes;
      const char* x = t.x + g * kGroup;
      PM_UNROLL for (size_t step = 0; step < kSteps; step++) {
        Bytes weights[NB];
        PM_UNROLL for (int b = 0; b < NB; b++) weights[b] = loadWeights(w + b * t.panelStride + step * 64);
        PM_UNROLL for (int l = 0; l < Lines; l++) __builtin_prefetch(ahead + l * t.panelStride + step * 64, 0, 2);
        PM_UNROLL for (int m = 0; m < MB; m++) {
          int32_t four;
          memcpy(&four, x + m * t.xStride + step * 4, 4);
          PM_UNROLL for (int b = 0; b < NB; b++) integer[m][b] = dot(integer[m][b], weights[b], four);
        }
      }
      ahead += kGroup * kLanes;
      Vec scale[NB];
      PM_UNROLL for (int b = 0; b < NB; b++)
        scale[b] = loadF16(reinterpret_cast<const uint16_t*>(scales + b * t.panelStride) + g * kLanes);
      PM_UNROLL for (int m = 0; m < MB; m++) {
        float own;
        memcpy(&own, t.x + m * t.xStride + scalesAt(k) + g * 4, 4);
        PM_UNROLL for (int b = 0; b < NB; b++)
          sum[m][b] = fma(toFloat(integer[m][b]), mul(scale[b], set1(own)), sum[m][b]);
      }
    }
    PM_UNROLL for (int m = 0; m < MB; m++)
      PM_UNROLL for (int b = 0; b < NB; b++)
        store(t.y + m * t.yStride + b * kLanes, t.bias ? add(sum[m][b], load(t.bias + b * kLanes)) : sum[m][b]);
  }

  template <int NB>
  static void run(const TileTask& t, size_t rows, size_t lines) {
    dispatch<NB>(rows, lines, [&]<int MB, int Lines>() {
      if constexpr (MB <= kTileRows && NB <= kTilePanels) compute<MB, NB, Lines>(t);
    });
  }
};

}  // namespace

void gemmInt8(const GemmTask& task) { walk<Int8Tile>(task, groupsOf(task.k) * kSteps); }

}  // namespace pm::PM_ISA
