// The plain affine search in 16-bit integers. Part of kquant.inc.h, which says how it works.

// How a code comes from Y: q = clamp(round(Y * codes / 32767 + shift), 0, top), with nine bits of fraction.
typedef struct kq_code {
  kq_wide_h factor, bias;
} kq_code;

// From codes per full range, below 64, and the shift.
KQ_INLINE kq_code kq_make_code(kq_wide_v codes, kq_wide_v shift) {
  kq_wide_v bias = kq_wide_max(kq_wide_min(shift * 512.0f + 256.0f, kq_wide_all(32767.0f)), kq_wide_all(-32768.0f));
  return (kq_code){kq_both(kq_wide_min(codes * (0x1p25f / 32767.0f), kq_wide_all(65535.0f))), kq_both(bias)};
}

// The sums of two tries. `below` and `above`: some codes need the clamp at 0, at the top.
KQ_INLINE kq_sums kq_affine_sums(const kq_h *y, int n, float top, kq_code c, int below, int above) {
  const kq_wide_h z = (kq_wide_h)(0), highest = (kq_wide_h)((short)top);
  kq_wide_h q = z;
  kq_wide_i qq = (kq_wide_i)z, yq = qq;
  for (int i = 0; i < n / 2; i++) {
    kq_wide_h v = kq_twice(y[i]);
    kq_wide_h a = __builtin_elementwise_add_sat(kq_high_unsigned(v, c.factor), c.bias) >> 9;
    if (below) a = kq_larger(a, z);
    if (above) a = kq_smaller(a, highest);
    q += a;
    qq = kq_pair_sum(qq, a, a);
    yq = kq_pair_sum(yq, a, v);
  }
  return (kq_sums){kq_pair_sum((kq_wide_i)z, q, (kq_wide_h)(1)), qq, yq};
}

// What does not change during the search of eight sub-blocks, for both halves: lengths are in units of range /
// 32767.
typedef struct kq_fixed_base {
  kq_wide_v bound;  // largest offset: a min is not below zero
  kq_wide_v sy;     // sum(Y)
  kq_wide_i isy;    // the same
  kq_v unit;        // 32767 / range
  kq_v spread;      // n * sum(Y Y) - sum(Y)^2
} kq_fixed_base;

// The best tries so far of each half: gain = spread - n * error, and its sums.
typedef struct kq_fixed_fit {
  kq_wide_v gain, s, b;
  kq_wide_i q, qq;
} kq_fixed_fit;

// Least squares Y ~ s * q + b with b <= bound for the sums of two tries; takes them over where they are better
// by more than the noise of the floats, so that the first of several equal fits stays.
KQ_INLINE void kq_fixed_solve(const kq_fixed_base *a, int n, int bounded, kq_sums sums, kq_fixed_fit *fit) {
  kq_wide_v c = kq_float(n * sums.yq - sums.q * a->isy);
  kq_wide_v s = c / kq_float(n * sums.qq - sums.q * sums.q), gain = s * c, sq = kq_float(sums.q);
  kq_wide_v b = (a->sy - s * sq) * (1.0f / (float)n);
  kq_wide_i usable = c > 0.0f;
  if (bounded) {
    // On the bound: Y - bound ~ s * q through the origin.
    kq_wide_v syq = kq_float(sums.yq) - a->bound * sq, t = syq / kq_float(sums.qq);
    kq_wide_v mean = a->sy - (float)n * a->bound;
    kq_wide_i over = ~(b <= a->bound);  // also where all codes are alike
    s = over ? t : s;
    b = over ? a->bound : b;
    gain = over ? (float)n * (t * syq) - mean * mean : gain;
    usable = over ? sums.qq > 0 : usable;
  }
  kq_wide_i better = usable & (gain > fit->gain * (1.0f + 0x1p-21f));
  fit->gain = better ? gain : fit->gain;
  fit->s = better ? s : fit->s;
  fit->b = better ? b : fit->b;
  fit->q = better ? sums.q : fit->q;
  fit->qq = better ? sums.qq : fit->qq;
}

// The better of both halves, in both.
KQ_INLINE void kq_fixed_join(kq_fixed_fit *f) {
  kq_i better = f->gain.hi > f->gain.lo * (1.0f + 0x1p-21f);
  kq_v gain = better ? f->gain.hi : f->gain.lo, s = better ? f->s.hi : f->s.lo, b = better ? f->b.hi : f->b.lo;
  kq_i q = better ? f->q.hi : f->q.lo, qq = better ? f->qq.hi : f->qq.lo;
  *f = (kq_fixed_fit){kq_two(gain, gain), kq_two(s, s), kq_two(b, b), kq_two_i(q, q), kq_two_i(qq, qq)};
}

