// y = x W^T + bias with activations in bf16 and weights in bf16 or in groups of 8 bits, on matrix tiles (amx.h).
//
// Weights of 8 bits become bf16 on the way, value * scale cut, with scales made up for it: relative to them at most
// 1.3 * 2^-8 in each product, 0 on average, beside the 2^-8 of the activation. Widened once for all rows, they multiply
// more than four times as fast as by byte dot products; tiles of bytes would have to scale the sums of every group.
//
// With many rows k goes in blocks of 512 that stay in cache; between blocks sums rest in y, which is exact. Every
// output grows by one product of 32 k at a time, in order, whatever the rows beside it: few rows use the same
// instructions on flatter tiles. So a row's bits do not depend on the batch.
//
// Parallelization: callers cut rows and panels into rectangles, one GemmTask each.
#include "simd.h"

#include "amx.h"
#include "gemm.h"

namespace pm::PM_ISA {

void gemmBf16(const GemmTask& task);
void gemmInt8(const GemmTask& task);

namespace {

constexpr size_t kBlockTiles = 16;                        // products in a block of k
constexpr size_t kBlockBytes = kBlockTiles * kTileBytes;  // of one panel
constexpr size_t kPairRows = 2 * kTileRows;

// Two panels' weights of a block of k, as tiles of B that follow each other.
struct Block {
  const char* tiles;
  size_t panelStride;
  size_t count;
};

template <bool Tall, int NB>
PM_INLINE void zeroSums() {
  zeroTile<0>();
  if constexpr (NB == 2) zeroTile<1>();
  if constexpr (Tall) zeroTile<2>();
  if constexpr (Tall && NB == 2) zeroTile<3>();
}

template <bool Tall, int NB>
PM_INLINE void loadSums(const float* y, size_t yStride) {
  const size_t bytes = yStride * sizeof(float);
  loadTile<0>(y, bytes);
  if constexpr (NB == 2) loadTile<1>(y + kLanes, bytes);
  if constexpr (Tall) loadTile<2>(y + kTileRows * yStride, bytes);
  if constexpr (Tall && NB == 2) loadTile<3>(y + kTileRows * yStride + kLanes, bytes);
}

template <bool Tall, int NB>
PM_INLINE void storeSums(float* y, size_t yStride) {
  const size_t bytes = yStride * sizeof(float);
  storeTile<0>(y, bytes);
  if constexpr (NB == 2) storeTile<1>(y + kLanes, bytes);
  if constexpr (Tall) storeTile<2>(y + kTileRows * yStride, bytes);
  if constexpr (Tall && NB == 2) storeTile<3>(y + kTileRows * yStride + kLanes, bytes);
}

// Sums of up to 32 rows and NB panels += the products of 32 k.
template <bool Tall, int NB>
PM_INLINE void addProducts(const char* x, size_t xStride, const char* b, size_t panelStride) {
  loadTile<4>(x, xStride);
  loadTile<6>(b, 64);
  multiplyTiles<0, 4, 6>();
  if constexpr (NB == 2) {
    loadTile<7>(b + panelStride, 64);
    multiplyTiles<1, 4, 7>();
  }
  if constexpr (Tall) {
    loadTile<5>(x + kTileRows * xStride, xStride);
    multiplyTiles<2, 5, 6>();
    if constexpr (NB == 2) multiplyTiles<3, 5, 7>();
  }
}

// y += x W^T for up to 32 rows and NB panels over one block of k.
template <bool Tall, int NB>
PM_INLINE void multiplyBlock(const char* x, size_t xStride, const Block& block, bool first, float* y, size_t yStride) {
  if (first) zeroSums<Tall, NB>();
  else loadSums<Tall, NB>(y, yStride);
  for (size_t i = 0; i < block.count; i++)
    addProducts<Tall, NB>(x + i * 2 * kTileK, xStride, block.tiles + i * kTileBytes, block.panelStride);
  storeSums<Tall, NB>(y, yStride);
}

// What is read but once, because up to 32 rows need it, is asked for this many groups of 32 k before it is used, over the
// end of panels too. Two or four KiB of each of two panels.
constexpr size_t kAhead = 8;

// Asks for what lies `later` bytes after the start of each panel.
template <int NB>
PM_INLINE void fetch(const char* panel, size_t stride, size_t later, size_t bytes) {
  PM_UNROLL for (int b = 0; b < NB; b++)
    PM_UNROLL for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(panel + b * stride + later + line, 0, 2);
}

// bf16 panels are tiles already; only a last product of fewer than 32 k is filled up with zeros.
struct Bf16Panels {
  static size_t stepsOf(size_t k) { return (k + kTileK - 1) / kTileK; }

