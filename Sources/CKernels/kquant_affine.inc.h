// The affine search (q2_k, q4_k, q5_k): x = d * scale * q - dmin * min with scale, min >= 0 and q >= 0.
// Part of kquant.inc.h, which says how it works.

// Fit of eight sub-blocks: x - low ~ s * q + b, from weighted sums over q.
typedef struct kq_fit {
  kq_v s, b, error;
  kq_v sq, sqq;  // sum(w q), sum(w q q)
} kq_fit;

// What does not change during the search, per eight sub-blocks; y = x - low >= 0.
typedef struct kq_base {
  kq_v low, range, sw, sy, syy;  // smallest element (at most 0), largest - low, sum(w), sum(w y), sum(w y y)
  kq_v size;                     // of the sums of a try that is not shifted: their noise is 2e-6 of it
} kq_base;

// Subtracts `low` in place and sums.
KQ_INLINE void kq_affine_base(kq_v *y, const kq_v *w, int n, int weighted, kq_base *base) {
  kq_v low = kq_all(0.0f), high = y[0];
  for (int i = 0; i < n; i++) {
    low = kq_min(low, y[i]);
    high = kq_max(high, y[i]);
  }
  kq_v sw = kq_all(0.0f), sy = sw, syy = sw;
  for (int i = 0; i < n; i++) {
    y[i] = y[i] - low;
    kq_v wy = weighted ? w[i] * y[i] : y[i];
    if (weighted) sw = sw + w[i];
    sy = sy + wy;
    syy = syy + wy * y[i];
  }
  *base = (kq_base){low, high - low, weighted ? sw : kq_all((float)n), sy, syy, syy};
}

// Least squares for the sums of one try, with the constraint low + b <= 0; takes it over where it is better.
// Errors below the noise of the sums count as equal, so that the first of several exact fits stays. Sums of
// the residual u - q (u = y * inverse - shift) instead of y keep the fit of data that lie on the tried grid
// exact, however uneven the weights. Where all q are alike b stays 0.
KQ_INLINE void kq_affine_solve(
    const kq_base *a, kq_v inverse, kq_v shift, kq_v sqq, kq_v srq, kq_v sr, kq_fit *fit) {
  kq_v unit = kq_inverse(inverse);
  kq_v su = a->sy * inverse - shift * a->sw, sq = su - sr;
  kq_v suu = inverse * (inverse * a->syy - shift * a->sy) - shift * su;
  kq_v determinant = a->sw * sqq - sq * sq;
  kq_v over = 1.0f / determinant;
  kq_v slope = (a->sw * srq - sr * sq) * over, offset = (sqq * sr - sq * srq) * over;
  kq_i alike = determinant <= 1e-6f * a->sw * sqq;
  kq_v bound = -a->low * inverse - shift;
  offset = alike ? -shift : offset;
  kq_i bounded = offset > bound;
  offset = bounded ? bound : offset;
  slope = (alike | bounded) ? (srq - offset * sq) / sqq : slope;
  kq_v error = suu - 2.0f * srq - sqq + slope * (slope * sqq - 2.0f * srq);
  error = (error + offset * (offset * a->sw - 2.0f * (sr - slope * sq))) * (unit * unit);
  error = kq_max(error, 2e-6f * (a->size + a->sw * (shift * unit) * (shift * unit)));
  kq_i better = (sqq > 0.0f) & (slope >= -1.0f) & (error < fit->error);
  fit->s = better ? unit + slope * unit : fit->s;
  fit->b = better ? (offset + shift) * unit : fit->b;
  fit->error = better ? error : fit->error;
  fit->sq = better ? sq : fit->sq;
  fit->sqq = better ? sqq : fit->sqq;
}

