// The plain affine search in 16-bit integers. Part of kquant.inc.h, which says how it works.

// What does not change during the search of eight sub-blocks: lengths are in units of range / 32767.
typedef struct kq_fixed_base {
  kq_v unit;        // 32767 / range
  kq_v bound;       // largest offset: a min is not below zero
  kq_v sy, spread;  // sum(Y), n * sum(Y Y) - sum(Y)^2
  kq_i isy;         // the same sum(Y)
} kq_fixed_base;

// The best try so far: gain = spread - n * error, and its sums.
typedef struct kq_fixed_fit {
  kq_v gain, s, b;
  kq_sums sums;
} kq_fixed_fit;

// Least squares Y ~ s * q + b with b <= bound for the sums of one try; takes it over where it is better by
// more than the noise of the floats, so that the first of several equal fits stays.
KQ_INLINE void kq_fixed_solve(
    const kq_fixed_base *a, int n, int bounded, const kq_sums *sums, kq_fixed_fit *fit) {
  kq_i covariance = n * sums->yq - sums->q * a->isy, variance = n * sums->qq - sums->q * sums->q;
  kq_v c = kq_float(covariance), s = c / kq_float(variance), gain = s * c, sq = kq_float(sums->q);
  kq_v b = (a->sy - s * sq) * (1.0f / (float)n);
  kq_i usable = c > 0.0f;
  if (bounded) {
    // On the bound: Y - bound ~ s * q through the origin.
    kq_v syq = kq_float(sums->yq) - a->bound * sq, t = syq / kq_float(sums->qq);
    kq_v mean = a->sy - (float)n * a->bound;
    kq_v other = (float)n * (t * syq) - mean * mean;
    kq_i over = ~(b <= a->bound);  // also where all codes are alike
    s = over ? t : s;
    b = over ? a->bound : b;
    gain = over ? other : gain;
    usable = over ? sums->qq > 0 : usable;
  }
  kq_i better = usable & (gain > fit->gain * (1.0f + 0x1p-21f));
  fit->gain = better ? gain : fit->gain;
  fit->s = better ? s : fit->s;
  fit->b = better ? b : fit->b;
  fit->sums.q = better ? sums->q : fit->sums.q;
  fit->sums.qq = better ? sums->qq : fit->sums.qq;
  fit->sums.yq = better ? sums->yq : fit->sums.yq;
}

