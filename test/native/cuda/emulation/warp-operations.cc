// Matrix loads, matrix products and 8-bit floats by their layouts in the PTX ISA.
#include "device.h"

namespace pm::cuda {
namespace {

struct Load { const void* row; uint32_t* out; };

template <bool Transposed>
void load(void* const* all, int) {
  uint16_t matrices[4][8][8];
  for (int i = 0; i < 32; i++) {
    const char* row = static_cast<const char*>(static_cast<Load*>(all[i])->row);
    if ((uintptr_t)row % 16 != 0) emulation::fail("a row of a matrix load is not aligned to 16 bytes");
    if (row < emulation::sharedMemory() || row + 16 > emulation::sharedMemory() + emulation::sharedBytes())
      emulation::fail("a matrix load reads outside of shared memory");
    memcpy(matrices[i / 8][i % 8], row, 16);
  }
  for (int i = 0; i < 32; i++)
    for (int m = 0; m < 4; m++) {
      const int a = i / 4, b = i % 4 * 2;
      const uint16_t low = Transposed ? matrices[m][b][a] : matrices[m][a][b];
      const uint16_t high = Transposed ? matrices[m][b + 1][a] : matrices[m][a][b + 1];
      static_cast<Load*>(all[i])->out[m] = low | (uint32_t)high << 16;
    }
}

struct Product { float* c; const uint32_t* a; uint32_t b[2]; };

template <float Convert(uint16_t)>
void multiply(void* const* all, int) {
  float a[16][16], b[16][8];
  const auto half = [](uint32_t pair, int which) { return Convert((uint16_t)(pair >> (16 * which))); };
  for (int i = 0; i < 32; i++) {
    const auto& lane = *static_cast<Product*>(all[i]);
    const int g = i / 4, t = i % 4 * 2;
    for (int e = 0; e < 2; e++) {
      a[g][t + e] = half(lane.a[0], e);
      a[g + 8][t + e] = half(lane.a[1], e);
      a[g][t + 8 + e] = half(lane.a[2], e);
      a[g + 8][t + 8 + e] = half(lane.a[3], e);
      b[t + e][g] = half(lane.b[0], e);
      b[t + 8 + e][g] = half(lane.b[1], e);
    }
  }
  for (int i = 0; i < 32; i++) {
    const auto& lane = *static_cast<Product*>(all[i]);
    for (int e = 0; e < 4; e++) {
      const int row = i / 4 + e / 2 * 8, column = i % 4 * 2 + e % 2;
      float sum = 0;
      for (int k = 0; k < 16; k++) sum += a[row][k] * b[k][column];
      lane.c[e] += sum;
    }
  }
}

uint8_t toE4m3(float x) {
  const uint8_t sign = std::signbit(x) ? 0x80 : 0;
  const float size = std::fabs(x);
  if (std::isnan(x)) return sign | 0x7f;
  if (size >= 448) return sign | 0x7e;
  int exponent = size > 0 ? std::max(-6, std::ilogb(size)) : -6;
  int mantissa = (int)std::nearbyint(std::ldexp(size, 3 - exponent));  // 8 to 16, below 8 for subnormals
  if (mantissa == 16) {
    mantissa = 8;
    exponent++;
  }
  if (exponent > 8 || (exponent == 8 && mantissa > 14)) return sign | 0x7e;
  return (uint8_t)(sign | (mantissa < 8 ? mantissa : (exponent + 7) << 3 | (mantissa & 7)));
}

float fromE4m3(uint8_t x) {
  const int exponent = x >> 3 & 15, mantissa = x & 7;
  if ((x & 0x7f) == 0x7f) return NAN;
  const float size = exponent ? std::ldexp(1.0f + (float)mantissa / 8, exponent - 7) : std::ldexp((float)mantissa, -9);
  return x & 0x80 ? -size : size;
}

}  // namespace

void loadMatrices(uint32_t (&r)[4], const void* row) {
  Load mine{row, r};
  emulation::together(load<false>, &mine);
}
void loadMatricesTransposed(uint32_t (&r)[4], const void* row) {
  Load mine{row, r};
  emulation::together(load<true>, &mine);
}
void multiplyBf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  Product mine{c, a, {b0, b1}};
  emulation::together(multiply<fromBf16>, &mine);
}
void multiplyF16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  Product mine{c, a, {b0, b1}};
  emulation::together(multiply<fromF16>, &mine);
}

uint16_t packE4m3(float low, float high) { return (uint16_t)(toE4m3(low) | toE4m3(high) << 8); }
uint32_t e4m3ToF16(uint16_t pair) {
  return toF16(fromE4m3((uint8_t)pair)) | (uint32_t)toF16(fromE4m3((uint8_t)(pair >> 8))) << 16;
}

}  // namespace pm::cuda
