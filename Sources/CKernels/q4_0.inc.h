// Q4_0: 32 elements in 18 bytes: f16 scale d, then 16 bytes of nibbles (element i low, element i + 16
// high); x = d * (q - 8).
// Layout and plain encoder: ggml src/ggml-common.h (block_q4_0), src/ggml-quants.c (quantize_row_q4_0_ref).
//
// Plain encode gives ggml's bytes: d = peak / -8, q = trunc(x / d + 8.5) up to 15. ggml turns quants of a
// block whose 1/d is infinite (d below 2^-128) into zeros; so does this. Weighted encode: search_symmetric,
// or ggml's scales where they leave less.

#include "block32_usual.inc.h"

enum { q4_0_bytes = 18 };
_Static_assert(q4_0_bytes == 2 + 32 / 2, "d, codes");

static void enc_q4_0_plain(const float *x, uint8_t *out, int64_t row_length) {
  for (int64_t b = 0; b < row_length / 32; ++b, x += 32, out += q4_0_bytes) {
    f32x8 v[4];
    for (int k = 0; k < 4; ++k) v[k] = v_load(x + 8 * k);
    float d = peak_of(x, v) / -8;
    float id = d != 0 ? 1.0f / d : 0.0f;
    tk_store16(out, tk_f32_to_f16(d));
    if (id > 0x1.fffffep127f || id < -0x1.fffffep127f) {
      memset(out + 2, 0, 16);
      continue;
    }
    i32x8 q[4];
    for (int k = 0; k < 4; ++k) {
      q[k] = v_trunc_int(v_min(v[k] * v_splat(id) + v_splat(8.5f), v_splat(15)));
    }
    pack_nibbles(out + 2, q);
  }
}

static void enc_q4_0_weighted(
    const float *x, const float *importance, uint8_t *out, int64_t row_length) {
  int64_t blocks = row_length / 32;
  const float energy = row_energy(x, row_length);
  for (int64_t first = 0; first < blocks; first += 8) {
    int count = blocks - first < 8 ? (int)(blocks - first) : 8;
    tk_tile tile;
    tile_load(&tile, x + 32 * first, importance + 32 * first, count);
    const tk_tile raw = usual_tile(&tile);
    tk_scales found = better_symmetric(&raw, energy, -8, 7, search_symmetric(&tile, -8, 7, 8, 0.9f));
    int32_t q[32][8];
    quants_symmetric(&tile, found.d, -8, 7, q);
    for (int b = 0; b < count; ++b) {
      uint8_t *block = out + (first + b) * q4_0_bytes;
      i32x8 line[4];
      block_quants(q, b, line);
      for (int k = 0; k < 4; ++k) line[k] += v_isplat(8);
      tk_store16(block, tk_f32_to_f16(found.d[b]));
      pack_nibbles(block + 2, line);
    }
  }
}

static void enc_q4_0(const float *x, const float *importance, uint8_t *out, int64_t row_length) {
  if (importance) {
    enc_q4_0_weighted(x, importance, out, row_length);
  } else {
    enc_q4_0_plain(x, out, row_length);
  }
}

static void dec_q4_0(const uint8_t *in, float *out, int64_t row_length) {
  for (int64_t b = 0; b < row_length / 32; ++b, in += q4_0_bytes, out += 32) {
    f32x8 d = v_splat(tk_f16_to_f32(tk_load16(in)));
    i32x8 q[4];
    unpack_nibbles(in + 2, q);
    for (int k = 0; k < 4; ++k) v_store(out + 8 * k, v_from_int(q[k] - v_isplat(8)) * d);
  }
}
