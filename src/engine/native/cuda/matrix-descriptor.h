// How a matrix of 16-bit elements in shared memory is described to a product of a warpgroup (PTX ISA 9.0, "Matrix
// Descriptor"), with the 128-byte swizzle: memory is cut into atoms of eight lines of 128 bytes, 1024-byte aligned,
// and the 16-byte chunk c of line r lies at c ^ r. Two forms are used here:
//   k runs along a line     (q, keys, x, w)  rows are lines; `stride` is from eight rows to the next eight;
//                                            sixteen channels further: 32 bytes more at the start
//   k runs across lines     (values)         `stride` is from eight tokens to the next eight, `leading` from 64 channels
//                                            to the next 64
#pragma once

#include "layout.h"

namespace pm::cuda {

constexpr int kAtomBytes = 1024, kLine = 128;

// `start`: address in shared memory.
PM_BOTH constexpr uint64_t matrixDescriptor(uint32_t start, int leading, int stride) {
  constexpr uint64_t swizzle128 = 1;
  return (uint64_t)((start & 0x3ffff) >> 4) | (uint64_t)((leading & 0x3ffff) >> 4) << 16 | (uint64_t)((stride & 0x3ffff) >> 4) << 32 |
         swizzle128 << 62;
}

// Where chunk `chunk` of line `line` lies in an atom column that starts at a multiple of kAtomBytes.
PM_BOTH constexpr int swizzledChunk(int line, int chunk) { return line * kLine + ((chunk ^ (line & 7)) << 4); }

}  // namespace pm::cuda
