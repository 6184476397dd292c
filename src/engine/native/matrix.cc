#include "matrix.h"

#include <cstdint>
#include <cstring>

#include "numbers.h"

namespace pm {
namespace {

void writeF32(float* out, const float* const* rows, size_t columns) {
  for (size_t lane = 0; lane < 16; lane++)
    for (size_t k = 0; rows[lane] && k < columns; k++) out[k * 16 + lane] = rows[lane][k];
}

void writeF16(uint16_t* out, const float* const* rows, size_t columns) {
  for (size_t lane = 0; lane < 16; lane++)
    for (size_t k = 0; rows[lane] && k < columns; k++) out[k * 16 + lane] = toF16(rows[lane][k]);
}

// Blocks of k keep the lines that the lanes share in cache.
constexpr size_t kBlock = 128;

void writeBf16(uint16_t* out, const float* const* rows, size_t columns) {
  uint32_t pairs[kBlock / 2];
  for (size_t from = 0; from < columns; from += kBlock) {
    const size_t count = columns - from < kBlock ? columns - from : kBlock;
    for (size_t lane = 0; lane < 16; lane++) {
      if (!rows[lane]) continue;
      uint16_t narrow[kBlock] = {};
      for (size_t k = 0; k < count; k++) narrow[k] = toBf16(rows[lane][from + k]);
      memcpy(pairs, narrow, sizeof pairs);
      for (size_t i = 0; i < (count + 1) / 2; i++) memcpy(out + ((from / 2 + i) * 16 + lane) * 2, pairs + i, 4);
    }
  }
}

// The float16 at or above a positive value; the largest one for what is beyond.
uint16_t toF16Above(float x) {
  const uint16_t half = toF16(x);
  if (half >= 0x7c00) return 0x7bff;
  return fromF16(half) < x ? (uint16_t)(half + 1) : half;
}

// Writes value + 128; returns the scale as float16.
uint16_t quantizeGroup(const float* x, uint8_t* q) {
  uint32_t most = 0;
  for (size_t i = 0; i < kGroup; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, 4);
    bits &= 0x7fffffffu;
    most = bits > most ? bits : most;
  }
  float largest;
  memcpy(&largest, &most, 4);
  const uint16_t scale = toF16Above(largest / 127.0f);
  const float inverse = scale ? 1.0f / fromF16(scale) : 0.0f;
  for (size_t i = 0; i < kGroup; i++) {
    // Rounds to an integer, left in the low mantissa bits of 1.5 * 2^23 + n.
    const float shifted = x[i] * inverse + 12582912.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, 4);
    q[i] = (uint8_t)(bits + 128);
  }
  return scale;
}

void writeI8(char* out, const float* const* rows, size_t columns) {
  const size_t groups = groupsOf(columns);
  uint16_t* scales = reinterpret_cast<uint16_t*>(out + groups * kGroup * 16);
  for (size_t g = 0; g < groups; g++) {
    const size_t count = columns - g * kGroup < kGroup ? columns - g * kGroup : kGroup;
    for (size_t lane = 0; lane < 16; lane++) {
      float group[kGroup] = {};
      if (rows[lane]) memcpy(group, rows[lane] + g * kGroup, count * sizeof(float));
      uint8_t q[kGroup];
      scales[g * 16 + lane] = quantizeGroup(group, q);
      for (size_t i = 0; i < kGroup / 4; i++) memcpy(out + ((g * 8 + i) * 16 + lane) * 4, q + i * 4, 4);
    }
  }
}

}  // namespace

void Matrix::writePanel(size_t index, const float* const* rows16) const {
  char* out = panel(index);
  switch (dtype) {
    case Dtype::F32: return writeF32(reinterpret_cast<float*>(out), rows16, columns);
    case Dtype::F16: return writeF16(reinterpret_cast<uint16_t*>(out), rows16, columns);
    case Dtype::BF16: return writeBf16(reinterpret_cast<uint16_t*>(out), rows16, columns);
    case Dtype::I8: return writeI8(out, rows16, columns);
  }
}

void Matrix::read(size_t row, float* out) const {
  const size_t lane = row % 16;
  const char* in = panel(row / 16);
  const auto* halves = reinterpret_cast<const uint16_t*>(in);
  switch (dtype) {
    case Dtype::F32:
      for (size_t k = 0; k < columns; k++) out[k] = reinterpret_cast<const float*>(in)[k * 16 + lane];
      return;
    case Dtype::F16:
      for (size_t k = 0; k < columns; k++) out[k] = fromF16(halves[k * 16 + lane]);
      return;
    case Dtype::BF16:
      for (size_t k = 0; k < columns; k++) out[k] = fromBf16(halves[(k / 2 * 16 + lane) * 2 + k % 2]);
      return;
    case Dtype::I8: {
      const auto* scales = reinterpret_cast<const uint16_t*>(in + groupsOf(columns) * kGroup * 16);
      for (size_t k = 0; k < columns; k++) {
        const int value = (int)(uint8_t)in[(k / 4 * 16 + lane) * 4 + k % 4] - 128;
        out[k] = (float)value * fromF16(scales[k / kGroup * 16 + lane]);
      }
    }
  }
}

}  // namespace pm