// Tries q = round(u), u = y * inverse - shift, for two pairs (inverse, shift).
KQ_INLINE void kq_affine_try2(
    const kq_v *y, const kq_v *w, int n, int weighted, float top, const kq_base *a, kq_v inverse0,
    kq_v shift0, kq_v inverse1, kq_v shift1, kq_fit *fit) {
  kq_v z = kq_all(0.0f), sqq0 = z, srq0 = z, sr0 = z, sqq1 = z, srq1 = z, sr1 = z;
  for (int i = 0; i < n; i++) {
    kq_v u0 = y[i] * inverse0 - shift0, u1 = y[i] * inverse1 - shift1;
    kq_v q0 = kq_round(kq_clamp(u0, 0.0f, top)), q1 = kq_round(kq_clamp(u1, 0.0f, top));
    kq_v r0 = u0 - q0, r1 = u1 - q1;
    if (weighted) {
      r0 = w[i] * r0;
      r1 = w[i] * r1;
    }
    sr0 = sr0 + r0;
    srq0 = srq0 + r0 * q0;
    sqq0 = sqq0 + (weighted ? w[i] * q0 : q0) * q0;
    sr1 = sr1 + r1;
    srq1 = srq1 + r1 * q1;
    sqq1 = sqq1 + (weighted ? w[i] * q1 : q1) * q1;
  }
  kq_affine_solve(a, inverse0, shift0, sqq0, srq0, sr0, fit);
  kq_affine_solve(a, inverse1, shift1, sqq1, srq1, sr1, fit);
}

// Exact error of decoded s * q - m, q the nearest code.
KQ_INLINE kq_v kq_affine_error(
    const kq_v *y, const kq_v *w, int n, int weighted, float top, const kq_base *a, kq_v s, kq_v m) {
  kq_v inverse = kq_inverse(s), offset = a->low + m, error = kq_all(0.0f);
  for (int i = 0; i < n; i++) {
    kq_v u = y[i] + offset;
    kq_v q = kq_round(kq_clamp(u * inverse, 0.0f, top));
    kq_v e = u - s * q;
    error = error + (weighted ? w[i] * e : e) * e;
  }
  return error;
}

// Two such errors at once.
KQ_INLINE void kq_affine_error2(
    const kq_v *y, const kq_v *w, int n, int weighted, float top, const kq_base *a, kq_v s, kq_v inverse,
    kq_v m0, kq_v m1, kq_v *e0, kq_v *e1) {
  kq_v o0 = a->low + m0, o1 = a->low + m1, error0 = kq_all(0.0f), error1 = error0;
  for (int i = 0; i < n; i++) {
    kq_v u0 = y[i] + o0, u1 = y[i] + o1;
    kq_v q0 = kq_round(kq_clamp(u0 * inverse, 0.0f, top)), q1 = kq_round(kq_clamp(u1 * inverse, 0.0f, top));
    kq_v r0 = u0 - s * q0, r1 = u1 - s * q1;
    error0 = error0 + (weighted ? w[i] * r0 : r0) * r0;
    error1 = error1 + (weighted ? w[i] * r1 : r1) * r1;
  }
  *e0 = error0;
  *e1 = error1;
}

// The fits of all sub-blocks, as the choice of the super-block scales sees them: decoded s * q - m, with the
// second derivatives of the error (halved).
typedef struct kq_fits {
  float s[16], m[16], sqq[16], sq[16], sw[16], ratio[16];  // ratio: sq / sw
  int count;
} kq_fits;

// 16 candidates for a super-block scale from the largest scale: eight divisors up to `steps`, then eight around it.
KQ_INLINE kq_wide_v kq_candidates(float most, float steps) {
  const kq_v k = {0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f, 7.0f};
  return kq_two(kq_half_round(most / (steps - 0.5f * k)), kq_half_round(most / (steps + 0.75f - 0.21875f * k)));
}

// The candidate with the least error; of equal ones the largest.
KQ_INLINE float kq_least(kq_wide_v d, kq_wide_v error) {
  kq_i second = error.hi < error.lo;
  kq_v smaller = second ? error.hi : error.lo, best = second ? d.hi : d.lo;
  return kq_largest(smaller <= kq_all(kq_smallest(smaller)) ? best : kq_all(0.0f));
}

