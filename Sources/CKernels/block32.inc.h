// What the formats with blocks of 32 share: the first of the greatest magnitudes, packing of quants, tiles of
// eight blocks, and the searches for the scale (and min) with the least weighted error.
//
// A tile holds eight blocks, one per lane, so sums run along the vectors and never across lanes: the same
// bits for any vector width. Weights are scaled to a greatest value of 1 per block and floored at 2^-30: a
// block without any importance is encoded as with equal weights.
#ifndef TINCTURE_BLOCK32_INC_H
#define TINCTURE_BLOCK32_INC_H

// The value of greatest magnitude, the first of equal ones; 0 for a block of zeros of either sign.
TK_INLINE float peak_of(const float *x, const f32x8 v[4]) {
  float hi = v_hmax(v_max(v_max(v[0], v[1]), v_max(v[2], v[3])));
  float lo = v_hmin(v_min(v_min(v[0], v[1]), v_min(v[2], v[3])));
  if (hi > -lo) return hi;
  if (hi < -lo) return lo;
  if (hi == 0) return 0;
  for (int i = 0; i < 32; ++i) {
    if (x[i] == hi) return hi;
    if (x[i] == lo) return lo;
  }
  return hi;
}

// `low` is the least of the 32 values; of zeros of both signs this returns the first.
TK_INLINE float first_min(const float *x, float low) {
  if (low != 0) return low;
  for (int i = 0; i < 32; ++i) {
    if (x[i] == 0) return x[i];
  }
  return low;
}

// Element i and element i + 16 share byte i: low and high nibble.
TK_INLINE void pack_nibbles(uint8_t *out, const i32x8 q[4]) {
  for (int k = 0; k < 2; ++k) {
    u8x8 bytes = __builtin_convertvector(
        (q[k] & v_isplat(15)) | ((q[k + 2] & v_isplat(15)) << 4), u8x8);
    memcpy(out + 8 * k, &bytes, sizeof bytes);
  }
}

// Bit i is bit 4 of quant i.
TK_INLINE uint32_t fifth_bits(const i32x8 q[4]) {
  const i32x8 place = {1, 2, 4, 8, 16, 32, 64, 128};
  uint32_t bits = 0;
  for (int k = 0; k < 4; ++k) {
    i32x8 set = ((q[k] & v_isplat(16)) != v_isplat(0)) & place;
    bits |= (uint32_t)__builtin_reduce_or(set) << (8 * k);
  }
  return bits;
}

TK_INLINE void unpack_nibbles(const uint8_t *in, i32x8 q[4]) {
  for (int k = 0; k < 2; ++k) {
    u8x8 bytes;
    memcpy(&bytes, in + 8 * k, sizeof bytes);
    i32x8 wide = __builtin_convertvector(bytes, i32x8);
    q[k] = wide & v_isplat(15);
    q[k + 2] = wide >> 4;
  }
}

TK_INLINE void add_fifth_bits(uint32_t bits, i32x8 q[4]) {
  const i32x8 place = {1, 2, 4, 8, 16, 32, 64, 128};
  for (int k = 0; k < 4; ++k) {
    i32x8 set = (v_isplat((int32_t)(bits >> (8 * k) & 255)) & place) != v_isplat(0);
    q[k] |= set & v_isplat(16);
  }
}

typedef struct tk_tile {
  f32x8 x[32];
  f32x8 w[32];
} tk_tile;

