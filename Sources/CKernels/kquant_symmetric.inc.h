// The symmetric search (q3_k, q6_k): x = d * scale * q with scale signed and q from -half to half - 1.
// Part of kquant.inc.h, which says how it works.

typedef struct kq_symmetric_plan {
  int n;                 // elements of a sub-block
  float half;            // codes from -half to half - 1
  float steps;           // integer scales from -steps to steps - 1
  const float *inverse;  // inverse scales to try, in codes per largest magnitude; negative mirrors
  int tries;             // how many, even
  int reach;             // integer scales tried either side
  int rounds;            // of search and refit
} kq_symmetric_plan;

// Exact errors of decoded s * q, q the nearest code, for two scales.
KQ_INLINE void kq_symmetric_error2(
    const kq_v *x, const kq_v *w, int n, int weighted, float half, kq_v s0, kq_v s1, kq_v *e0, kq_v *e1) {
  kq_v i0 = kq_inverse(s0), i1 = kq_inverse(s1), error0 = kq_all(0.0f), error1 = error0;
  for (int i = 0; i < n; i++) {
    kq_v q0 = kq_round(kq_clamp(x[i] * i0, -half, half - 1.0f));
    kq_v q1 = kq_round(kq_clamp(x[i] * i1, -half, half - 1.0f));
    kq_v r0 = x[i] - s0 * q0, r1 = x[i] - s1 * q1;
    error0 = error0 + (weighted ? w[i] * r0 : r0) * r0;
    error1 = error1 + (weighted ? w[i] * r1 : r1) * r1;
  }
  *e0 = error0;
  *e1 = error1;
}

// The best fit so far of eight sub-blocks: x ~ scale * q, gain = sum(w x x) - error, sqq = sum(w q q).
typedef struct kq_signed_fit {
  kq_v scale, gain, sqq;
} kq_signed_fit;

// Least squares for the sums of one try; takes it over where it is better. Gains above `all`, sum(w x x) less
// the noise of the sums, count as equal, so that the first of several exact fits stays.
KQ_INLINE void kq_symmetric_take(kq_v sxq, kq_v sqq, kq_v all, kq_signed_fit *fit) {
  kq_v s = sxq / sqq, gain = kq_min(s * sxq, all);
  kq_i better = (sqq > 0.0f) & (gain > fit->gain);
  fit->gain = better ? gain : fit->gain;
  fit->scale = better ? s : fit->scale;
  fit->sqq = better ? sqq : fit->sqq;
}

// Tries q = round(x * inverse) for two inverse scales.
KQ_INLINE void kq_symmetric_try2(
    const kq_v *x, const kq_v *w, int n, int weighted, float half, kq_v i0, kq_v i1, kq_v all,
    kq_signed_fit *fit) {
  kq_v z = kq_all(0.0f), sxq0 = z, sqq0 = z, sxq1 = z, sqq1 = z;
  for (int i = 0; i < n; i++) {
    kq_v q0 = kq_round(kq_clamp(x[i] * i0, -half, half - 1.0f));
    kq_v q1 = kq_round(kq_clamp(x[i] * i1, -half, half - 1.0f));
    kq_v p0 = weighted ? w[i] * q0 : q0, p1 = weighted ? w[i] * q1 : q1;
    sxq0 = sxq0 + p0 * x[i];
    sqq0 = sqq0 + p0 * q0;
    sxq1 = sxq1 + p1 * x[i];
    sqq1 = sqq1 + p1 * q1;
  }
  kq_symmetric_take(sxq0, sqq0, all, fit);
  kq_symmetric_take(sxq1, sqq1, all, fit);
}

// d among 24 candidates near largest / -steps, by the error that rounding to multiples of d adds; of equal
// ones the largest.
KQ_INLINE float kq_choose_signed_step(const float *value, const float *cost, int count, float steps) {
  const kq_v part = {0.0f, 0.0625f, 0.125f, 0.1875f, 0.25f, 0.3125f, 0.375f, 0.4375f};
  float low = 0.0f, high = 0.0f;
  for (int j = 0; j < count; j++) {
    low = value[j] < low ? value[j] : low;
    high = value[j] > high ? value[j] : high;
  }
  const float sign = -low > high ? 1.0f : -1.0f, size = -low > high ? -low : high;
  kq_v least = kq_all(__FLT_MAX__), best = kq_all(0.0f);
  for (int h = 0; h < 3; h++) {
    kq_v t = h == 0 ? steps - 8.0f * part : h == 1 ? steps - 3.5f * part + 0.75f : steps * (1.01f + 0.16f * part);
    kq_v d = kq_half_round(size / t), inverse = kq_inverse(d) * sign, error = kq_all(0.0f), step = d * sign;
    for (int j = 0; j < count; j++) {
      kq_v r = value[j] - step * kq_clamp(kq_round(value[j] * inverse), -steps, steps - 1.0f);
      error = error + cost[j] * (r * r);
    }
    kq_i better = error < least;
    least = better ? error : least;
    best = better ? d : best;
  }
  return sign * kq_largest(least <= kq_all(kq_smallest(least)) ? best : kq_all(0.0f));
}