// dmin among the candidates, for the given mins.
KQ_INLINE float kq_choose_min(const kq_fits *f, const float *m, float steps) {
  kq_v most = kq_load(m);
  if (f->count > 8) most = kq_max(most, kq_load(m + 8));
  kq_wide_v d = kq_candidates(kq_largest(kq_max(most, kq_all(0.0f))), steps), error = kq_wide_all(0.0f);
  kq_wide_v inverse = kq_two(kq_inverse(d.lo), kq_inverse(d.hi));
  for (int j = 0; j < f->count; j++) {
    kq_wide_v r = m[j] - d * kq_wide_min(kq_wide_round(m[j] * inverse), kq_wide_all(steps));
    error = error + f->sw[j] * (r * r);
  }
  return kq_least(d, error);
}

// d among the candidates, each with the mins it makes best on the grid of dmin.
KQ_INLINE float kq_choose_scale(const kq_fits *f, float dmin, float steps) {
  const float minverse = dmin > 0.0f ? 1.0f / dmin : 0.0f;
  kq_v most = kq_load(f->s);
  if (f->count > 8) most = kq_max(most, kq_load(f->s + 8));
  kq_wide_v d = kq_candidates(kq_largest(kq_max(most, kq_all(0.0f))), steps), error = kq_wide_all(0.0f);
  kq_wide_v inverse = kq_two(kq_inverse(d.lo), kq_inverse(d.hi)), top = kq_wide_all(steps);
  for (int j = 0; j < f->count; j++) {
    kq_wide_v r = d * kq_wide_min(kq_wide_round(f->s[j] * inverse), top) - f->s[j];
    kq_wide_v m = kq_wide_round((f->m[j] + r * f->ratio[j]) * minverse);
    kq_wide_v e = dmin * kq_wide_max(kq_wide_min(m, top), kq_wide_all(0.0f)) - f->m[j];
    error = error + (r * (r * f->sqq[j] - 2.0f * f->sq[j] * e) + e * e * f->sw[j]);
  }
  return kq_least(d, error);
}

// Super-block scales, and the integer scale nearest to each fit: a first dmin for the mins, then d, then dmin
// for the rounded scales.
KQ_INLINE void kq_affine_scales(const kq_fits *fits, float steps, float *d, float *dmin, kq_v *scales) {
  *d = kq_choose_scale(fits, kq_choose_min(fits, fits->m, steps), steps);
  float inverse = *d > 0.0f ? 1.0f / *d : 0.0f, moved[16];
  for (int g = 0; g < fits->count / 8; g++) {
    kq_v s = kq_load(fits->s + 8 * g);
    scales[g] = kq_min(kq_round(s * inverse), kq_all(steps));
    kq_v m = kq_load(fits->m + 8 * g) + (scales[g] * *d - s) * kq_load(fits->ratio + 8 * g);
    kq_store(moved + 8 * g, kq_max(m, kq_all(0.0f)));
  }
  *dmin = kq_choose_min(fits, moved, steps);
}

typedef struct kq_affine_plan {
  int n;                 // elements of a sub-block
  float top;             // largest code
  float steps;           // largest integer scale and min
  const float (*tries)[2];  // inverse scales to try in codes per range, each with the codes cut off below
  int count;             // how many, even
  int refits;            // further fits from the best one
  int reach;             // integer scales tried either side
  int rounds;            // of search and refit
} kq_affine_plan;

#include "kquant_affine_fixed.inc.h"

// Integer offsets a constant super-block -c: the divisor whose f16 quotient decodes nearest to c.
KQ_INLINE void kq_affine_constant(float c, float steps, kq_result *out) {
  float best = c, d = 0.0f, m = 0.0f;
  for (float t = steps; t >= 1.0f; t -= 1.0f) {
    float h = kq_half_round(kq_all(c / t))[0], e = c - h * t;
    e = e < 0.0f ? -e : e;
    if (e < best) {
      best = e;
      d = h;
      m = t;
    }
  }
  out->dmin = d;
  for (int j = 0; j < 16; j++) out->min[j] = m;
}

// The super-block scale for the largest of `values`: the one of the divisors from half of `steps` up whose half-precision
// quotient gives it back best.
KQ_INLINE float kq_divided(const float *values, int count, float steps) {
  float most = 0.0f;
  for (int j = 0; j < count; j++) most = values[j] > most ? values[j] : most;
  float best = most, d = 0.0f;
  for (float t = steps; t >= 0.5f * steps; t -= 1.0f) {
    float h = kq_half_round(kq_all(most / t))[0], e = most - h * t;
    e = e < 0.0f ? -e : e;
    if (e < best) {
      best = e;
      d = h;
    }
  }
  return d;
}

