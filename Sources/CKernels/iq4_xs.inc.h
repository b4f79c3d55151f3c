// IQ4_XS: 256 elements in 136 bytes: f16 scale d, upper 2 bits of eight sub-block scales (16 bits), lower 4
// bits of them (4 bytes), then 8 times 16 bytes of indices as in IQ4_NL; x = d * (scale - 32) *
// level[index]. Layout and levels: ggml src/ggml-common.h (block_iq4_xs, kvalues_iq4nl).
//
// Encode minimises the exact (weighted) squared error of the super-block. One tile is one super-block, a
// lane one sub-block: real-valued scales per lane, the d whose multiples disturb them least, then twice an
// exact choice among neighbouring integer scales and a least-squares refit of d.

#include "iq4_nl.inc.h"

enum { iq4_xs_bytes = 136 };
_Static_assert(iq4_xs_bytes == 2 + 2 + 4 + 256 / 2, "d, upper bits of scales, lower bits, codes");

typedef struct iq4_xs_choice {
  float d;      // representable in half precision
  f32x8 scale;  // -32...31
  float error;
} iq4_xs_choice;

TK_INLINE f32x8 iq4_xs_clamp(f32x8 scale) {
  return v_min(v_max(scale, v_splat(-32)), v_splat(31));
}

// scales / d to the nearest integer, within -64...64.
TK_INLINE f32x8 iq4_xs_multiple(f32x8 scales, float d) {
  return v_round(v_min(v_max(scales * v_splat(1 / d), v_splat(-64)), v_splat(64)));
}

// The value nearest to `d` that can be stored and is not zero: with d = 0 everything would vanish.
TK_INLINE float iq4_xs_storable(float d) {
  float rounded = tk_f16_to_f32(tk_f32_to_f16(d));
  if (rounded != 0) return rounded;
  return d < 0 ? -0x1p-24f : 0x1p-24f;
}

// The two d whose integer multiples come closest to the lanes' scales, by weight, and that differ by 1% or
// more.
static void iq4_xs_starts(f32x8 scales, f32x8 weight, float best[2]) {
  float hi = v_hmax(scales), lo = v_hmin(scales);
  float peak = hi >= -lo ? hi : lo;
  float errors[48], tried[48];
  for (int step = 0; step < 48; ++step) {
    float target = step < 24 ? -32.0f + 0.5f * (float)step : 31.0f - 0.5f * (float)(step - 24);
    float d = iq4_xs_storable(peak / target);
    f32x8 off = scales - v_splat(d) * iq4_xs_clamp(iq4_xs_multiple(scales, d));
    tried[step] = d;
    errors[step] = v_hsum(weight * (off * off));
  }
  int first = 0, second = 0;
  for (int step = 1; step < 48; ++step) {
    if (errors[step] < errors[first]) first = step;
  }
  float least = __builtin_inff();
  for (int step = 0; step < 48; ++step) {
    float ratio = tried[step] / tried[first];
    if (ratio > 0.99f && ratio < 1.01f) continue;
    if (errors[step] < least) {
      least = errors[step];
      second = step;
    }
  }
  best[0] = tried[first];
  best[1] = tried[second];
}

// The best integer scales within `reach` of scales / d, exactly.
static iq4_xs_choice iq4_xs_scales(const tk_tile *tile, f32x8 scales, float d, int reach) {
  f32x8 center = iq4_xs_multiple(scales, d);
  f32x8 chosen = iq4_xs_clamp(center), least = v_splat(__builtin_inff());
  for (int step = -reach; step <= reach; ++step) {
    f32x8 scale = iq4_xs_clamp(center + v_splat((float)step));
    f32x8 error = iq4_error(tile, v_splat(d) * scale);
    i32x8 better = error < least;
    least = v_select(better, error, least);
    chosen = v_select(better, scale, chosen);
  }
  iq4_xs_choice choice = {d, chosen, v_hsum(least)};
  return choice;
}

// Integer scales for `d`, and up to two rounds of a least-squares d for those and integer scales for that.
static iq4_xs_choice iq4_xs_refine(const tk_tile *tile, f32x8 scales, float d) {
  // Narrow sub-blocks can share a level by many scales far apart.
  int reach = tile_is_narrow(tile, tile_peak(tile)) ? 63 : 1;
  iq4_xs_choice best = iq4_xs_scales(tile, scales, d, reach);
  for (int round = 0; round < 2; ++round) {
    f32x8 lane_d = v_splat(best.d) * best.scale;
    f32x8 xq, qq;
    iq4_sums(tile, v_inverse(lane_d), &xq, &qq);
    float num = v_hsum(xq * best.scale), den = v_hsum(qq * (best.scale * best.scale));
    if (!(den > 0)) break;
    float refit = iq4_xs_storable(num / den);
    if (refit == best.d) break;
    iq4_xs_choice next = iq4_xs_scales(tile, v_splat(refit) * best.scale, refit, reach);
    if (!(next.error < best.error)) break;
    best = next;
  }
  return best;
}

