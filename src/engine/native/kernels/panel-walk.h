// The order in which a product with packed activations visits its tiles, shared by gemm-bf16.cc and gemm-int8.cc.
#pragma once

#include "gemm.h"
#include "simd.h"

namespace pm::PM_ISA {

// What a tile is asked to do: a range of steps (one step is 64 bytes of a panel) for its rows and panels.
struct TileTask {
  const char* x;         // first row
  size_t xStride;        // bytes
  const char* weights;   // first panel
  size_t panelStride;    // bytes
  size_t from, to;       // steps
  const float* bias;     // null, or [NB * 16]: this is the last block of k
  float* y;
  size_t yStride;        // floats
  size_t k;
  const char* ahead;     // what the next block reads of the first panel to prefetch, one line a step
};

// Rows split as evenly as can be into tiles of at most `Tile::kRows`, for groups of `Tile::kPanels` panels. With
// more than one tile the steps go in blocks of `Tile::kBlock` (8 or 16 KiB a panel), which stay in cache for all tiles; sums rest
// in y between blocks, which is exact. While a block is computed, the tiles together fetch the next one to L2.
template <class Tile>
void walk(const GemmTask& t, size_t steps) {
  size_t tiles = (t.rows + Tile::kRows - 1) / Tile::kRows;
  // A number that divides the panels lets every tile ask for the same share, so that memory never rests.
  while (tiles < Tile::kPanels && Tile::kPanels % tiles != 0) tiles++;
  const size_t panelStride = panelBytes(t.dtype, t.k);
  const size_t block = tiles > 1 ? Tile::kBlock : steps;
  const auto group = [&]<int NB>(size_t panel) {
    const char* weights = static_cast<const char*>(t.weights) + panel * panelStride;
    for (size_t from = 0; from < steps; from += block) {
      const bool last = from + block >= steps;
      const size_t to = last ? steps : from + block;
      // The next block of these panels, or the first one of the panels after them.
      const char* next = tiles == 1 ? weights + 2048 : last ? weights + NB * panelStride : weights + to * 64;
      const bool hasNext = tiles == 1 || !last || panel + 2 * NB <= t.panels;
      for (size_t i = 0; i < tiles; i++) {
        const size_t row = i * t.rows / tiles, rows = (i + 1) * t.rows / tiles - row;
        const size_t lines = hasNext ? (NB + tiles - 1) / tiles : 0;
        const bool asks = (i + 1) * lines <= (size_t)NB;
        const TileTask task{static_cast<const char*>(t.x) + row * t.xStride, t.xStride, weights, panelStride, from, to,
                            last && t.bias ? t.bias + panel * kLanes : nullptr,
                            t.y + row * t.yStride + panel * kLanes, t.yStride, t.k, next + i * lines * panelStride};
        Tile::template run<NB>(task, rows, asks ? lines : 0);
      }
    }
  };
  size_t panel = 0;
  if constexpr (Tile::kPanels >= 4)
    for (; panel + 4 <= t.panels; panel += 4) group.template operator()<4>(panel);
  if constexpr (Tile::kPanels >= 2)
    for (; panel + 2 <= t.panels; panel += 2) group.template operator()<2>(panel);
  for (; panel < t.panels; panel++) group.template operator()<1>(panel);
}

// Calls body<MB, Lines>() for the number of rows and of lines to prefetch.
template <int NB, class Body>
PM_INLINE void dispatch(size_t rows, size_t lines, const Body& body) {
  const auto withRows = [&]<int Lines>() {
    switch (rows) {
      case 1: return body.template operator()<1, Lines>();
      case 2: return body.template operator()<2, Lines>();
      case 3: return body.template operator()<3, Lines>();
      case 4: return body.template operator()<4, Lines>();
      case 5: return body.template operator()<5, Lines>();
      default: return body.template operator()<6, Lines>();
    }
  };
  if (lines == 0) return withRows.template operator()<0>();
  if (lines == 1) return withRows.template operator()<1>();
  if constexpr (NB >= 2)
    if (lines == 2) return withRows.template operator()<2>();
  if constexpr (NB >= 4) return withRows.template operator()<4>();
}

}  // namespace pm::PM_ISA