// The integer scales and mins with the least error for d and dmin: scales up to `plan.reach` from those given, each with
// the mins beside the fit's. Returns the error.
KQ_INLINE float kq_affine_integers(
    const kq_tile *t, const kq_base *base, const kq_fit *fit, const kq_affine_plan plan, int weighted,
    float d, float dmin, kq_v *sc, kq_v *mn) {
  const int n = plan.n, groups = kq_vectors / n;
  const float top = plan.top, steps = plan.steps;
  float total = 0.0f, minverse = dmin > 0.0f ? 1.0f / dmin : 0.0f;
  for (int g = 0; g < groups; g++) {
    const kq_v *y = t->x + g * n, *w = t->w + g * n;
    const kq_base *a = &base[g];
    kq_v first = sc[g], z = kq_all(0.0f), ratio = fit[g].sq / a->sw;
    kq_v m0 = -(a->low + fit[g].b), best = kq_all(__FLT_MAX__), bests = z, bestm = z;
    for (int k = -plan.reach; k <= plan.reach; k++) {
      kq_v c = kq_clamp(first + (float)k, 0.0f, steps), s = c * d, inverse = kq_inverse(s);
      kq_v m = (m0 + (s - fit[g].s) * ratio) * minverse;
      kq_v below = kq_clamp(kq_round(m - 0.5f), 0.0f, steps);
      kq_v above = kq_clamp(below + 1.0f, 0.0f, steps);
      kq_v e0, e1;
      kq_affine_error2(y, w, n, weighted, top, a, s, inverse, below * dmin, above * dmin, &e0, &e1);
      kq_v lower = e0 <= e1 ? below : above, e = kq_min(e0, e1);
      kq_i better = e < best;
      best = better ? e : best;
      bests = better ? c : bests;
      bestm = better ? lower : bestm;
    }
    sc[g] = bests;
    mn[g] = bestm;
    total += kq_sum(best);
  }
  return total;
}

