// Attention of 16 rows by one warp, on the tensor cores: scores = q k^T, softmax as it goes (Milakov and Gimelshein
// 2018, "Online normalizer calculation for softmax"; Dao 2023, "FlashAttention-2"), then output += p v. A row is one
// query with one head of the group. All in registers; the warp reads tiles of 16 tokens from shared memory.
//
// bf16 pages: fragments come by matrix loads, rows swizzled as in layout.h.
// e4m3 pages: bytes become f16 in registers, and so do q and p. Four adjacent channels of k are read at once: inside a
// product of 16 channels their order is free as long as q follows it. Of v, a transposed matrix load brings pairs of
// channels of two tokens, which two products take apart: one for even channels, one for odd ones.
#pragma once

#include "kernels.h"
#include "warp.h"

namespace pm::cuda {

constexpr float kLog2E = 1.4426950408889634f;

// Scores that are not seen. Finite, so that no difference of two is NaN; far below any score.
constexpr float kUnseen = -1e30f;

template <int D, KvType TYPE>
struct AttentionRows {
  static constexpr int kTiles = D / 8, kSteps = D / 16, kRowBytes = D * bytesOf(TYPE), kTileBytes = kPageTokens * kRowBytes;

  uint32_t q[kSteps][4];
  float out[kTiles][4];
  float most[2], sum[2];  // of rows lane / 4 and lane / 4 + 8; the sum is this lane's part only

  // Which channel of the head element e (0 or 1) of tile i is in this lane.
  static PM_DEVICE int channelOf(int i, int e) {
    const int t = laneOf() & 3;
    return TYPE == KvType::Bf16 ? i * 8 + t * 2 + e : i / 2 * 16 + t * 4 + e * 2 + (i & 1);
  }

  // `rowOf(r)` points to the q of row r, or is null for rows that are not there.
  template <class RowOf>
  PM_DEVICE void begin(const RowOf& rowOf) {
    const int g = laneOf() >> 2, t = laneOf() & 3;
    const Bf16* rows[2] = {rowOf(g), rowOf(g + 8)};
    PM_UNROLL
    for (int step = 0; step < kSteps; step++)
      PM_UNROLL
      for (int e = 0; e < 4; e++) {
        const Bf16* row = rows[e & 1];
        // bf16: channels t * 2 and 8 + t * 2; e4m3: t * 4 and t * 4 + 2.
        const int channel = step * 16 + (TYPE == KvType::Bf16 ? t * 2 + (e >> 1) * 8 : t * 4 + (e >> 1) * 2);
        uint32_t pair = row ? *reinterpret_cast<const uint32_t*>(row + channel) : 0u;
        if (TYPE == KvType::E4m3) pair = packF16(lowBf16(pair), highBf16(pair));
        q[step][e] = pair;
      }
    PM_UNROLL
    for (int i = 0; i < kTiles; i++)
      PM_UNROLL
      for (int e = 0; e < 4; e++) out[i][e] = 0;
    most[0] = most[1] = kUnseen;
    sum[0] = sum[1] = 0;
  }

  static PM_DEVICE void product(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    if constexpr (TYPE == KvType::Bf16) multiplyBf16(c, a, b0, b1);
    else multiplyF16(c, a, b0, b1);
  }

  // Scores of 16 tokens: tile 0 has tokens 0 to 7, tile 1 the others.
  PM_DEVICE void scores(float (&c)[2][4], const char* keys) const {
    const int lane = laneOf();
    PM_UNROLL
    for (int step = 0; step < kSteps; step++) {
      if constexpr (TYPE == KvType::Bf16) {
        uint32_t k[4];
        const int token = (lane & 7) + ((lane >> 4) << 3);
        loadMatrices(k, keys + chunkOffset(token, step, (lane >> 3) & 1, kRowBytes));
        product(c[0], q[step], k[0], k[1]);
        product(c[1], q[step], k[2], k[3]);
      } else {
        PM_UNROLL
        for (int half = 0; half < 2; half++) {
          const int token = (lane >> 2) + half * 8;
          const uint32_t four = *reinterpret_cast<const uint32_t*>(
              keys + chunkOffset(token, step / 2, step % 2, kRowBytes) + (lane & 3) * 4);
          product(c[half], q[step], e4m3ToF16((uint16_t)four), e4m3ToF16((uint16_t)(four >> 16)));
        }
      }
    }
  }

  static PM_DEVICE uint32_t packed(float low, float high) {
    if constexpr (TYPE == KvType::Bf16) return packBf16(low, high);
    else return packF16(low, high);
  }