// Lane b of out[i] is element i of row b; rows are `stride` floats apart.
TK_INLINE void transpose8(const float *in, int64_t stride, f32x8 *out) {
  f32x8 r[8], s[8];
  for (int b = 0; b < 8; ++b) r[b] = v_load(in + b * stride);
  for (int b = 0; b < 8; b += 2) {
    s[b] = __builtin_shufflevector(r[b], r[b + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    s[b + 1] = __builtin_shufflevector(r[b], r[b + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int b = 0; b < 8; b += 4) {
    for (int k = 0; k < 2; ++k) {
      r[b + k] = __builtin_shufflevector(s[b + k], s[b + k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      r[b + k + 2] = __builtin_shufflevector(s[b + k], s[b + k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int k = 0; k < 4; ++k) {
    out[k] = __builtin_shufflevector(r[k], r[k + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    out[k + 4] = __builtin_shufflevector(r[k], r[k + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

// `count` blocks of 32 from 1 to 8; missing ones are zeros. Without importance all weights are 1.
TK_INLINE void tile_load(tk_tile *tile, const float *x, const float *importance, int count) {
  float padded[8 * 32];
  const float *source = x;
  if (count < 8) {
    memset(padded, 0, sizeof padded);
    memcpy(padded, x, (size_t)count * 32 * sizeof(float));
    source = padded;
  }
  for (int k = 0; k < 4; ++k) transpose8(source + 8 * k, 32, tile->x + 8 * k);
  if (!importance) {
    for (int i = 0; i < 32; ++i) tile->w[i] = v_splat(1);
    return;
  }
  source = importance;
  if (count < 8) {
    memset(padded, 0, sizeof padded);
    memcpy(padded, importance, (size_t)count * 32 * sizeof(float));
    source = padded;
  }
  for (int k = 0; k < 4; ++k) transpose8(source + 8 * k, 32, tile->w + 8 * k);
}

// Scales the weights as the top of this file says; `shared` takes one greatest value for all lanes.
TK_INLINE void tile_normalise(tk_tile *tile, int shared) {
  f32x8 top = tile->w[0];
  for (int i = 1; i < 32; ++i) top = v_max(top, tile->w[i]);
  if (shared) top = v_splat(v_hmax(top));
  i32x8 none = top < v_splat(0x1p-126f);
  f32x8 factor = v_splat(1) / v_select(none, v_splat(1), top);
  for (int i = 0; i < 32; ++i) {
    f32x8 w = v_max(tile->w[i] * factor, v_splat(0x1p-30f));
    tile->w[i] = v_select(none, v_splat(1), w);
  }
}

// Lane by lane the value of greatest magnitude.
TK_INLINE f32x8 tile_peak(const tk_tile *tile) {
  f32x8 hi = tile->x[0], lo = tile->x[0];
  for (int i = 1; i < 32; ++i) {
    hi = v_max(hi, tile->x[i]);
    lo = v_min(lo, tile->x[i]);
  }
  return v_select(hi >= -lo, hi, lo);
}

// The weighted mean of each lane.
TK_INLINE f32x8 tile_mean(const tk_tile *tile) {
  f32x8 sum = v_splat(0), total = v_splat(0);
  for (int i = 0; i < 32; ++i) {
    sum += tile->w[i] * tile->x[i];
    total += tile->w[i];
  }
  return sum / total;
}

// Whether some block's values are all within a quarter of its peak. All of them may then share one or two
// levels, and what is left of the error depends on which levels: every one is worth a try.
TK_INLINE int tile_is_narrow(const tk_tile *tile, f32x8 peak) {
  f32x8 hi = tile->x[0], lo = tile->x[0];
  for (int i = 1; i < 32; ++i) {
    hi = v_max(hi, tile->x[i]);
    lo = v_min(lo, tile->x[i]);
  }
  i32x8 narrow = (hi - lo < v_abs(peak) * v_splat(0.25f)) & (peak != v_splat(0));
  return __builtin_reduce_or(narrow) != 0;
}

// 1 / a, 0 where a is 0 or so small that the quotient would be infinite.
TK_INLINE f32x8 v_inverse(f32x8 a) {
  i32x8 tiny = v_abs(a) < v_splat(0x1p-125f);
  return v_select(tiny, v_splat(0), v_splat(1) / v_select(tiny, v_splat(1), a));
}

// The half-precision value `step` steps further from zero than the half-precision value `a`.
TK_INLINE f32x8 v_step_f16(f32x8 a, int step) {
  u16x8 h = v_f32_to_f16(a);
  i32x8 magnitude = __builtin_convertvector(h & (u16x8)(0x7fff), i32x8) + v_isplat(step);
  magnitude = v_iselect(magnitude < v_isplat(0), v_isplat(0), magnitude);
  magnitude = v_iselect(magnitude > v_isplat(0x7bff), v_isplat(0x7bff), magnitude);
  u16x8 bits = __builtin_convertvector(magnitude, u16x8) | (h & (u16x8)(0x8000));
  return v_f16_to_f32(bits);
}

// The half-precision value below the half-precision value `a`.
TK_INLINE f32x8 v_down_f16(f32x8 a) {
  f32x8 lower = v_select(a > v_splat(0), v_step_f16(a, -1), v_step_f16(a, 1));
  return v_select(a == v_splat(0), v_splat(-0x1p-24f), lower);
}

typedef struct tk_scales {
  f32x8 d;  // representable in half precision, or infinite
  f32x8 m;
} tk_scales;

TK_INLINE f32x8 v_quant(f32x8 scaled, float lowest, float highest) {
  return v_min(v_max(v_round(v_min(v_max(scaled, v_splat(-1024)), v_splat(1024))),
                     v_splat(lowest)), v_splat(highest));
}

// sum(w * (x - d * q)^2) with q the best quants for d.
TK_INLINE f32x8 error_symmetric(const tk_tile *tile, f32x8 d, float lowest, float highest) {
  f32x8 inverse = v_inverse(d), error = v_splat(0);
  for (int i = 0; i < 32; ++i) {
    f32x8 q = v_quant(tile->x[i] * inverse, lowest, highest);
    f32x8 off = tile->x[i] - d * q;
    error += tile->w[i] * (off * off);
  }
  return error;
}

// One step of alternation: quants for the scale 1/inverse, then the least-squares scale for those quants.
// Returns what it takes off sum(w * x^2).
TK_INLINE f32x8 fit_symmetric(
    const tk_tile *tile, f32x8 inverse, float lowest, float highest, f32x8 *d) {
  f32x8 xq = v_splat(0), qq = v_splat(0);
  for (int i = 0; i < 32; ++i) {
    f32x8 q = v_quant(tile->x[i] * inverse, lowest, highest);
    f32x8 wq = tile->w[i] * q;
    xq += wq * tile->x[i];
    qq += wq * q;
  }
  f32x8 inv = v_inverse(qq);
  *d = xq * inv;
  return xq * *d;
}

// The half-precision scale d for x = d * q, lowest <= q <= highest (lowest = -highest - 1). Tries 2 * tries
// + 1 scales around each of peak -> lowest and peak -> highest, `spread` quant steps to either side, then
// refines the best.
static tk_scales search_symmetric(
    tk_tile *tile, float lowest, float highest, int tries, float spread) {
  tile_normalise(tile, 0);
  f32x8 peak = tile_peak(tile), inverse_peak = v_inverse(peak);
  f32x8 best = v_splat(-1), d = peak * v_splat(1 / lowest);
  for (int side = 0; side < 2; ++side) {
    float end = side == 0 ? lowest : highest;
    for (int t = -tries; t <= tries; ++t) {
      float target = end + spread * (float)t / (float)tries;
      f32x8 fitted, gain;
      fit_symmetric(tile, v_splat(target) * inverse_peak, lowest, highest, &fitted);
      gain = fit_symmetric(tile, v_inverse(fitted), lowest, highest, &fitted);
      i32x8 better = gain > best;
      best = v_select(better, gain, best);
      d = v_select(better, fitted, d);
    }
  }
  for (int round = 0; round < 2; ++round) {
    f32x8 fitted, gain = fit_symmetric(tile, v_inverse(d), lowest, highest, &fitted);
    i32x8 better = gain > best;
    best = v_select(better, gain, best);
    d = v_select(better, fitted, d);
  }
  // Exactly, with the scales that can be stored, from the plain encoder's scale on.
  f32x8 plain = v_round_f16(v_abs(peak) * v_splat(1 / highest));
  f32x8 plain_low = v_round_f16(peak * v_splat(1 / lowest));
  f32x8 center = v_round_f16(d), chosen = plain_low;
  f32x8 least = error_symmetric(tile, plain_low, lowest, highest);
  for (int c = 0; c < 6; ++c) {
    f32x8 scale = c == 5 ? plain : v_step_f16(center, c - 2);
    f32x8 error = error_symmetric(tile, scale, lowest, highest);
    i32x8 better = error < least;
    least = v_select(better, error, least);
    chosen = v_select(better, scale, chosen);
  }
  if (tile_is_narrow(tile, peak)) {
    f32x8 mean = tile_mean(tile);
    for (float level = lowest; level <= highest; level += highest > 16 ? 8 : 1) {
      if (level == 0) continue;
      f32x8 scale = v_round_f16(mean * v_splat(1 / level));
      scale = v_select(v_abs(scale) > v_splat(65504), chosen, scale);
      f32x8 error = error_symmetric(tile, scale, lowest, highest);
      i32x8 better = error < least;
      least = v_select(better, error, least);
      chosen = v_select(better, scale, chosen);
    }
  }
  // A peak no scale can reach stays an infinite scale, for the caller to see.
  i32x8 overflow = v_abs(plain_low) > v_splat(65504);
  tk_scales found = {v_select(overflow, plain_low, chosen), v_splat(0)};
  return found;
}

// The quants of a searched tile: q[i][b] for element i of block b.
TK_INLINE void quants_symmetric(
    const tk_tile *tile, f32x8 d, float lowest, float highest, int32_t q[32][8]) {
  f32x8 inverse = v_inverse(d);
  for (int i = 0; i < 32; ++i) {
    i32x8 quants = v_round_int(v_quant(tile->x[i] * inverse, lowest, highest));
    memcpy(q[i], &quants, sizeof quants);
  }
}

// sum(w * (x - d * q - m)^2) with q the best quants for d and m.
TK_INLINE f32x8 error_affine(const tk_tile *tile, f32x8 d, f32x8 m, float highest) {
  f32x8 inverse = v_inverse(d), error = v_splat(0);
  for (int i = 0; i < 32; ++i) {
    f32x8 q = v_quant((tile->x[i] - m) * inverse, 0, highest);
    f32x8 off = tile->x[i] - (d * q + m);
    error += tile->w[i] * (off * off);
  }
  return error;
}

typedef struct tk_sums {
  f32x8 mean;   // weighted mean of x
  f32x8 total;  // sum of weights
} tk_sums;

// Quants for scale 1/inverse and offset m, then the least-squares scale and offset for them. Returns what
// the scale takes off sum(w * (x - mean)^2).
TK_INLINE f32x8 fit_affine(
    const tk_tile *tile, f32x8 inverse, f32x8 m, const tk_sums *sums, float highest,
    f32x8 *fitted_d, f32x8 *fitted_m) {
  f32x8 mean = sums->mean;
  f32x8 q1 = v_splat(0), qq = v_splat(0), xq = v_splat(0);
  for (int i = 0; i < 32; ++i) {
    f32x8 q = v_quant((tile->x[i] - m) * inverse, 0, highest);
    f32x8 wq = tile->w[i] * q;
    q1 += wq;
    qq += wq * q;
    xq += wq * (tile->x[i] - mean);
  }
  f32x8 mean_q = q1 / sums->total;
  f32x8 spread = qq - q1 * mean_q;
  spread = v_select(spread > qq * v_splat(1e-6f), spread, v_splat(0));
  f32x8 d = xq * v_inverse(spread);
  *fitted_d = d;
  *fitted_m = mean - d * mean_q;
  return d * xq;
}

// Tries ranges from a little wider than lo...hi to narrower, held at the low end, the middle and the high
// end.
static void search_ranges(
    const tk_tile *tile, const tk_sums *sums, f32x8 lo, f32x8 hi, float highest, int tries,
    float spread, f32x8 *best, f32x8 *d, f32x8 *m) {
  f32x8 range = hi - lo, inverse_range = v_inverse(range);
  for (int anchor = 0; anchor < 3; ++anchor) {
    for (int t = 0; t <= tries; ++t) {
      float target = highest - 0.9f + (spread + 0.9f) * (float)t / (float)tries;
      f32x8 slack = range - range * v_splat(highest / target);
      f32x8 start = lo + slack * v_splat(0.5f * (float)anchor);
      f32x8 fitted_d, fitted_m;
      fit_affine(
          tile, v_splat(target) * inverse_range, start, sums, highest, &fitted_d, &fitted_m);
      f32x8 gain = fit_affine(
          tile, v_inverse(fitted_d), fitted_m, sums, highest, &fitted_d, &fitted_m);
      i32x8 better = gain > *best;
      *best = v_select(better, gain, *best);
      *d = v_select(better, fitted_d, *d);
      *m = v_select(better, fitted_m, *m);
    }
  }
}

// The half-precision scale d and offset m for x = d * q + m, 0 <= q <= highest.
static tk_scales search_affine(tk_tile *tile, float highest, int tries, float spread) {
  tile_normalise(tile, 0);
  f32x8 hi = tile->x[0], lo = tile->x[0], total = tile->w[0];
  f32x8 mean = tile->w[0] * tile->x[0];
  for (int i = 1; i < 32; ++i) {
    hi = v_max(hi, tile->x[i]);
    lo = v_min(lo, tile->x[i]);
    total += tile->w[i];
    mean += tile->w[i] * tile->x[i];
  }
  mean = mean / total;
  tk_sums sums = {mean, total};
  f32x8 range = hi - lo;
  f32x8 best = v_splat(-1), d = range * v_splat(1 / highest), m = lo;
  search_ranges(tile, &sums, lo, hi, highest, tries, spread, &best, &d, &m);
  // Far-off values of little weight: ranges without them.
  f32x8 variance = v_splat(0);
  for (int i = 0; i < 32; ++i) {
    f32x8 off = tile->x[i] - mean;
    variance += tile->w[i] * (off * off);
  }
  f32x8 reach = v_splat(3) * __builtin_elementwise_sqrt(variance / total);
  f32x8 near_lo = v_max(lo, mean - reach), near_hi = v_min(hi, mean + reach);
  if (__builtin_reduce_or((near_lo > lo) | (near_hi < hi))) {
    search_ranges(tile, &sums, near_lo, near_hi, highest, tries, spread, &best, &d, &m);
  }
  for (int round = 0; round < 3; ++round) {
    f32x8 fitted_d, fitted_m;
    f32x8 gain =
        fit_affine(tile, v_inverse(d), m, &sums, highest, &fitted_d, &fitted_m);
    i32x8 better = gain > best;
    best = v_select(better, gain, best);
    d = v_select(better, fitted_d, d);
    m = v_select(better, fitted_m, m);
  }
  // Exactly, with what can be stored. First the plain encoder's choice; then no scale at all; then the
  // offset just below the least value with the scale made up for it, which hits nearly equal values better
  // than either alone.
  f32x8 plain_d = v_round_f16(range / v_splat(highest)), plain_m = v_round_f16(lo);
  f32x8 chosen_d = plain_d, chosen_m = plain_m;
  f32x8 least = error_affine(tile, plain_d, plain_m, highest);
  f32x8 center_d = v_round_f16(d);
  for (int c = 0; c < 11; ++c) {
    f32x8 try_d, try_m;
    if (c == 0) {
      try_d = v_splat(0);
      try_m = v_round_f16(mean);
    } else if (c == 1) {
      try_m = v_select(plain_m > lo, v_down_f16(plain_m), plain_m);
      try_d = v_round_f16((hi - try_m) * v_splat(1 / highest));
    } else {
      int e = c - 2;
      try_d = v_step_f16(center_d, e / 3 - 1);
      try_m = v_round_f16(m + (d - try_d) * v_splat(0.5f * highest));
      if (e % 3 != 1) try_m = v_step_f16(try_m, e % 3 - 1);
    }
    f32x8 error = error_affine(tile, try_d, try_m, highest);
    i32x8 better = error < least;
    least = v_select(better, error, least);
    chosen_d = v_select(better, try_d, chosen_d);
    chosen_m = v_select(better, try_m, chosen_m);
  }
  // Few distinct values or a far-off one: much of the error is the rounding of scale and offset, and each
  // quant for the far end has another rounding.
  f32x8 unrounded = v_max(variance - best, v_splat(0));
  if (v_hmax(least - unrounded * v_splat(1.1f)) > 0) {
    f32x8 fitted_m = v_round_f16(m);
    for (int c = 2; c < 2 * (int)highest + 2; ++c) {
      f32x8 try_m = c % 2 == 0 ? plain_m : fitted_m;
      f32x8 try_d = v_round_f16((hi - try_m) * v_splat(1 / (float)(c / 2)));
      try_d = v_select(try_d > v_splat(65504), chosen_d, try_d);
      f32x8 error = error_affine(tile, try_d, try_m, highest);
      i32x8 better = error < least;
      least = v_select(better, error, least);
      chosen_d = v_select(better, try_d, chosen_d);
      chosen_m = v_select(better, try_m, chosen_m);
    }
    // Zeros exactly on the middle quant (-m = 8 d or 16 d has no rounding), the far end on each other one.
    float middle = 0.5f * (highest + 1);
    for (int c = 1; c < 2 * (int)middle; ++c) {
      f32x8 end = c <= (int)middle ? -lo : hi;
      f32x8 try_d = v_round_f16(end * v_splat(1 / (float)(c <= (int)middle ? c : c - (int)middle)));
      f32x8 try_m = try_d * v_splat(-middle);
      i32x8 usable = (try_d > 0) & (v_abs(try_m) <= v_splat(65504)) & (v_round_f16(v_abs(try_m)) == v_abs(try_m));
      f32x8 error = v_select(usable, error_affine(tile, try_d, try_m, highest), least);
      i32x8 better = error < least;
      least = v_select(better, error, least);
      chosen_d = v_select(better, try_d, chosen_d);
      chosen_m = v_select(better, try_m, chosen_m);
    }
  }
  i32x8 overflow = (v_abs(plain_d) > v_splat(65504)) | (v_abs(plain_m) > v_splat(65504));
  tk_scales found = {v_select(overflow, v_splat(__builtin_inff()), chosen_d), chosen_m};
  return found;
}

TK_INLINE void quants_affine(
    const tk_tile *tile, f32x8 d, f32x8 m, float highest, int32_t q[32][8]) {
  f32x8 inverse = v_inverse(d);
  for (int i = 0; i < 32; ++i) {
    i32x8 quants = v_round_int(v_quant((tile->x[i] - m) * inverse, 0, highest));
    memcpy(q[i], &quants, sizeof quants);
  }
}

// The quants of block b as four vectors in element order.
TK_INLINE void block_quants(int32_t q[32][8], int b, i32x8 out[4]) {
  int32_t line[32];
  for (int i = 0; i < 32; ++i) line[i] = q[i][b];
  memcpy(out, line, sizeof line);
}

#endif