  template <int NB>
  static Block read(const char* panel, size_t stride, size_t k, size_t from, size_t count, char* scratch) {
    const char* tiles = panel + from * kTileBytes;
    if ((from + count) * kTileK <= k) return {tiles, stride, count};
    const size_t bytes = (k + 1) / 2 * 64 - from * kTileBytes;
    for (int b = 0; b < NB; b++) {
      memcpy(scratch + b * kBlockBytes, tiles + b * stride, bytes);
      memset(scratch + b * kBlockBytes + bytes, 0, count * kTileBytes - bytes);
    }
    return {scratch, kBlockBytes, count};
  }

  // Up to 32 rows.
  template <bool Tall, int NB>
  static void stream(const GemmTask& t, const char* panel, size_t stride, char* scratch, float* y) {
    constexpr size_t ahead = kAhead / 2;
    const size_t whole = t.k / kTileK, steps = stepsOf(t.k);
    const char* x = static_cast<const char*>(t.x);
    zeroSums<Tall, NB>();
    for (size_t i = 0; i < whole; i++) {
      const bool wraps = i + ahead >= steps;
      const size_t later = wraps ? i + ahead - steps : i + ahead;
      fetch<NB>(wraps ? panel + NB * stride : panel, stride, later * kTileBytes, kTileBytes);
      addProducts<Tall, NB>(x + i * 2 * kTileK, t.xStride, panel + i * kTileBytes, stride);
    }
    if (whole < steps) {
      const Block last = read<NB>(panel, stride, t.k, whole, 1, scratch);
      addProducts<Tall, NB>(x + whole * 2 * kTileK, t.xStride, last.tiles, last.panelStride);
    }
    storeSums<Tall, NB>(y, t.yStride);
  }
};

// Byte `part` of each of the 16 lanes of a line (dtype.h: four k a lane) to the second byte of the same lane.
struct ByteOrder {
  alignas(64) uint8_t at[4][64] = {};
  constexpr ByteOrder() {
    for (size_t part = 0; part < 4; part++)
      for (size_t lane = 0; lane < 16; lane++) at[part][lane * 4 + 1] = (uint8_t)(lane * 4 + part);
  }
};
constexpr ByteOrder kByteOrder;

// In each lane the upper half to the lower.
struct UpperHalves {
  alignas(64) uint8_t at[64] = {};
  constexpr UpperHalves() {
    for (size_t i = 0; i < 64; i++) at[i] = (uint8_t)(i % 16 / 4 * 4 + 2 + i % 2);
  }
};
constexpr UpperHalves kUpperHalves;

// One group of one panel to a tile of bf16. A byte becomes the float 2^15 + byte, by its place under an exponent, then
// (2^15 + byte) * scale - (2^15 + 128) * scale. With 15 bits of scale the latter is exact in float32, and so is the
// difference for a weight of 0. Cut, not rounded: half the time, for which scales are larger by what cutting takes.
PM_INLINE void widenGroup(const char* group, const uint16_t* scales, char* tile) {
  const __m512 stored = _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(scales)));
  const __m512 raisedScale = _mm512_mul_ps(stored, _mm512_set1_ps(1.0f + kCutLoss));
  const __m512 scale = _mm512_and_ps(raisedScale, _mm512_castsi512_ps(_mm512_set1_epi32(~0x1ff)));
  const __m512 offset = _mm512_mul_ps(scale, _mm512_set1_ps(-32896.0f));
  const __m512i exponent = _mm512_castps_si512(_mm512_set1_ps(32768.0f)), second = _mm512_set1_epi32(0xff00);
  const auto* orders = reinterpret_cast<const __m512i*>(kByteOrder.at);
  const __m512i upper = _mm512_load_si512(kUpperHalves.at);
  const auto scaled = [&](__m512i raised) __attribute__((always_inline)) {
    return _mm512_castps_si512(_mm512_fmadd_ps(_mm512_castsi512_ps(raised), scale, offset));
  };
  PM_UNROLL for (size_t line = 0; line < kGroup / 4; line++) {
    const __m512i bytes = _mm512_load_si512(group + line * 64);
    const auto take = [&](int part) __attribute__((always_inline)) {
      const __m512i order = _mm512_load_si512(orders + part);
      return scaled(_mm512_mask_permutexvar_epi8(exponent, 0x2222222222222222u, order, bytes));
    };
    const __m512i one = scaled(_mm512_ternarylogic_epi32(bytes, second, exponent, 0xea));  // bytes & second | exponent
    const auto pair = [&](__m512i even, __m512i odd) __attribute__((always_inline)) {
      return _mm512_mask_shuffle_epi8(odd, 0x3333333333333333u, even, upper);
    };
    _mm512_store_si512(tile + line * 128, pair(take(0), one));
    _mm512_store_si512(tile + line * 128 + 64, pair(take(2), take(3)));
  }
}

constexpr size_t kGroupBytes = kGroup * kLanes;

