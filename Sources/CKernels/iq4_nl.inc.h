// IQ4_NL: 32 elements in 18 bytes: f16 scale d, then 16 bytes of 4-bit indices (element i low, element i + 16
// high) into 16 levels; x = d * level[index].
// Layout and levels: ggml src/ggml-common.h (block_iq4_nl, kvalues_iq4nl).
//
// Encode minimises the exact (weighted) squared error: scales that send the peak near the lowest or the
// highest level, least-squares refits, then the neighbouring half-precision scales, each with its own best
// indices.

#ifndef TINCTURE_IQ4_NL_INC_H
#define TINCTURE_IQ4_NL_INC_H

#include "block32.inc.h"

enum { iq4_nl_bytes = 18 };
_Static_assert(iq4_nl_bytes == 2 + 32 / 2, "d, codes");

// Lane i of the result is table[index[i]], 0 <= index < 8.
TK_INLINE f32x8 v_lookup(const f32x8 table, i32x8 index) {
#ifdef TK_AVX2
  return (f32x8)_mm256_permutevar8x32_ps((__m256)table, (__m256i)index);
#else
  float values[8];
  int32_t places[8];
  f32x8 result;
  memcpy(values, &table, sizeof values);
  memcpy(places, &index, sizeof places);
  for (int i = 0; i < 8; ++i) result[i] = values[places[i]];
  return result;
#endif
}

// The level nearest to each lane and, unless `index` is NULL, its index: a binary search over the midpoints.
TK_INLINE f32x8 iq4_nearest(f32x8 t, i32x8 *index) {
  const f32x8 third = {-93.5f, -93.5f, -28.5f, -28.5f, 19, 19, 79, 79};
  const f32x8 last = {-115.5f, -74, -42, -16, 7, 31.5f, 61, 101};
  const f32x8 even = {-127, -83, -49, -22, 1, 25, 53, 89};
  const f32x8 odd = {-104, -65, -35, -10, 13, 38, 69, 113};
  i32x8 above = t > v_splat(-4.5f);
  i32x8 place = above & v_isplat(4);
  above = t > v_select(above, v_splat(45.5f), v_splat(-57));
  place = place | (above & v_isplat(2));
  above = t > v_lookup(third, place);
  place = place - above;
  above = t > v_lookup(last, place);
  if (index) *index = place + place - above;
  return v_select(above, v_lookup(odd, place), v_lookup(even, place));
}

// sum(w * (x - d * level)^2) with the best levels for d.
TK_INLINE f32x8 iq4_error(const tk_tile *tile, f32x8 d) {
  f32x8 inverse = v_inverse(d), error = v_splat(0);
  for (int i = 0; i < 32; ++i) {
    f32x8 off = tile->x[i] - d * iq4_nearest(tile->x[i] * inverse, NULL);
    error += tile->w[i] * (off * off);
  }
  return error;
}

// Levels for the scale 1/inverse: the sums of w * x * level and w * level^2.
TK_INLINE void iq4_sums(const tk_tile *tile, f32x8 inverse, f32x8 *xq, f32x8 *qq) {
  f32x8 a = v_splat(0), b = v_splat(0);
  for (int i = 0; i < 32; ++i) {
    f32x8 q = iq4_nearest(tile->x[i] * inverse, NULL);
    f32x8 wq = tile->w[i] * q;
    a += wq * tile->x[i];
    b += wq * q;
  }
  *xq = a;
  *qq = b;
}

// Lane by lane the real-valued scale with the least error found, and its sum of w * level^2.
static f32x8 iq4_search(const tk_tile *tile, f32x8 *weight) {
  static const float targets[] = {-138, -132, -127, -122, -116, -109, 101, 107, 113, 118, 123};
  enum { TARGETS = sizeof targets / sizeof targets[0], REFITS = 2 };
  f32x8 peak = tile_peak(tile), inverse_peak = v_inverse(peak);
  f32x8 best = v_splat(-1), d = peak * v_splat(-1.0f / 127), sum = v_splat(0);
  for (int t = 0; t < TARGETS + REFITS; ++t) {
    f32x8 inverse = t < TARGETS ? v_splat(targets[t]) * inverse_peak : v_inverse(d);
    f32x8 xq, qq;
    iq4_sums(tile, inverse, &xq, &qq);
    f32x8 fitted = xq * v_inverse(qq);
    f32x8 gain = xq * fitted;
    i32x8 better = gain > best;
    best = v_select(better, gain, best);
    d = v_select(better, fitted, d);
    sum = v_select(better, qq, sum);
  }
  *weight = sum;
  return d;
}

