// Weighted Q4_0, Q4_1, Q5_0 and Q5_1: ggml's scales beside ours, as for the K and IQ formats (kquant_usual.inc.h).
//
// ggml is led by the importance times sqrt(mean of the row's squares + x^2), and so finds what a search by the importance
// alone can miss where a few columns are far larger than the rest. Source of the definition: ggml src/ggml-quants.c,
// quantize_row_q4_0_impl and its neighbours. Both are compared by the weighted error of what a decoder reads, in double.
#ifndef TINCTURE_BLOCK32_USUAL_INC_H
#define TINCTURE_BLOCK32_USUAL_INC_H

#include "block32.inc.h"
#include "kquant.inc.h"

// The mean of a row's squares.
TK_INLINE float row_energy(const float *x, int64_t row_length) {
  f32x8 sum = v_splat(0);
  for (int64_t i = 0; i < row_length; i += 8) sum += v_load(x + i) * v_load(x + i);
  return kq_sum(sum) / (float)row_length;
}

// The tile as it was loaded, weights scaled to a greatest of 1 per block: nothing under- or overflows. A block without
// importance has equal weights.
TK_INLINE tk_tile usual_tile(const tk_tile *loaded) {
  tk_tile raw = *loaded;
  f32x8 top = raw.w[0];
  for (int i = 1; i < 32; ++i) top = v_max(top, raw.w[i]);
  i32x8 none = top < v_splat(0x1p-126f);
  f32x8 factor = v_splat(1) / v_select(none, v_splat(1), top);
  for (int i = 0; i < 32; ++i) raw.w[i] = v_select(none, v_splat(1), raw.w[i] * factor);
  return raw;
}

TK_INLINE void usual_lead(const tk_tile *raw, float energy, tk_tile *led) {
  for (int i = 0; i < 32; ++i) {
    led->x[i] = raw->x[i];
    led->w[i] = raw->w[i] * __builtin_elementwise_sqrt(v_splat(energy) + raw->x[i] * raw->x[i]);
  }
}

TK_INLINE kq_d add_error(kq_d sum, f32x8 x, f32x8 w, f32x8 decoded) {
  kq_d off = __builtin_convertvector(x, kq_d) - __builtin_convertvector(decoded, kq_d);
  return sum + __builtin_convertvector(w, kq_d) * (off * off);
}

static kq_d decoded_error_symmetric(const tk_tile *raw, f32x8 d, float lowest, float highest) {
  f32x8 inverse = v_inverse(d);
  kq_d error = (kq_d)(0.0);
  for (int i = 0; i < 32; ++i) {
    error = add_error(error, raw->x[i], raw->w[i], d * v_quant(raw->x[i] * inverse, lowest, highest));
  }
  return error;
}

static kq_d decoded_error_affine(const tk_tile *raw, tk_scales s, float highest) {
  f32x8 inverse = v_inverse(s.d);
  kq_d error = (kq_d)(0.0);
  for (int i = 0; i < 32; ++i) {
    f32x8 q = v_quant((raw->x[i] - s.m) * inverse, 0, highest);
    error = add_error(error, raw->x[i], raw->w[i], q * s.d + s.m);
  }
  return error;
}

// The half-precision value nearest to `a`; `instead` where that is infinite or no number.
TK_INLINE f32x8 storable(f32x8 a, f32x8 instead) {
  f32x8 rounded = v_round_f16(a);
  return v_select(v_abs(rounded) <= v_splat(65504), rounded, instead);
}

typedef struct tk_best {
  f32x8 d;
  kq_d error;
} tk_best;

TK_INLINE void take_better(const tk_tile *raw, f32x8 d, float lowest, float highest, tk_best *best) {
  d = storable(d, best->d);
  kq_d error = decoded_error_symmetric(raw, d, lowest, highest);
  i32x8 better = __builtin_convertvector(error < best->error, i32x8);
  best->d = v_select(better, d, best->d);
  best->error = error < best->error ? error : best->error;
}

// Whether some block has an error, and one below a thousandth of its energy.
TK_INLINE int little_is_left(const tk_tile *raw, kq_d error) {
  kq_d energy = (kq_d)(0.0);
  for (int i = 0; i < 32; ++i) energy = add_error(energy, raw->x[i], raw->w[i], v_splat(0));
  return __builtin_reduce_or(__builtin_convertvector((error > 0.0) & (error < 1e-3 * energy), i32x8)) != 0;
}

// The better of `found` and ggml's scales, block by block. An infinite scale stays.
static tk_scales better_symmetric(const tk_tile *raw, float energy, float lowest, float highest, tk_scales found) {
  tk_tile led;
  tk_best best = {found.d, decoded_error_symmetric(raw, found.d, lowest, highest)};
  usual_lead(raw, energy, &led);
  take_better(raw, kq_usual_signed_fit(led.x, led.w, 32, -lowest), lowest, highest, &best);
  if (little_is_left(raw, best.error)) {
    // Many of ggml's tries then fit alike, and the last bits of its sums choose among them: each counts.
    f32x8 peak = kq_first_largest(raw->x, 32);
    for (int k = 0; k < 19; ++k) {
      f32x8 d;
      fit_symmetric(&led, v_splat(lowest - kq_usual_step(k)) * v_inverse(peak), lowest, highest, &d);
      take_better(raw, d, lowest, highest, &best);
    }
  }
  found.d = best.d;
  return found;
}

static tk_scales better_affine(const tk_tile *raw, float energy, float highest, tk_scales found) {
  tk_tile led;
  f32x8 d, least;
  usual_lead(raw, energy, &led);
  kq_usual_affine_fit(led.x, led.w, 32, highest, &d, &least);
  tk_scales usual = {storable(d, found.d), storable(-least, found.m)};
  i32x8 better =
      __builtin_convertvector(decoded_error_affine(raw, usual, highest) < decoded_error_affine(raw, found, highest), i32x8);
  found.d = v_select(better, usual.d, found.d);
  found.m = v_select(better, usual.m, found.m);
  return found;
}

#endif