  // out += p v over 16 tokens. Of those from `valid` on memory may hold anything, and 0 times NaN is NaN: they count
  // as zero.
  PM_DEVICE void add(const float (&p)[2][4], const char* values, int valid) {
    const uint32_t a[4] = {packed(p[0][0], p[0][1]), packed(p[0][2], p[0][3]), packed(p[1][0], p[1][1]), packed(p[1][2], p[1][3])};
    const int lane = laneOf(), token = lane & 15;
    PM_UNROLL
    for (int i = 0; i < kRowBytes / 32; i++) {
      uint32_t v[4];
      loadMatricesTransposed(v, values + chunkOffset(token, i, lane >> 4, kRowBytes));
      if (valid < kPageTokens) {
        PM_UNROLL
        for (int m = 0; m < 4; m++) {
          const int first = (lane & 3) * 2 + (m & 1) * 8;
          v[m] &= (first < valid ? 0xffffu : 0u) | (first + 1 < valid ? 0xffff0000u : 0u);
        }
      }
      if constexpr (TYPE == KvType::Bf16) {
        product(out[i * 2], a, v[0], v[1]);
        product(out[i * 2 + 1], a, v[2], v[3]);
      } else {
        PM_UNROLL
        for (int half = 0; half < 2; half++) {
          const uint32_t low = v[half * 2], high = v[half * 2 + 1];  // tokens 0 to 7 and 8 to 15, four bytes each
          product(out[i * 4 + half * 2], a, e4m3ToF16((uint16_t)((low & 0xff) | (low >> 8 & 0xff00))),
                  e4m3ToF16((uint16_t)((high & 0xff) | (high >> 8 & 0xff00))));
          product(out[i * 4 + half * 2 + 1], a, e4m3ToF16((uint16_t)((low >> 8 & 0xff) | (low >> 16 & 0xff00))),
                  e4m3ToF16((uint16_t)((high >> 8 & 0xff) | (high >> 16 & 0xff00))));
        }
      }
    }
  }

  // PAGES tiles of 16 tokens from position `first` on. `positions`: of the queries of this lane's two rows; tokens
  // outside of (position - window, position] and from `end` on are not seen. Scores are in log2.
  template <int PAGES>
  PM_DEVICE void attend(const char* const (&keys)[PAGES], const char* const (&values)[PAGES], int first, int end,
                        const int (&positions)[2], int window, float scale, float softcap) {
    float c[PAGES][2][4] = {};
    PM_UNROLL
    for (int page = 0; page < PAGES; page++)
      if (first + page * kPageTokens < end) scores(c[page], keys[page]);
    float top[2] = {most[0], most[1]};
    PM_UNROLL
    for (int page = 0; page < PAGES; page++)
      PM_UNROLL
      for (int tile = 0; tile < 2; tile++)
        PM_UNROLL
        for (int e = 0; e < 4; e++) {
          float& s = c[page][tile][e];
          s *= scale;
          if (softcap > 0.0f) s = softcap * tanhf(s / softcap);
          s *= kLog2E;
          const int token = first + page * kPageTokens + tile * 8 + (laneOf() & 3) * 2 + (e & 1), row = e >> 1;
          if (token > positions[row] || token >= end || (window > 0 && token <= positions[row] - window)) s = kUnseen;
          top[row] = fmaxf(top[row], s);
        }
    PM_UNROLL
    for (int row = 0; row < 2; row++) {
      top[row] = fmaxf(top[row], shuffleXor(top[row], 1));
      top[row] = fmaxf(top[row], shuffleXor(top[row], 2));
      const float factor = exp2Fast(most[row] - top[row]);
      most[row] = top[row];
      sum[row] *= factor;
      PM_UNROLL
      for (int i = 0; i < kTiles; i++) {
        out[i][row * 2] *= factor;
        out[i][row * 2 + 1] *= factor;
      }
    }
    PM_UNROLL
    for (int page = 0; page < PAGES; page++) {
      PM_UNROLL
      for (int tile = 0; tile < 2; tile++)
        PM_UNROLL
        for (int e = 0; e < 4; e++) {
          float& s = c[page][tile][e];
          s = s <= kUnseen ? 0.0f : exp2Fast(s - most[e >> 1]);
          sum[e >> 1] += s;
        }
      if (first + page * kPageTokens < end) add(c[page], values[page], end - first - page * kPageTokens);
    }
  }

  // Adds up the lanes' parts of the sums.
  PM_DEVICE void finish() {
    PM_UNROLL
    for (int row = 0; row < 2; row++) {
      sum[row] += shuffleXor(sum[row], 1);
      sum[row] += shuffleXor(sum[row], 2);
    }
  }
};

}  // namespace pm::cuda