// Writes the indices of block b of a tile as 16 bytes of nibbles.
TK_INLINE void iq4_pack(int32_t indices[32][8], int b, uint8_t *out) {
  i32x8 line[4];
  block_quants(indices, b, line);
  pack_nibbles(out, line);
}

TK_INLINE void iq4_indices(const tk_tile *tile, f32x8 d, int32_t indices[32][8]) {
  f32x8 inverse = v_inverse(d);
  for (int i = 0; i < 32; ++i) {
    i32x8 index;
    iq4_nearest(tile->x[i] * inverse, &index);
    memcpy(indices[i], &index, sizeof index);
  }
}

// For blocks with values of nearly one size: tries the scales that put their mean on each of the levels; where
// there is hardly any error, those that put the peak there.
static void iq4_nl_narrow(const tk_tile *tile, f32x8 *least, f32x8 *chosen) {
  f32x8 energy = v_splat(0), peak = tile_peak(tile), mean = tile_mean(tile);
  for (int i = 0; i < 32; ++i) energy += tile->w[i] * (tile->x[i] * tile->x[i]);
  int exact = v_hmax(energy * v_splat(1e-5f) - *least) > 0;
  int narrow = tile_is_narrow(tile, peak);
  static const float levels[] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                 1,    13,   25,  38,  53,  69,  89,  113};
  for (int l = narrow ? 0 : 16; l < (exact ? 32 : 16); ++l) {
    f32x8 d = v_round_f16((l < 16 ? mean : peak) * v_splat(1 / levels[l & 15]));
    d = v_select(v_abs(d) > v_splat(65504), *chosen, d);
    f32x8 error = iq4_error(tile, d);
    i32x8 better = error < *least;
    *least = v_select(better, error, *least);
    *chosen = v_select(better, d, *chosen);
  }
}

// Lane by lane the value of greatest magnitude, the first of equal ones.
TK_INLINE f32x8 iq4_first_peak(const tk_tile *tile) {
  f32x8 peak = v_splat(0);
  for (int i = 0; i < 32; ++i) peak = v_select(v_abs(tile->x[i]) > v_abs(peak), tile->x[i], peak);
  return peak;
}

// The scales that ggml would take: its tries, led by its weights (x^2, or the importance times sqrt(energy + x^2), where
// `energy` is twice the mean of x^2). `raw` is the tile as it was loaded. Source: ggml src/ggml-quants.c,
// quantize_row_iq4_nl_impl. Where a block's error is mostly that of the rounded scale, no search of ours is always
// ahead of it, so it is one of the candidates.
static f32x8 iq4_usual(const tk_tile *raw, f32x8 energy, int weighted) {
  tk_tile led = *raw;
  for (int i = 0; i < 32; ++i) {
    f32x8 square = raw->x[i] * raw->x[i];
    led.w[i] = weighted ? raw->w[i] * __builtin_elementwise_sqrt(energy + square) : square;
  }
  f32x8 inverse_peak = v_inverse(iq4_first_peak(raw)), best = v_splat(-1), d = v_splat(0);
  for (int t = -1; t < 15; ++t) {
    f32x8 xq, qq;
    iq4_sums(&led, v_splat(t < 0 ? 127.0f : (float)(t - 134)) * inverse_peak, &xq, &qq);
    f32x8 fitted = xq * v_inverse(qq), gain = xq * fitted;
    i32x8 better = gain > best;
    best = v_select(better, gain, best);
    d = v_select(better, fitted, d);
  }
  return d;
}

// The squares of each block, summed.
TK_INLINE f32x8 iq4_energy(const tk_tile *tile) {
  f32x8 energy = v_splat(0);
  for (int i = 0; i < 32; ++i) energy += tile->x[i] * tile->x[i];
  return energy;
}