// Whether all elements have one sign and sizes within a factor of two: nearly all codes are alike then.
KQ_INLINE int kq_symmetric_narrow(const kq_tile *t) {
  kq_v low = t->x[0], high = t->x[0];
  for (int i = 1; i < kq_vectors; i++) {
    low = kq_min(low, t->x[i]);
    high = kq_max(high, t->x[i]);
  }
  float bottom = kq_smallest(low), top = kq_largest(high);
  return (bottom > 0.0f && 2.0f * bottom > top) || (top < 0.0f && 2.0f * top < bottom);
}

// How many sub-blocks of `n` elements have one sign and sizes within a factor of two.
KQ_INLINE int kq_symmetric_narrow_count(const kq_tile *t, int n) {
  int count = 0;
  for (int g = 0; g < kq_vectors / n; g++) {
    kq_v low = t->x[g * n], high = low;
    for (int i = 1; i < n; i++) {
      low = kq_min(low, t->x[g * n + i]);
      high = kq_max(high, t->x[g * n + i]);
    }
    kq_i narrow = ((low > 0.0f) & (2.0f * low > high)) | ((high < 0.0f) & (2.0f * high < low));
    for (int j = 0; j < 8; j++) count -= narrow[j];
  }
  return count;
}

// Integer scales and d from real-valued fits and a first d; returns the error. `mixed` also tries scales a
// third larger, with codes a quarter smaller: together the products of both lie closer to each other.
KQ_INLINE float kq_symmetric_settle(
    const kq_tile *t, const kq_symmetric_plan plan, int weighted, const kq_v *fit, float d, int mixed,
    kq_result *out) {
  const int n = plan.n, groups = kq_vectors / n;
  const float half = plan.half, steps = plan.steps, inverse = d != 0.0f ? 1.0f / d : 0.0f;
  kq_v sc[2];
  float total = 0.0f;
  for (int g = 0; g < groups; g++) sc[g] = kq_round(fit[g] * inverse);
  for (int round = 0; round < plan.rounds; round++) {
    // 3. Exact search over neighbouring integers.
    total = 0.0f;
    for (int g = 0; g < groups; g++) {
      const kq_v *v = t->x + g * n, *w = t->w + g * n;
      kq_v best = kq_all(__FLT_MAX__), chosen = kq_all(0.0f), e0, e1;
      for (int way = 0; way <= (mixed && round == 0); way++) {
        kq_v first = way == 0 ? sc[g] : kq_round(fit[g] * inverse * (4.0f / 3.0f));
        for (int k = 0; k <= plan.reach; k++) {
          kq_v c0 = kq_clamp(first - (float)k, -steps, steps - 1.0f);
          kq_v c1 = kq_clamp(first + (float)(k + 1), -steps, steps - 1.0f);
          kq_symmetric_error2(v, w, n, weighted, half, c0 * d, c1 * d, &e0, &e1);
          kq_i better = e0 < best;
          best = better ? e0 : best;
          chosen = better ? c0 : chosen;
          better = e1 < best;
          best = better ? e1 : best;
          chosen = better ? c1 : chosen;
        }
      }
      sc[g] = chosen;
      total += kq_sum(best);
    }

    // 4. Least squares for d.
    float sxu = 0.0f, suu = 0.0f;
    for (int g = 0; g < groups; g++) {
      const kq_v *v = t->x + g * n, *w = t->w + g * n;
      kq_v i0 = kq_inverse(sc[g] * d), sxq = kq_all(0.0f), sqq = sxq;
      for (int i = 0; i < n; i++) {
        kq_v q = kq_round(kq_clamp(v[i] * i0, -half, half - 1.0f)), p = weighted ? w[i] * q : q;
        sxq = sxq + p * v[i];
        sqq = sqq + p * q;
      }
      sxu += kq_sum(sc[g] * sxq);
      suu += kq_sum(sc[g] * sc[g] * sqq);
    }
    float refit = suu > 0.0f ? sxu / suu : d;
    float d1 = kq_half_round(kq_all(refit < 0.0f ? -refit : refit))[0];
    d1 = refit < 0.0f ? -d1 : d1;
    if (d1 == d || d1 == 0.0f) break;
    float error = 0.0f;
    for (int g = 0; g < groups; g++) {
      kq_v e0, e1;
      kq_symmetric_error2(
          t->x + g * n, t->w + g * n, n, weighted, half, sc[g] * d1, sc[g] * d1, &e0, &e1);
      error += kq_sum(e0);
    }
    if (!(error < total)) break;
    d = d1;
    total = error;
  }
  out->d = d;
  for (int g = 0; g < groups; g++) kq_store(out->scale + 8 * g, sc[g]);
  return total;
}

