// The plain symmetric search in 16-bit integers. Part of kquant.inc.h, which says how it works.

// The sums of two tries q = clamp(round(X * codes / 32767), -half, half - 1), with eight bits of fraction; codes
// below 64 in magnitude. `q` of the sums is not used.
KQ_INLINE kq_sums kq_symmetric_sums(const kq_h *x, int n, float half, kq_wide_v codes) {
  const kq_wide_h lowest = (kq_wide_h)((short)-half), highest = (kq_wide_h)((short)(half - 1.0f));
  kq_wide_v factor = codes * (0x1p24f / 32767.0f);
  kq_wide_h f = kq_both(kq_wide_max(kq_wide_min(factor, kq_wide_all(32767.0f)), kq_wide_all(-32767.0f)));
  kq_wide_i qq = (kq_wide_i)(0), yq = qq;
  for (int i = 0; i < n / 2; i++) {
    kq_wide_h v = kq_twice(x[i]), q = (kq_high_signed(v, f) + (kq_wide_h)(128)) >> 8;
    q = kq_smaller(kq_larger(q, lowest), highest);
    qq = kq_pair_sum(qq, q, q);
    yq = kq_pair_sum(yq, q, v);
  }
  return (kq_sums){qq, qq, yq};
}

// Searches a super-block. Returns 0, and leaves `out` alone, where floats must decide: data that lie (almost)
// on a grid of codes, whose error is too small for 15 bits.
KQ_INLINE int kq_symmetric_fixed(const kq_tile *t, const kq_symmetric_plan plan, kq_result *out) {
  const int n = plan.n, groups = kq_vectors / n, count = 8 * groups;
  const float half = plan.half, steps = plan.steps;
  const kq_v z = kq_all(0.0f);
  kq_h tile[kq_pairs];
  kq_v unit[2], fit[2];
  float scale[16], cost[16];

  // 1. Fits.
  for (int g = 0; g < groups; g++) {
    const kq_v *v = t->x + g * n;
    kq_h *x = tile + g * n / 2;
    kq_v low = z, high = z, all = z;
    for (int i = 0; i < n; i++) {
      low = kq_min(low, v[i]);
      high = kq_max(high, v[i]);
      all = all + v[i] * v[i];
    }
    // The largest magnitude becomes -32767.
    unit[g] = kq_inverse(-low > high ? low : high) * -(float)kq_fixed_one;
    kq_fixed_fill(v, n, unit[g], x);
    all = all * unit[g] * unit[g];
    kq_wide_v gains = kq_wide_all(0.0f), scales = gains, sqqs = gains;
    for (int k = 0; k < plan.tries; k += 2) {
      kq_sums sums =
          kq_symmetric_sums(x, n, half, kq_two(kq_all(plan.inverse[k]), kq_all(plan.inverse[k + 1])));
      kq_wide_v sxq = kq_float(sums.yq), sqq = kq_float(sums.qq), s = sxq / sqq, gain = s * sxq;
      kq_wide_i better = gain > gains;
      gains = better ? gain : gains;
      scales = better ? s : scales;
      sqqs = better ? sqq : sqqs;
    }
    kq_i second = gains.hi > gains.lo;
    kq_v gain = second ? gains.hi : gains.lo;
    if (kq_smallest(all * (1.0f - 3e-5f) - gain) < 0.0f) return 0;
    fit[g] = (second ? scales.hi : scales.lo) * kq_inverse(unit[g]);
    kq_store(scale + 8 * g, fit[g]);
    kq_store(cost + 8 * g, second ? sqqs.hi : sqqs.lo);
  }

  // 2. Super-block scale.
  float d = kq_choose_signed_step(scale, cost, count, steps);
  if (d > 60000.0f || d < -60000.0f) return 0;

  // 3. Search over neighbouring integers, with the sums for the refit.
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  float sxu = 0.0f, suu = 0.0f;
  for (int g = 0; g < groups; g++) {
    const kq_h *x = tile + g * n / 2;
    kq_v first = kq_round(fit[g] * inverse);
    kq_wide_v least = kq_wide_all(__FLT_MAX__), chosens = kq_wide_all(0.0f), sqqs = chosens, sxqs = chosens;
    kq_wide_v size = kq_two(d * unit[g], d * unit[g]);
    for (int k = 0; k <= plan.reach; k++) {
      kq_v c0 = kq_clamp(first - (float)k, -steps, steps - 1.0f);
      kq_v c1 = kq_clamp(first + (float)(k + 1), -steps, steps - 1.0f);
      kq_wide_v c = kq_two(c0, c1), s = c * size;
      kq_wide_v codes = kq_two(kq_inverse(s.lo), kq_inverse(s.hi)) * (float)kq_fixed_one;
      kq_sums sums = kq_symmetric_sums(x, n, half, codes);
      kq_wide_v qq = kq_float(sums.qq), xq = kq_float(sums.yq), error = s * (s * qq - 2.0f * xq);
      kq_wide_i better = error < least;
      least = better ? error : least;
      chosens = better ? c : chosens;
      sqqs = better ? qq : sqqs;
      sxqs = better ? xq : sxqs;
    }
    kq_i second = least.hi < least.lo;
    kq_v chosen = second ? chosens.hi : chosens.lo, sqq = second ? sqqs.hi : sqqs.lo;
    kq_v sxq = second ? sxqs.hi : sxqs.lo;
    kq_store(out->scale + 8 * g, chosen);
    sxu += kq_sum(chosen * sxq * kq_inverse(unit[g]));
    suu += kq_sum(chosen * chosen * sqq);
  }

  // 4. Least squares for d.
  float refit = suu > 0.0f ? sxu / suu : d;
  float d1 = kq_half_round(kq_all(refit < 0.0f ? -refit : refit))[0];
  out->d = d1 == 0.0f ? d : refit < 0.0f ? -d1 : d1;
  return 1;
}