// ggml's scales: those of the sub-blocks, then the largest becomes -32.
static iq4_xs_choice iq4_xs_usual(const tk_tile *raw, int weighted) {
  f32x8 scales = iq4_usual(raw, v_splat(v_hsum(iq4_energy(raw)) * (2.0f / 256)), weighted);
  float hi = v_hmax(scales), lo = v_hmin(scales), largest = hi;
  for (int b = 7; b >= 0; --b) {
    if ((hi >= -lo && scales[b] == hi) || (hi <= -lo && scales[b] == lo)) largest = scales[b];
  }
  float d = largest * (-1.0f / 32);
  iq4_xs_choice choice = {iq4_xs_storable(d), v_splat(0), 0};
  if (v_abs(v_splat(d))[0] > 0x1p-100f) choice.scale = iq4_xs_clamp(iq4_xs_multiple(scales, d));
  return choice;
}

static double iq4_xs_decoded_error(const tk_tile *raw, const iq4_xs_choice *choice) {
  f64x8 e = iq4_decoded_error(raw, v_splat(choice->d) * choice->scale);
  return ((e[0] + e[4]) + (e[2] + e[6])) + ((e[1] + e[5]) + (e[3] + e[7]));
}

// The best solution of our search; `tile` is prepared for it.
static iq4_xs_choice iq4_xs_search(const tk_tile *tile) {
  f32x8 weight;
  f32x8 scales = iq4_search(tile, &weight);
  iq4_xs_choice best = {0, v_splat(0), 0};
  if (v_hmax(v_abs(scales)) == 0) return best;
  float starts[2];
  iq4_xs_starts(scales, weight, starts);
  best = iq4_xs_refine(tile, scales, starts[0]);
  iq4_xs_choice other = iq4_xs_refine(tile, scales, starts[1]);
  return other.error < best.error ? other : best;
}

// Where hardly any error is left: the d that bring the peak onto a level with the least rounding.
static void iq4_xs_divide(const tk_tile *raw, const tk_tile *tile, iq4_xs_choice *best, double *error) {
  static const float levels[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  enum { tried = 16 * 32, settled = 8 };
  f32x8 peaks = tile_peak(tile);
  float hi = v_hmax(peaks), lo = v_hmin(peaks), peak = hi >= -lo ? hi : lo, off[tried];
  for (int k = 0; k < tried; ++k) {
    float product = levels[k / 32] * (float)(k % 32 + 1);
    off[k] = v_abs(v_splat(iq4_xs_storable(peak / product) * product - peak))[0];
  }
  for (int s = 0; s < settled && *error > 0; ++s) {
    int least = 0;
    for (int k = 1; k < tried; ++k) {
      if (off[k] < off[least]) least = k;
    }
    float level = levels[least / 32], d = iq4_xs_storable(peak / (level * (float)(least % 32 + 1)));
    off[least] = __builtin_inff();
    iq4_xs_choice other = iq4_xs_scales(tile, peaks * v_splat(1 / level), d, 1);
    double now = iq4_xs_decoded_error(raw, &other);
    if (!(now < *error)) continue;
    *error = now;
    *best = other;
  }
}

static void enc_iq4_xs_block(const float *x, const float *importance, uint8_t *out) {
  tk_tile raw;
  tile_load(&raw, x, importance, 8);
  if (v_hmax(v_abs(iq4_first_peak(&raw))) == 0) {
    // Nothing but zeros: d = 0 decodes to zeros whatever the rest.
    memset(out, 0, iq4_xs_bytes);
    return;
  }
  tk_tile tile = raw;
  if (importance) {
    tile_normalise(&tile, 1);
    iq4_stand_in(&tile);
  }
  iq4_xs_choice best = iq4_xs_search(&tile), usual = iq4_xs_usual(&raw, importance != NULL);
  const iq4_xs_choice nothing = {0, v_splat(0), 0};
  double error = iq4_xs_decoded_error(&raw, &best), other = iq4_xs_decoded_error(&raw, &usual);
  if (other < error) {
    error = other;
    best = usual;
  }
  if (error > 0 && error < 1e-6 * iq4_xs_decoded_error(&raw, &nothing)) iq4_xs_divide(&raw, &tile, &best, &error);
  int32_t indices[32][8];
  iq4_indices(&raw, v_splat(best.d) * best.scale, indices);
  uint32_t upper = 0;
  tk_store16(out, tk_f32_to_f16(best.d));
  for (int b = 0; b < 8; ++b) {
    uint32_t stored = (uint32_t)((int)best.scale[b] + 32);
    upper |= (stored >> 4) << (2 * b);
    if (b % 2 == 0) out[4 + b / 2] = stored & 15;
    else out[4 + b / 2] |= (uint8_t)(stored << 4);
    iq4_pack(indices, b, out + 8 + 16 * b);
  }
  tk_store16(out + 2, (uint16_t)upper);
}

static void enc_iq4_xs(const float *x, const float *importance, uint8_t *out, int64_t row_length) {
  for (int64_t b = 0; b < row_length / 256; ++b) {
    enc_iq4_xs_block(x + 256 * b, importance ? importance + 256 * b : NULL, out + iq4_xs_bytes * b);
  }
}

static void dec_iq4_xs(const uint8_t *in, float *out, int64_t row_length) {
  for (int64_t b = 0; b < row_length / 256; ++b, in += iq4_xs_bytes, out += 256) {
    float d = tk_f16_to_f32(tk_load16(in));
    uint32_t upper = tk_load16(in + 2);
    for (int s = 0; s < 8; ++s) {
      int lower = in[4 + s / 2] >> (4 * (s % 2)) & 15;
      int scale = (lower | (int)(upper >> (2 * s) & 3) << 4) - 32;
      iq4_decode(in + 8 + 16 * s, d * (float)scale, out + 32 * s);
    }
  }
}