#include "kquant_symmetric_fixed.inc.h"

// Searches one super-block. `x` and `importance` (may be NULL when not weighted) in natural order. Returns whether
// ggml's scales are to be compared too: with importance, or where data are far from what weights are. They cost several
// times the search.
KQ_INLINE int kq_symmetric(
    const float *x, const float *importance, const kq_symmetric_plan plan, int weighted, kq_result *out) {
  const int n = plan.n, groups = kq_vectors / n, count = 8 * groups;
  const float half = plan.half, steps = plan.steps;
  kq_tile t;
  memset(out, 0, sizeof *out);
  if (kq_fill(&t, x, importance, n, weighted) == 0.0f) return weighted;

  // 1. Real-valued fits. Sub-blocks of one sign and size use few neighbouring codes: they get more tries.
  const int smooth = half == 32.0f && kq_symmetric_narrow_count(&t, n) * 2 >= count;
  const int narrow = half == 4.0f && kq_symmetric_narrow(&t);
  if (!weighted && !smooth && !narrow && kq_symmetric_fixed(&t, plan, out)) return 0;
  kq_v fit[2];
  float scale[16], cost[16];
  for (int g = 0; g < groups; g++) {
    const kq_v *v = t.x + g * n, *w = t.w + g * n;
    kq_v z = kq_all(0.0f), low = z, high = z, all = z;
    for (int i = 0; i < n; i++) {
      low = kq_min(low, v[i]);
      high = kq_max(high, v[i]);
      all = all + (weighted ? w[i] * v[i] : v[i]) * v[i];
    }
    all = all * (1.0f - 1e-6f);
    kq_v unit = kq_inverse(-low > high ? low : high);  // signed: the largest magnitude
    kq_signed_fit best = {z, z, z};
    if (weighted && t.partial) {
      // The grid of a tensor that was quantized before shows in its whole range.
      kq_v whole = kq_inverse(-t.low[g] > t.high[g] ? t.low[g] : t.high[g]);
      kq_symmetric_try2(v, w, n, weighted, half, -half * whole, (1.0f - half) * whole, all, &best);
    }
    for (int k = 0; k < plan.tries; k += 2) {
      kq_symmetric_try2(
          v, w, n, weighted, half, -plan.inverse[k] * unit, -plan.inverse[k + 1] * unit, all, &best);
    }
    for (int k = 0; smooth && k < 32; k += 2) {
      float i0 = 18.0f + 0.5f * (float)k;
      kq_symmetric_try2(v, w, n, weighted, half, -i0 * unit, -(i0 + 0.5f) * unit, all, &best);
    }
    fit[g] = best.scale;
    kq_store(scale + 8 * g, best.scale);
    kq_store(cost + 8 * g, best.sqq);
  }

  // 2. Super-block scale.
  float d = kq_choose_signed_step(scale, cost, count, steps);

  float error = kq_symmetric_settle(&t, plan, weighted, fit, d, 0, out);
  if (smooth) {
    kq_symmetric_plan wide = plan;
    wide.reach = 6;
    for (int k = 0; k < 8; k++) {
      kq_result other;
      float size = kq_half_round(kq_all((d < 0.0f ? -d : d) * (1.0f + 0.09f * (float)k)))[0];
      memset(&other, 0, sizeof other);
      float now = kq_symmetric_settle(&t, wide, weighted, fit, d < 0.0f ? -size : size, 0, &other);
      if (now < error) {
        error = now;
        *out = other;
      }
    }
  }
  if (narrow) {
    for (int k = 0; k < 4; k++) {
      kq_result other;
      float size = kq_half_round(kq_all((d < 0.0f ? -d : d) * (1.2f + 0.07f * (float)k)))[0];
      memset(&other, 0, sizeof other);
      float now = kq_symmetric_settle(&t, plan, weighted, fit, d < 0.0f ? -size : size, 1, &other);
      if (now < error) {
        error = now;
        *out = other;
      }
    }
  }
  return weighted || smooth || narrow;
}

// Codes of sub-block j after a search, from 0 (x = -half) to 2 * half - 1.
KQ_INLINE void kq_symmetric_codes(const float *x, int j, int n, float half, const kq_result *r, uint8_t *q) {
  float s = r->d * r->scale[j];
  kq_codes(x + j * n, n, 0.0f, s != 0.0f ? 1.0f / s : 0.0f, -half, half - 1.0f, q);
}