// Searches one super-block. `x` and `importance` (may be NULL when not weighted) in natural order.
KQ_INLINE void kq_affine(
    const float *x, const float *importance, const kq_affine_plan plan, int weighted, kq_result *out) {
  const int n = plan.n, groups = kq_vectors / n, count = 8 * groups;
  const float top = plan.top, steps = plan.steps;
  kq_tile t;
  memset(out, 0, sizeof *out);
  if (kq_fill(&t, x, importance, n, weighted) == 0.0f) return;

  // All above zero: encode -x and negate both super-block scales.
  kq_v lowest = t.x[0], highest = t.x[0];
  for (int i = 1; i < kq_vectors; i++) {
    lowest = kq_min(lowest, t.x[i]);
    highest = kq_max(highest, t.x[i]);
  }
  float sign = 1.0f, bottom = kq_smallest(lowest), ceiling = kq_largest(highest);
  if (bottom > 0.0f) {
    for (int i = 0; i < kq_vectors; i++) t.x[i] = -t.x[i];
    for (int g = 0; g < groups; g++) {
      kq_v low = -t.high[g];
      t.high[g] = -t.low[g];
      t.low[g] = low;
    }
    sign = -1.0f;
    float swap = bottom;
    bottom = -ceiling;
    ceiling = -swap;
  }
  if (bottom == ceiling) {
    kq_affine_constant(-bottom, steps, out);
    out->dmin *= sign;
    return;
  }

  kq_base base[2];
  for (int g = 0; g < groups; g++) kq_affine_base(t.x + g * n, t.w + g * n, n, weighted, &base[g]);
  if (!weighted && kq_affine_fixed(&t, base, plan, out)) {
    out->d *= sign;
    out->dmin *= sign;
    return;
  }

  // 1. Real-valued fits.
  kq_fit fit[2];
  kq_fits fits;
  fits.count = count;
  for (int g = 0; g < groups; g++) {
    kq_v *y = t.x + g * n;
    const kq_v *w = t.w + g * n;
    const kq_base *a = &base[g];
    kq_v unit = kq_inverse(a->range), z = kq_all(0.0f);
    // A constant sub-block is all offset.
    fit[g] = (kq_fit){z, z, a->range > 0.0f ? kq_all(__FLT_MAX__) : z, z, z};
    if (weighted && t.partial) {
      // The grid of a tensor that was quantized before shows in its whole range.
      kq_v low = kq_min(t.low[g], z), whole = kq_inverse(kq_max(t.high[g], z) - low);
      kq_v i0 = top * whole, i1 = (top - 1.0f) * whole, shift = low - a->low;
      kq_affine_try2(y, w, n, weighted, top, a, i0, shift * i0, i1, shift * i1, &fit[g]);
      base[g].size = a->syy + a->sw * (shift * shift);
    }
    for (int k = 0; k < plan.count; k += 2) {
      const float *p = plan.tries[k];
      kq_affine_try2(
          y, w, n, weighted, top, a, p[0] * unit, kq_all(p[1]), p[2] * unit, kq_all(p[3]), &fit[g]);
    }
    for (int k = 0; k < plan.refits; k++) {
      kq_v i0 = kq_inverse(fit[g].s), i1 = i0 * 0.98f, b = fit[g].b;
      kq_affine_try2(y, w, n, weighted, top, a, i0, b * i0, i1, b * i1, &fit[g]);
    }
    kq_store(fits.s + 8 * g, fit[g].s);
    kq_store(fits.m + 8 * g, -(a->low + fit[g].b));
    kq_store(fits.sq + 8 * g, fit[g].sq);
    kq_store(fits.sqq + 8 * g, fit[g].sqq);
    kq_store(fits.sw + 8 * g, a->sw);
    kq_store(fits.ratio + 8 * g, fit[g].sq / a->sw);
  }

  // 2. Super-block scales.
  float d, dmin;
  kq_v sc[2], mn[2];
  kq_affine_scales(&fits, steps, &d, &dmin, sc);

  float least = 0.0f;
  for (int round = 0; round < plan.rounds; round++) {
    // 3. Exact search over neighbouring integers.
    float total = kq_affine_integers(&t, base, fit, plan, weighted, d, dmin, sc, mn);
    least = total;

    // 4. Least squares for d and dmin together.
    float suu = 0.0f, suv = 0.0f, svv = 0.0f, sxu = 0.0f, sxv = 0.0f;
    for (int g = 0; g < groups; g++) {
      const kq_v *y = t.x + g * n, *w = t.w + g * n;
      const kq_base *a = &base[g];
      kq_v s = sc[g] * d, inverse = kq_inverse(s), offset = a->low + mn[g] * dmin, z = kq_all(0.0f);
      kq_v sq = z, sqq = z, syq = z;
      for (int i = 0; i < n; i++) {
        kq_v q = kq_round(kq_clamp((y[i] + offset) * inverse, 0.0f, top));
        kq_v p = weighted ? w[i] * q : q;
        sq = sq + p;
        sqq = sqq + p * q;
        syq = syq + p * y[i];
      }
      suu += kq_sum(sc[g] * sc[g] * sqq);
      suv += kq_sum(sc[g] * mn[g] * sq);
      svv += kq_sum(mn[g] * mn[g] * a->sw);
      sxu += kq_sum(sc[g] * (syq + a->low * sq));
      sxv += kq_sum(mn[g] * (a->sy + a->low * a->sw));
    }
    float determinant = suu * svv - suv * suv;
    float d1 = d, dmin1 = dmin;
    if (determinant > 1e-6f * suu * svv) {
      d1 = (sxu * svv - suv * sxv) / determinant;
      dmin1 = (sxu * suv - suu * sxv) / determinant;
    } else if (suu > 0.0f && svv == 0.0f) {
      d1 = sxu / suu;
    }
    kq_v rounded = kq_half_round((kq_v){d1, dmin1, 0, 0, 0, 0, 0, 0});
    d1 = rounded[0];
    dmin1 = rounded[1];
    if (d1 == 0.0f || (d1 == d && dmin1 == dmin)) break;
    float error = 0.0f;
    for (int g = 0; g < groups; g++) {
      error += kq_sum(kq_affine_error(
          t.x + g * n, t.w + g * n, n, weighted, top, &base[g], sc[g] * d1, mn[g] * dmin1));
    }
    if (!(error < total)) break;
    least = error;
    d = d1;
    dmin = dmin1;
  }

  // 5. Few distinct values: what is left is the rounding of d and dmin, and other divisors round otherwise.
  float spread = 0.0f;
  for (int g = 0; g < groups; g++) spread += kq_sum(base[g].syy);
  if (weighted && least < 1e-5f * spread) {
    float d1 = kq_divided(fits.s, count, steps), dmin1 = kq_divided(fits.m, count, steps);
    for (int k = 1; k < 4; k++) {
      float d2 = k & 1 ? d1 : d, dmin2 = k & 2 ? dmin1 : dmin, inverse = d2 > 0.0f ? 1.0f / d2 : 0.0f;
      kq_v sc2[2], mn2[2];
      for (int g = 0; g < groups; g++) {
        sc2[g] = kq_min(kq_round(kq_load(fits.s + 8 * g) * inverse), kq_all(steps));
      }
      float error = kq_affine_integers(&t, base, fit, plan, weighted, d2, dmin2, sc2, mn2);
      if (!(error < least)) continue;
      least = error;
      d = d2;
      dmin = dmin2;
      for (int g = 0; g < groups; g++) {
        sc[g] = sc2[g];
        mn[g] = mn2[g];
      }
    }
    // Two to four values evenly apart, the lowest on code 0, in every sub-block.
    for (int k = 1; k < 4; k++) {
      float s1 = (ceiling - bottom) / (float)k, m1 = -bottom;
      float d2 = kq_divided(&s1, 1, steps), dmin2 = kq_divided(&m1, 1, steps), error = 0.0f;
      kq_v one = kq_round(kq_all(d2 > 0.0f ? s1 / d2 : 0.0f)), low = kq_round(kq_all(dmin2 > 0.0f ? m1 / dmin2 : 0.0f));
      for (int g = 0; g < groups; g++) {
        error += kq_sum(kq_affine_error(
            t.x + g * n, t.w + g * n, n, weighted, top, &base[g], one * d2, low * dmin2));
      }
      if (!(error < least)) continue;
      least = error;
      d = d2;
      dmin = dmin2;
      for (int g = 0; g < groups; g++) {
        sc[g] = one;
        mn[g] = low;
      }
    }
  }
  out->d = sign * d;
  out->dmin = sign * dmin;
  for (int g = 0; g < groups; g++) {
    kq_store(out->scale + 8 * g, sc[g]);
    kq_store(out->min + 8 * g, mn[g]);
  }
}

