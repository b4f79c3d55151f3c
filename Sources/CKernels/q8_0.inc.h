// Q8_0: 32 elements in 34 bytes: f16 scale d, then 32 signed bytes q; x = d * q.
// Layout and plain encoder: ggml src/ggml-common.h (block_q8_0), src/ggml-quants.c (quantize_row_q8_0_ref).
//
// Plain encode gives ggml's bytes: d = amax / 127, q = x / d rounded half away from zero. ggml turns quants
// of a block whose 1/d is infinite (d below 2^-128) into zeros; so does this. Weighted encode:
// search_symmetric, never worse than the plain bytes.

#include "block32.inc.h"

enum { q8_0_bytes = 34 };
_Static_assert(q8_0_bytes == 2 + 32, "d, codes");

// Nearest integer, halves away from zero, of |x| < 2^22.
TK_INLINE i32x8 v_round_away(f32x8 x) {
  u32x8 sign = (u32x8)x & (u32x8)(0x80000000u);
  f32x8 half = (f32x8)(sign | (u32x8)v_splat(0x1.fffffep-2f));
  return v_trunc_int(x + half);
}

static void enc_q8_0_plain(const float *x, uint8_t *out, int64_t row_length) {
  for (int64_t b = 0; b < row_length / 32; ++b, x += 32, out += q8_0_bytes) {
    f32x8 v[4];
    for (int k = 0; k < 4; ++k) v[k] = v_load(x + 8 * k);
    float amax =
        v_hmax(v_max(v_max(v_abs(v[0]), v_abs(v[1])), v_max(v_abs(v[2]), v_abs(v[3]))));
    float d = amax / 127;
    float id = d != 0 ? 1.0f / d : 0.0f;
    tk_store16(out, tk_f32_to_f16(d));
    if (id > 0x1.fffffep127f) {
      memset(out + 2, 0, 32);
      continue;
    }
    for (int k = 0; k < 4; ++k) {
      i8x8 q = __builtin_convertvector(v_round_away(v[k] * v_splat(id)), i8x8);
      memcpy(out + 2 + 8 * k, &q, sizeof q);
    }
  }
}

static void enc_q8_0_weighted(
    const float *x, const float *importance, uint8_t *out, int64_t row_length) {
  int64_t blocks = row_length / 32;
  for (int64_t first = 0; first < blocks; first += 8) {
    int count = blocks - first < 8 ? (int)(blocks - first) : 8;
    tk_tile tile;
    tile_load(&tile, x + 32 * first, importance + 32 * first, count);
    tk_scales found = search_symmetric(&tile, -128, 127, 4, 0.4f);
    int32_t q[32][8];
    quants_symmetric(&tile, found.d, -128, 127, q);
    for (int b = 0; b < count; ++b) {
      uint8_t *block = out + (first + b) * q8_0_bytes;
      tk_store16(block, tk_f32_to_f16(found.d[b]));
      for (int i = 0; i < 32; ++i) block[2 + i] = (uint8_t)q[i][b];
    }
  }
}

static void enc_q8_0(const float *x, const float *importance, uint8_t *out, int64_t row_length) {
  if (importance) {
    enc_q8_0_weighted(x, importance, out, row_length);
  } else {
    enc_q8_0_plain(x, out, row_length);
  }
}

static void dec_q8_0(const uint8_t *in, float *out, int64_t row_length) {
  for (int64_t b = 0; b < row_length / 32; ++b, in += q8_0_bytes, out += 32) {
    f32x8 d = v_splat(tk_f16_to_f32(tk_load16(in)));
    for (int k = 0; k < 4; ++k) {
      i8x8 q;
      memcpy(&q, in + 2 + 8 * k, sizeof q);
      v_store(out + 8 * k, __builtin_convertvector(q, f32x8) * d);
    }
  }
}
