// Matrix tiles of x86 (AMX): eight registers of up to 16 rows of 64 bytes, and what is done with them here.
//
// A product takes A [rows][32] and B [16][lanes][2], pairs of k, and adds to C [rows][16 lanes] of float32. An element
// of C grows by (sum over the even k) + (sum over the odd k), each a chain of fused multiply-adds from 0, denormals
// as 0 (Intel SDM, TDPBF16PS): it depends on its own row of A and column of B alone.
//
// Instructions are written out, because GCC 12's own functions do not tell that they read memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pm::PM_ISA {

// Rows and bytes a row of each register.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
};

// k that one product takes, and bytes of a whole register.
constexpr size_t kTileK = 32, kTileBytes = 1024;
constexpr size_t kTileRows = 16;

PM_INLINE void configureTiles(const TileShapes& shapes) { asm volatile("ldtilecfg %0" : : "m"(shapes)); }

// For blocks of two by two tiles: C in 0 (upper left), 1, 2, 3, A in 4 and 5, B in 6 and 7. `lower` may be 0.
PM_INLINE void shapeTiles(size_t upper, size_t lower) {
  TileShapes shapes;
  for (int i = 0; i < 8; i++) shapes.bytes[i] = 64;
  shapes.rows[0] = shapes.rows[1] = shapes.rows[4] = (uint8_t)upper;
  shapes.rows[2] = shapes.rows[3] = shapes.rows[5] = (uint8_t)(lower ? lower : 1);
  shapes.rows[6] = shapes.rows[7] = 16;
  configureTiles(shapes);
}

// Ends the use of tiles: a thread without them is cheaper to switch.
PM_INLINE void releaseTiles() { asm volatile("tilerelease" : : : "memory"); }

template <int T> PM_INLINE void zeroTile() { asm volatile("tilezero %%tmm%c0" : : "i"(T)); }
template <int T> PM_INLINE void loadTile(const void* from, size_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(T) : "memory");
}
template <int T> PM_INLINE void storeTile(void* to, size_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(T) : "memory");
}
template <int C, int A, int B> PM_INLINE void multiplyTiles() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
}

}  // namespace pm::PM_ISA