// Codes of sub-block j after a search.
KQ_INLINE void kq_affine_codes(const float *x, int j, int n, float top, const kq_result *r, uint8_t *q) {
  float s = r->d * r->scale[j], m = r->dmin * r->min[j];
  if (s == 0.0f) {
    memset(q, 0, (size_t)n);
    return;
  }
  kq_codes(x + j * n, n, m, 1.0f / s, 0.0f, top, q);
}

// The 12 bytes of eight 6-bit scales and mins (q4_k, q5_k).
KQ_INLINE void kq_put_scales(const kq_result *r, uint8_t *out) {
  for (int j = 0; j < 4; j++) {
    int s0 = (int)r->scale[j], s1 = (int)r->scale[j + 4], m0 = (int)r->min[j], m1 = (int)r->min[j + 4];
    out[j] = (uint8_t)(s0 | (s1 >> 4) << 6);
    out[j + 4] = (uint8_t)(m0 | (m1 >> 4) << 6);
    out[j + 8] = (uint8_t)((s1 & 15) | (m1 & 15) << 4);
  }
}

KQ_INLINE void kq_get_scales(const uint8_t *in, int *scale, int *min) {
  for (int j = 0; j < 4; j++) {
    scale[j] = in[j] & 63;
    min[j] = in[j + 4] & 63;
    scale[j + 4] = (in[j + 8] & 15) | (in[j] >> 6) << 4;
    min[j + 4] = (in[j + 8] >> 4) | (in[j + 4] >> 6) << 4;
  }
}
