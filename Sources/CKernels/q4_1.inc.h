// Q4_1: 32 elements in 20 bytes: f16 scale d, f16 offset m, then 16 bytes of nibbles (element i low,
// element i + 16 high); x = d * q + m.
// Layout and plain encoder: ggml src/ggml-common.h (block_q4_1), src/ggml-quants.c (quantize_row_q4_1_ref).
//
// Plain encode gives ggml's bytes: d = (max - min) / 15, m = min, q = trunc((x - m) / d + 0.5) up to 15. ggml
// turns quants of a block whose 1/d is infinite (d below 2^-128) into zeros; so does this. Weighted encode:
// search_affine, or ggml's scales where they leave less.

#include "block32_usual.inc.h"

enum { q4_1_bytes = 20 };
_Static_assert(q4_1_bytes == 2 + 2 + 32 / 2, "d, m, codes");

static void enc_q4_1_plain(const float *x, uint8_t *out, int64_t row_length) {
  for (int64_t b = 0; b < row_length / 32; ++b, x += 32, out += q4_1_bytes) {
    f32x8 v[4];
    for (int k = 0; k < 4; ++k) v[k] = v_load(x + 8 * k);
    float max = v_hmax(v_max(v_max(v[0], v[1]), v_max(v[2], v[3])));
    float min = first_min(x, v_hmin(v_min(v_min(v[0], v[1]), v_min(v[2], v[3]))));
    // Zeros of different signs: their difference is +0, as for ggml's first ones.
    float d = ((max - min) + 0.0f) / 15;
    float id = d != 0 ? 1.0f / d : 0.0f;
    tk_store16(out, tk_f32_to_f16(d));
    tk_store16(out + 2, tk_f32_to_f16(min));
    if (id > 0x1.fffffep127f || d > 0x1.fffffep127f) {
      memset(out + 4, 0, 16);
      continue;
    }
    i32x8 q[4];
    for (int k = 0; k < 4; ++k) {
      f32x8 scaled = (v[k] - v_splat(min)) * v_splat(id) + v_splat(0.5f);
      q[k] = v_trunc_int(v_min(scaled, v_splat(15)));
    }
    pack_nibbles(out + 4, q);
  }
}

static void enc_q4_1_weighted(
    const float *x, const float *importance, uint8_t *out, int64_t row_length) {
  int64_t blocks = row_length / 32;
  const float energy = row_energy(x, row_length);
  for (int64_t first = 0; first < blocks; first += 8) {
    int count = blocks - first < 8 ? (int)(blocks - first) : 8;
    tk_tile tile;
    tile_load(&tile, x + 32 * first, importance + 32 * first, count);
    const tk_tile raw = usual_tile(&tile);
    tk_scales found = better_affine(&raw, energy, 15, search_affine(&tile, 15, 16, 2.0f));
    int32_t q[32][8];
    quants_affine(&tile, found.d, found.m, 15, q);
    for (int b = 0; b < count; ++b) {
      uint8_t *block = out + (first + b) * q4_1_bytes;
      i32x8 line[4];
      block_quants(q, b, line);
      tk_store16(block, tk_f32_to_f16(found.d[b]));
      tk_store16(block + 2, tk_f32_to_f16(found.m[b]));
      pack_nibbles(block + 4, line);
    }
  }
}

static void enc_q4_1(const float *x, const float *importance, uint8_t *out, int64_t row_length) {
  if (importance) {
    enc_q4_1_weighted(x, importance, out, row_length);
  } else {
    enc_q4_1_plain(x, out, row_length);
  }
}

static void dec_q4_1(const uint8_t *in, float *out, int64_t row_length) {
  for (int64_t b = 0; b < row_length / 32; ++b, in += q4_1_bytes, out += 32) {
    f32x8 d = v_splat(tk_f16_to_f32(tk_load16(in)));
    f32x8 m = v_splat(tk_f16_to_f32(tk_load16(in + 2)));
    i32x8 q[4];
    unpack_nibbles(in + 4, q);
    for (int k = 0; k < 4; ++k) v_store(out + 8 * k, v_from_int(q[k]) * d + m);
  }
}
