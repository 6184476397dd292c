// Block layouts as in ggml's ggml-common.h, all little-endian; d, m and the like are float16.
//   Q4_0  d, 16 bytes of nibbles          x = d (q - 8)      low nibbles are elements 0..15, high ones 16..31
//   Q4_1  d, m, 16 bytes of nibbles       x = d q + m
//   Q5_0  d, 32 high bits, 16 bytes       x = d (q - 16)
//   Q5_1  d, m, 32 high bits, 16 bytes    x = d q + m
//   Q8_0  d, 32 signed bytes              x = d q
// Blocks of 256 ("K quants") have 8 or 16 groups whose scales are small integers themselves:
//   Q4_K  d, dmin, 12 bytes of scales, 128 bytes of nibbles               x = d sc q - dmin m, groups of 32
//   Q5_K  d, dmin, 12 bytes of scales, 32 bytes of high bits, 128 bytes   the same with 5 bits
//   Q6_K  128 bytes of low nibbles, 64 of high pairs, 16 scales, d        x = d sc (q - 32), groups of 16
#include "dequantize.h"

#include <cstdint>
#include <cstring>

#include "numbers.h"

namespace pm {
namespace {

float half(const uint8_t* at) {
  uint16_t h;
  memcpy(&h, at, 2);
  return fromF16(h);
}

uint32_t word(const uint8_t* at) {
  uint32_t w;
  memcpy(&w, at, 4);
  return w;
}

int lowOf(uint8_t byte) { return byte & 15; }
int highOf(uint8_t byte) { return byte >> 4; }

void q4_0(const uint8_t* in, float* out) {
  const float d = half(in);
  for (int i = 0; i < 16; i++) {
    out[i] = d * (float)(lowOf(in[2 + i]) - 8);
    out[16 + i] = d * (float)(highOf(in[2 + i]) - 8);
  }
}

void q4_1(const uint8_t* in, float* out) {
  const float d = half(in), m = half(in + 2);
  for (int i = 0; i < 16; i++) {
    out[i] = d * (float)lowOf(in[4 + i]) + m;
    out[16 + i] = d * (float)highOf(in[4 + i]) + m;
  }
}

void q5_0(const uint8_t* in, float* out) {
  const float d = half(in);
  const uint32_t bits = word(in + 2);
  for (int i = 0; i < 16; i++) {
    out[i] = d * (float)((lowOf(in[6 + i]) | (int)(bits >> i & 1) << 4) - 16);
    out[16 + i] = d * (float)((highOf(in[6 + i]) | (int)(bits >> (16 + i) & 1) << 4) - 16);
  }
}

void q5_1(const uint8_t* in, float* out) {
  const float d = half(in), m = half(in + 2);
  const uint32_t bits = word(in + 4);
  for (int i = 0; i < 16; i++) {
    out[i] = d * (float)(lowOf(in[8 + i]) | (int)(bits >> i & 1) << 4) + m;
    out[16 + i] = d * (float)(highOf(in[8 + i]) | (int)(bits >> (16 + i) & 1) << 4) + m;
  }
}

void q8_0(const uint8_t* in, float* out) {
  const float d = half(in);
  for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)in[2 + i];
}

// Scale and minimum of group 0..7: six bits each, the upper two of groups 4..7 kept in the bytes of 0..3.
struct ScaleMin { float scale, min; };
ScaleMin scaleMin(const uint8_t* packed, int group) {
  if (group < 4) return {(float)(packed[group] & 63), (float)(packed[group + 4] & 63)};
  return {(float)((packed[group + 4] & 15) | packed[group - 4] >> 6 << 4),
          (float)(packed[group + 4] >> 4 | packed[group] >> 6 << 4)};
}

void q4_k(const uint8_t* in, float* out) {
  const float d = half(in), dmin = half(in + 2);
  const uint8_t *scales = in + 4, *q = in + 16;
  for (int group = 0; group < 8; group++) {
    const ScaleMin s = scaleMin(scales, group);
    const float scale = d * s.scale, min = dmin * s.min;
    for (int i = 0; i < 32; i++) {
      const uint8_t byte = q[group / 2 * 32 + i];
      out[group * 32 + i] = scale * (float)(group % 2 ? highOf(byte) : lowOf(byte)) - min;
    }
  }
}

void q5_k(const uint8_t* in, float* out) {
  const float d = half(in), dmin = half(in + 2);
  const uint8_t *scales = in + 4, *high = in + 16, *q = in + 48;
  for (int group = 0; group < 8; group++) {
    const ScaleMin s = scaleMin(scales, group);
    const float scale = d * s.scale, min = dmin * s.min;
    for (int i = 0; i < 32; i++) {
      const uint8_t byte = q[group / 2 * 32 + i];
      const int value = (group % 2 ? highOf(byte) : lowOf(byte)) | (high[i] >> group & 1) << 4;
      out[group * 32 + i] = scale * (float)value - min;
    }
  }
}

void q6_k(const uint8_t* in, float* out) {
  const uint8_t *low = in, *high = in + 128, *scales = in + 192;
  const float d = half(in + 208);
  for (int i = 0; i < 256; i++) {
    // Each half of 128 has four runs of 32: low nibbles of 64 bytes, then their high nibbles.
    const int part = i / 128, run = i % 128 / 32, lane = i % 32;
    const uint8_t byte = low[part * 64 + run % 2 * 32 + lane];
    const int value = (run < 2 ? lowOf(byte) : highOf(byte)) | (high[part * 32 + lane] >> run * 2 & 3) << 4;
    out[i] = d * (float)(int8_t)scales[i / 16] * (float)(value - 32);
  }
}

struct Format {
  BlockLayout layout;
  void (*read)(const uint8_t* in, float* out);
};

constexpr Format kFormats[PM_STORED_DTYPES] = {
    {{1, 4}, nullptr}, {{1, 2}, nullptr}, {{1, 2}, nullptr}, {{32, 18}, q4_0},   {{32, 20}, q4_1},  {{32, 22}, q5_0},
    {{32, 24}, q5_1},  {{32, 34}, q8_0},  {{256, 144}, q4_k}, {{256, 176}, q5_k}, {{256, 210}, q6_k}};

}  // namespace

BlockLayout blockLayout(pm_stored_dtype dtype) { return kFormats[dtype].layout; }

void readStoredRow(pm_stored_dtype dtype, const void* data, size_t columns, float* out) {
  const auto* in = static_cast<const uint8_t*>(data);
  if (dtype == PM_STORED_F32) {
    memcpy(out, in, columns * sizeof(float));
  } else if (dtype == PM_STORED_BF16 || dtype == PM_STORED_F16) {
    for (size_t k = 0; k < columns; k++) {
      uint16_t h;  // safetensors aligns tensors to their element only by convention
      memcpy(&h, in + k * 2, 2);
      out[k] = dtype == PM_STORED_BF16 ? fromBf16(h) : fromF16(h);
    }
  } else {
    const Format& format = kFormats[dtype];
    for (size_t k = 0; k < columns; k += format.layout.elements, in += format.layout.bytes) format.read(in, out + k);
  }
}

}  // namespace pm
