// Scalar conversions and the counter-based random number generator, for code outside the kernels.
#pragma once

#include <cstdint>
#include <cstring>

namespace pm {

inline float fromBf16(uint16_t b) {
  const uint32_t u = (uint32_t)b << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}

// Round to nearest, ties to even; NaN stays NaN.
inline uint16_t toBf16(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40);
  return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

inline float fromF16(uint16_t h) {
  const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
  uint32_t u = (uint32_t)(h & 0x7fff) << 13;
  float f;
  if ((h & 0x7c00) == 0x7c00) {
    u |= 0x7f800000u | sign;
    memcpy(&f, &u, 4);
    return f;
  }
  memcpy(&f, &u, 4);
  f *= 0x1p112f;  // moves the exponent bias from 15 to 127; exact for subnormals too
  return sign ? -f : f;
}

// Round to nearest, ties to even; overflow becomes infinity.
inline uint16_t toF16(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  const uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
  u &= 0x7fffffffu;
  if (u > 0x7f800000u) return (uint16_t)(sign | 0x7e00);
  if (u >= 0x477ff000u) return (uint16_t)(sign | 0x7c00);
  if (u < 0x38800000u) {  // subnormal: let the float adder round at 2^-24
    float f;
    memcpy(&f, &u, 4);
    f += 0.5f;
    memcpy(&u, &f, 4);
    return (uint16_t)(sign | (u - 0x3f000000u));
  }
  u += 0xfff + (u >> 13 & 1);
  return (uint16_t)(sign | (u - 0x38000000u) >> 13);
}

// The output function of splitmix64 (Steele, Lea, Flood 2014): a bijection of 64-bit words that passes
// statistical tests on counters.
constexpr uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

// Number `draw` of the stream `seed`, uniform in [0, 1).
constexpr double uniform(uint64_t seed, uint64_t draw) {
  return (double)(mix(mix(seed) + draw * 0xd1342543de82ef95u) >> 11) * 0x1p-53;
}

}  // namespace pm