// Group `g` of each panel to the tiles at `to`, `tileStride` apart.
template <int NB>
PM_INLINE void widen(const char* panel, size_t stride, size_t k, size_t g, char* to, size_t tileStride) {
  const size_t groups = groupsOf(k), scalesAt = groups * kGroupBytes;
  const bool wraps = g + kAhead >= groups;
  const char* ahead = wraps ? panel + NB * stride : panel;
  const size_t later = wraps ? g + kAhead - groups : g + kAhead;
  fetch<NB>(ahead, stride, later * kGroupBytes, kGroupBytes);
  fetch<NB>(ahead, stride, scalesAt + later * 2 * kLanes, 1);
  PM_UNROLL for (int b = 0; b < NB; b++) {
    const char* weights = panel + b * stride;
    const auto* scales = reinterpret_cast<const uint16_t*>(weights + scalesAt);
    widenGroup(weights + g * kGroupBytes, scales + g * kLanes, to + b * tileStride);
  }
}

struct BytePanels {
  static size_t stepsOf(size_t k) { return groupsOf(k); }

  template <int NB>
  static Block read(const char* panel, size_t stride, size_t k, size_t from, size_t count, char* scratch) {
    for (size_t i = 0; i < count; i++) widen<NB>(panel, stride, k, from + i, scratch + i * kTileBytes, kBlockBytes);
    return {scratch, kBlockBytes, count};
  }

  // Up to 32 rows: each group is widened beside the products of the one before the last, and a block is never waited for.
  template <bool Tall, int NB>
  static void stream(const GemmTask& t, const char* panel, size_t stride, char* scratch, float* y) {
    constexpr size_t slots = 4, lead = 2;
    const size_t groups = groupsOf(t.k);
    const auto slot = [&](size_t g) { return scratch + g % slots * NB * kTileBytes; };
    zeroSums<Tall, NB>();
    for (size_t g = 0; g < groups + lead; g++) {
      if (g < groups) widen<NB>(panel, stride, t.k, g, slot(g), kTileBytes);
      if (g < lead) continue;
      addProducts<Tall, NB>(static_cast<const char*>(t.x) + (g - lead) * 2 * kTileK, t.xStride, slot(g - lead), kTileBytes);
    }
    storeSums<Tall, NB>(y, t.yStride);
  }
};


PM_INLINE void addBias(const float* bias, size_t panels, float* y, size_t yStride, size_t rows) {
  for (size_t row = 0; row < rows; row++)
    for (size_t i = 0; i < panels * kLanes; i += kLanes)
      store(y + row * yStride + i, add(load(y + row * yStride + i), load(bias + i)));
}

template <class Panels>
void run(const GemmTask& t) {
  alignas(64) char scratch[2 * kBlockBytes];
  const size_t stride = panelBytes(t.dtype, t.k), steps = Panels::stepsOf(t.k);
  const size_t even = t.rows / kPairRows * kPairRows, rest = t.rows - even;
  const size_t restUpper = rest < kTileRows ? rest : kTileRows, restLower = rest - restUpper;
  const auto shapeEven = [] { shapeTiles(kTileRows, kTileRows); };
  const auto shapeRest = [&] { shapeTiles(restUpper, restLower); };
  if (even) shapeEven();
  else shapeRest();
  const auto group = [&]<int NB>(size_t panel) {
    if (even == 0 || t.rows == kPairRows) {
      const char* weights = static_cast<const char*>(t.weights) + panel * stride;
      if (t.rows > kTileRows) return Panels::template stream<true, NB>(t, weights, stride, scratch, t.y + panel * kLanes);
      return Panels::template stream<false, NB>(t, weights, stride, scratch, t.y + panel * kLanes);
    }
    for (size_t from = 0; from < steps; from += kBlockTiles) {
      const size_t count = steps - from < kBlockTiles ? steps - from : kBlockTiles;
      const Block block = Panels::template read<NB>(static_cast<const char*>(t.weights) + panel * stride, stride, t.k, from, count, scratch);
      const char* x = static_cast<const char*>(t.x) + from * kTileK * 2;
      float* y = t.y + panel * kLanes;
      for (size_t row = 0; row < even; row += kPairRows)
        multiplyBlock<true, NB>(x + row * t.xStride, t.xStride, block, from == 0, y + row * t.yStride, t.yStride);
      if (rest == 0) continue;
      if (even) shapeRest();
      if (restLower) multiplyBlock<true, NB>(x + even * t.xStride, t.xStride, block, from == 0, y + even * t.yStride, t.yStride);
      else multiplyBlock<false, NB>(x + even * t.xStride, t.xStride, block, from == 0, y + even * t.yStride, t.yStride);
      if (even) shapeEven();
    }
  };
  size_t panel = 0;
  for (; panel + 2 <= t.panels; panel += 2) group.template operator()<2>(panel);
  if (panel < t.panels) group.template operator()<1>(panel);
  releaseTiles();
  if (t.bias) addBias(t.bias, t.panels, t.y, t.yStride, t.rows);
}

}  // namespace

void gemmBf16(const GemmTask& task) { run<Bf16Panels>(task); }
void gemmInt8(const GemmTask& task) { run<BytePanels>(task); }

}  // namespace pm::PM_ISA