// Searches a super-block whose sub-blocks have their `base`; `t` holds y = x - low. Returns 0, and leaves
// `out` alone, where floats must decide: constant sub-blocks, and data that lie (almost) on a grid of codes,
// whose error is too small for 15 bits.
KQ_INLINE int kq_affine_fixed(const kq_tile *t, const kq_base *base, const kq_affine_plan plan, kq_result *out) {
  const int n = plan.n, groups = kq_vectors / n;
  const float top = plan.top, steps = plan.steps, count = (float)n, one = (float)kq_fixed_one;
  const kq_v z = kq_all(0.0f);
  const kq_wide_v zz = kq_wide_all(0.0f);
  kq_h tile[kq_pairs];
  kq_fixed_base fixed[2];
  kq_fits fits;
  fits.count = 8 * groups;

  // 1. Fits.
  for (int g = 0; g < groups; g++) {
    const kq_base *a = &base[g];
    if (kq_smallest(a->range) < 0x1p-90f) return 0;
    kq_fixed_base *f = &fixed[g];
    kq_h *y = tile + g * n / 2;
    kq_fixed_fit best = {zz, zz, zz, (kq_wide_i)zz, (kq_wide_i)zz};
    f->unit = one / a->range;
    kq_fixed_fill(t->x + g * n, n, f->unit, y);
    f->isy = kq_fixed_sum(y, n);
    f->sy = kq_float(f->isy);
    f->bound = kq_two(-a->low * f->unit, -a->low * f->unit);
    f->spread = (count * a->syy - a->sy * a->sy) * (f->unit * f->unit);
    if (kq_smallest(100.0f * f->spread - f->sy.lo * f->sy.lo) < 0.0f) return 0;
    const int bounded = kq_smallest(f->bound.lo) < 0.25f * one;
    for (int k = 0; k < plan.count; k += 2) {
      const float *p = plan.tries[k];
      kq_code c = kq_make_code(kq_two(kq_all(p[0]), kq_all(p[2])), -kq_two(kq_all(p[1]), kq_all(p[3])));
      int below = p[1] > 0.49f || p[3] > 0.49f, above = p[0] - p[1] > top + 0.49f || p[2] - p[3] > top + 0.49f;
      kq_sums sums;
      if (below) {
        sums = kq_affine_sums(y, n, top, c, 1, 1);
      } else if (above) {
        sums = kq_affine_sums(y, n, top, c, 0, 1);
      } else {
        sums = kq_affine_sums(y, n, top, c, 0, 0);
      }
      kq_fixed_solve(f, n, bounded, sums, &best);
    }
    kq_fixed_join(&best);
    if (kq_smallest(f->spread * (1.0f - 1e-4f) - best.gain.lo) < 0.0f) return 0;
    for (int k = 0; k < plan.refits; k++) {
      kq_v inverse = 1.0f / best.s.lo, shift = -best.b.lo * inverse, codes = inverse * one;
      kq_code c = kq_make_code(kq_two(codes, codes * 0.98f), kq_two(shift, shift * 0.98f));
      kq_fixed_solve(f, n, bounded, kq_affine_sums(y, n, top, c, 1, 1), &best);
      kq_fixed_join(&best);
    }
    kq_v length = a->range * (1.0f / one), sq = kq_float(best.q).lo;
    kq_store(fits.s + 8 * g, best.s.lo * length);
    kq_store(fits.m + 8 * g, -(a->low + best.b.lo * length));
    kq_store(fits.sq + 8 * g, sq);
    kq_store(fits.sqq + 8 * g, kq_float(best.qq).lo);
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
    kq_wide_v best = kq_wide_all(__FLT_MAX__), wides = zz, widem = zz;
    kq_sums kept = {(kq_wide_i)zz, (kq_wide_i)zz, (kq_wide_i)zz};
    for (int k = -plan.reach; k <= plan.reach; k++) {
      kq_v c = kq_clamp(first[g] + (float)k, 0.0f, steps), s = c * d;
      kq_v m = (m0 + (s - s0) * ratio) * minverse;
      kq_v under = kq_clamp(kq_round(m - 0.5f), 0.0f, steps), over = kq_clamp(under + 1.0f, 0.0f, steps);
      kq_v length = s * f->unit, inverse = kq_inverse(length), codes = inverse * one;
      kq_wide_v mins = kq_two(under, over), lengths = kq_two(length, length);
      kq_wide_v offset = (kq_two(a->low, a->low) + mins * dmin) * kq_two(f->unit, f->unit);
      kq_code code = kq_make_code(kq_two(codes, codes), offset * kq_two(inverse, inverse));
      kq_sums r = kq_affine_sums(y, n, top, code, 1, 1);
      // n * error, without the spread.
      kq_wide_v covariance = kq_float(n * r.yq - r.q * f->isy), variance = kq_float(n * r.qq - r.q * r.q);
      kq_wide_v mean = f->sy + count * offset - lengths * kq_float(r.q);
      kq_wide_v error = mean * mean + lengths * (lengths * variance - 2.0f * covariance);
      kq_wide_i better = error < best;
      best = better ? error : best;
      wides = better ? kq_two(c, c) : wides;
      widem = better ? mins : widem;
      kept.q = better ? r.q : kept.q;
      kept.qq = better ? r.qq : kept.qq;
      kept.yq = better ? r.yq : kept.yq;
    }
    kq_i second = best.hi < best.lo;
    kq_v bests = second ? wides.hi : wides.lo, bestm = second ? widem.hi : widem.lo;
    kq_wide_v wideq = kq_float(kept.q), wideqq = kq_float(kept.qq), wideyq = kq_float(kept.yq);
    kq_v sq = second ? wideq.hi : wideq.lo, sqq = second ? wideqq.hi : wideqq.lo;
    kq_v sxq = (second ? wideyq.hi : wideyq.lo) * (a->range * (1.0f / one)) + a->low * sq;
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