// iq4_error in double precision, of what a decoder reads.
static f64x8 iq4_decoded_error(const tk_tile *raw, f32x8 d) {
  f32x8 inverse = v_inverse(d);
  f64x8 error = (f64x8)(0.0);
  for (int i = 0; i < 32; ++i) {
    f32x8 decoded = d * iq4_nearest(raw->x[i] * inverse, NULL);
    f64x8 off = __builtin_convertvector(raw->x[i], f64x8) - __builtin_convertvector(decoded, f64x8);
    error += __builtin_convertvector(raw->w[i], f64x8) * (off * off);
  }
  return error;
}

// Elements without importance count for nothing: in the search they repeat one that has some.
static void iq4_stand_in(tk_tile *tile) {
  f32x8 none = v_splat(0x1p-30f), most = none, stand = v_splat(0);
  for (int i = 0; i < 32; ++i) {
    i32x8 more = tile->w[i] > most;
    most = v_select(more, tile->w[i], most);
    stand = v_select(more, tile->x[i], stand);
  }
  for (int i = 0; i < 32; ++i) tile->x[i] = v_select(tile->w[i] > none, tile->x[i], stand);
}

static void enc_iq4_nl(const float *x, const float *importance, uint8_t *out, int64_t row_length) {
  int64_t blocks = row_length / 32;
  for (int64_t first = 0; first < blocks; first += 8) {
    int count = blocks - first < 8 ? (int)(blocks - first) : 8;
    tk_tile tile;
    tile_load(&tile, x + 32 * first, importance ? importance + 32 * first : NULL, count);
    const tk_tile raw = tile;
    if (importance) {
      tile_normalise(&tile, 0);
      iq4_stand_in(&tile);
    }
    f32x8 weight;
    f32x8 center = v_round_f16(iq4_search(&tile, &weight)), chosen = center;
    f32x8 least = iq4_error(&tile, center);
    for (int step = -1; step <= 1; step += 2) {
      f32x8 d = v_step_f16(center, step);
      f32x8 error = iq4_error(&tile, d);
      i32x8 better = error < least;
      least = v_select(better, error, least);
      chosen = v_select(better, d, chosen);
    }
    iq4_nl_narrow(&tile, &least, &chosen);
    f32x8 usual = v_round_f16(iq4_usual(&raw, iq4_energy(&raw) * v_splat(2.0f / 32), importance != NULL));
    usual = v_select(v_abs(usual) > v_splat(65504), chosen, usual);
    f64x8 ours = iq4_decoded_error(&raw, chosen), theirs = iq4_decoded_error(&raw, usual);
    chosen = v_select(__builtin_convertvector(theirs < ours, i32x8), usual, chosen);
    // A peak no scale can reach stays an infinite scale, for the caller to see.
    f32x8 plain = v_round_f16(tile_peak(&raw) * v_splat(-1.0f / 127));
    chosen = v_select(v_abs(plain) > v_splat(65504), plain, chosen);
    int32_t indices[32][8];
    iq4_indices(&raw, chosen, indices);
    for (int b = 0; b < count; ++b) {
      uint8_t *block = out + (first + b) * iq4_nl_bytes;
      tk_store16(block, tk_f32_to_f16(chosen[b]));
      iq4_pack(indices, b, block + 2);
    }
  }
}

// Sixteen levels times d, as ggml multiplies them.
TK_INLINE void iq4_decode(const uint8_t *in, float d, float *out) {
  const f32x8 low = {-127, -104, -83, -65, -49, -35, -22, -10};
  const f32x8 high = {1, 13, 25, 38, 53, 69, 89, 113};
  i32x8 q[4];
  unpack_nibbles(in, q);
  for (int k = 0; k < 4; ++k) {
    i32x8 place = q[k] & v_isplat(7);
    f32x8 level = v_select(q[k] > v_isplat(7), v_lookup(high, place), v_lookup(low, place));
    v_store(out + 8 * k, v_splat(d) * level);
  }
}

static void dec_iq4_nl(const uint8_t *in, float *out, int64_t row_length) {
  for (int64_t b = 0; b < row_length / 32; ++b, in += iq4_nl_bytes, out += 32) {
    iq4_decode(in + 2, tk_f16_to_f32(tk_load16(in)), out);
  }
}

#endif