// Searches a super-block whose sub-blocks have their `base`; `t` holds y = x - low. Returns 0, and leaves
// `out` alone, where floats must decide: constant sub-blocks, and data that lie (almost) on a grid of codes,
// whose error is too small for 15 bits.
KQ_INLINE int kq_affine_fixed(const kq_tile *t, const kq_base *base, const kq_affine_plan plan, kq_result *out) {
  const int n = plan.n, groups = kq_vectors / n;
  const float top = plan.top, steps = plan.steps, count = (float)n;
  kq_h tile[kq_pairs];
  kq_fixed_base fixed[2];
  kq_fixed_fit fit[2];
  kq_fits fits;
  fits.count = 8 * groups;
  const kq_v z = kq_all(0.0f);
  const kq_i none = (kq_i)z;

  // 1. Fits.
  for (int g = 0; g < groups; g++) {
    const kq_base *a = &base[g];
    if (kq_smallest(a->range) < 0x1p-90f) return 0;
    kq_fixed_base *f = &fixed[g];
    kq_h *y = tile + g * n / 2;
    kq_fixed_fit best = {z, z, z, {none, none, none}};
    f->unit = (float)kq_fixed_one / a->range;
    kq_fixed_fill(t->x + g * n, n, f->unit, y);
    f->isy = none;
    for (int i = 0; i < n / 2; i++) f->isy = kq_pair_sum(f->isy, y[i], (kq_h)(1));
    f->sy = kq_float(f->isy);
    f->bound = -a->low * f->unit;
    f->spread = (count * a->syy - a->sy * a->sy) * (f->unit * f->unit);
    if (kq_smallest(100.0f * f->spread - f->sy * f->sy) < 0.0f) return 0;
    const int bounded = kq_smallest(f->bound) < 0.25f * (float)kq_fixed_one;
    for (int k = 0; k < plan.count; k += 2) {
      const float *p = plan.tries[k];
      kq_sums r0, r1;
      kq_affine_sums2(
          y, n, top, kq_unsigned_code(kq_all(p[0]), kq_all(-p[1])),
          kq_unsigned_code(kq_all(p[2]), kq_all(-p[3])), &r0, &r1);
      kq_fixed_solve(f, n, bounded, &r0, &best);
      kq_fixed_solve(f, n, bounded, &r1, &best);
    }
    if (kq_smallest(f->spread * (1.0f - 1e-4f) - best.gain) < 0.0f) return 0;
    for (int k = 0; k < plan.refits; k++) {
      kq_v i0 = 1.0f / best.s, shift = -best.b * i0;
      kq_sums r0, r1;
      i0 = i0 * (float)kq_fixed_one;
      kq_affine_sums2(
          y, n, top, kq_unsigned_code(i0, shift), kq_unsigned_code(i0 * 0.98f, shift * 0.98f), &r0, &r1);
      kq_fixed_solve(f, n, bounded, &r0, &best);
      kq_fixed_solve(f, n, bounded, &r1, &best);
    }
    fit[g] = best;
    kq_v length = a->range * (1.0f / (float)kq_fixed_one), sq = kq_float(best.sums.q);
    kq_store(fits.s + 8 * g, best.s * length);
    kq_store(fits.m + 8 * g, -(a->low + best.b * length));
    kq_store(fits.sq + 8 * g, sq);
    kq_store(fits.sqq + 8 * g, kq_float(best.sums.qq));
    kq_store(fits.sw + 8 * g, kq_all(count));
    kq_store(fits.ratio + 8 * g, sq * (1.0f / count));
  }

  // 2. Super-block scales.
  float d, dmin;
  kq_v first[2];
  kq_affine_scales(&fits, steps, &d, &dmin, first);
  if (d > 60000.0f || dmin > 60000.0f) return 0;

  // 3. Search over neighbouring integers, with the sums for the refit.
  float suu = 0.0f, suv = 0.0f, svv = 0.0f, sxu = 0.0f, sxv = 0.0f;
  const float minverse = dmin > 0.0f ? 1.0f / dmin : 0.0f;
  for (int g = 0; g < groups; g++) {
    const kq_base *a = &base[g];
    const kq_fixed_base *f = &fixed[g];
    const kq_h *y = tile + g * n / 2;
    kq_v s0 = kq_load(fits.s + 8 * g), m0 = kq_load(fits.m + 8 * g), ratio = kq_load(fits.ratio + 8 * g);
    kq_v best = kq_all(__FLT_MAX__), bests = z, bestm = z;
    kq_sums sums = {none, none, none};
    for (int k = -plan.reach; k <= plan.reach; k++) {
      kq_v c = kq_clamp(first[g] + (float)k, 0.0f, steps), s = c * d;
      kq_v m = (m0 + (s - s0) * ratio) * minverse;
      kq_v below = kq_clamp(kq_round(m - 0.5f), 0.0f, steps);
      kq_v above = kq_clamp(below + 1.0f, 0.0f, steps);
      kq_v length = s * f->unit, inverse = kq_inverse(length);
      kq_v o0 = (a->low + below * dmin) * f->unit, o1 = (a->low + above * dmin) * f->unit;
      kq_v codes = inverse * (float)kq_fixed_one;
      kq_sums r[2];
      kq_affine_sums2(
          y, n, top, kq_unsigned_code(codes, o0 * inverse), kq_unsigned_code(codes, o1 * inverse), &r[0], &r[1]);
      for (int h = 0; h < 2; h++) {
        // n * error, without the spread.
        kq_v covariance = kq_float(n * r[h].yq - r[h].q * f->isy);
        kq_v variance = kq_float(n * r[h].qq - r[h].q * r[h].q);
        kq_v mean = f->sy + count * (h == 0 ? o0 : o1) - length * kq_float(r[h].q);
        kq_v error = mean * mean + length * (length * variance - 2.0f * covariance);
        kq_i better = error < best;
        best = better ? error : best;
        bests = better ? c : bests;
        bestm = better ? (h == 0 ? below : above) : bestm;
        sums.q = better ? r[h].q : sums.q;
        sums.qq = better ? r[h].qq : sums.qq;
        sums.yq = better ? r[h].yq : sums.yq;
      }
    }
    kq_v sq = kq_float(sums.q), sqq = kq_float(sums.qq);
    kq_v sxq = kq_float(sums.yq) * (a->range * (1.0f / (float)kq_fixed_one)) + a->low * sq;
    suu += kq_sum(bests * bests * sqq);
    suv += kq_sum(bests * bestm * sq);
    svv += kq_sum(bestm * bestm) * count;
    sxu += kq_sum(bests * sxq);
    sxv += kq_sum(bestm * (a->sy + a->low * count));
    kq_store(out->scale + 8 * g, bests);
    kq_store(out->min + 8 * g, bestm);
  }

  // 4. Least squares for d and dmin together; of the f16 values around it, and the present ones, the best.
  float determinant = suu * svv - suv * suv, d1 = d, dmin1 = dmin;
  if (determinant > 1e-6f * suu * svv) {
    d1 = (sxu * svv - suv * sxv) / determinant;
    dmin1 = (sxu * suv - suu * sxv) / determinant;
  } else if (suu > 0.0f && svv == 0.0f) {
    d1 = sxu / suu;
  }
  const kq_v around = {0.0f, 1.0f, -1.0f, 0.0f, 0.0f, 1.0f, -1.0f, 0.0f};
  const kq_v aroundmin = {0.0f, 0.0f, 0.0f, 1.0f, -1.0f, 1.0f, -1.0f, 0.0f};
  kq_v near = kq_half_round(kq_max(d1 + around * (d1 * 0x1p-11f), z));
  kq_v nearmin = kq_half_round(kq_max(dmin1 + aroundmin * (dmin1 * 0x1p-11f), z));
  near[7] = d;
  nearmin[7] = dmin;
  kq_v u = near - d1, v = nearmin - dmin1;
  kq_v worse = u * (u * suu - 2.0f * suv * v) + v * v * svv;
  worse = near > 0.0f ? worse : kq_all(__FLT_MAX__);
  kq_i least = worse <= kq_all(kq_smallest(worse));
  d = kq_largest(least ? near : z);
  dmin = kq_largest((least & (near >= d)) ? nearmin : z);
  out->d = d;
  out->dmin = dmin;
  return 1;
}
