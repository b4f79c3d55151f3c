// The plain symmetric search in 16-bit integers. Part of kquant.inc.h, which says how it works.

// Factor for q = round(X * codes / 32767) with eight bits of fraction; codes below 64 in magnitude.
KQ_INLINE kq_h kq_signed_factor(kq_v codes) {
  return kq_both(kq_int(kq_clamp(codes * (0x1p24f / 32767.0f), -32767.0f, 32767.0f)));
}

KQ_INLINE kq_h kq_signed_codes(kq_h x, kq_h factor, float half) {
  kq_h q = (kq_high_signed(x, factor) + (kq_h)(128)) >> 8;
  return kq_smaller(kq_larger(q, (kq_h)((short)-half)), (kq_h)((short)(half - 1.0f)));
}

// The sums of two tries; `q` of the sums stays unset.
KQ_INLINE void kq_symmetric_sums2(
    const kq_h *x, int n, float half, kq_h factor0, kq_h factor1, kq_sums *r0, kq_sums *r1) {
  kq_i qq0 = (kq_i)(0), yq0 = qq0, qq1 = qq0, yq1 = qq0;
  for (int i = 0; i < n / 2; i++) {
    kq_h a = kq_signed_codes(x[i], factor0, half), b = kq_signed_codes(x[i], factor1, half);
    qq0 = kq_pair_sum(qq0, a, a);
    yq0 = kq_pair_sum(yq0, a, x[i]);
    qq1 = kq_pair_sum(qq1, b, b);
    yq1 = kq_pair_sum(yq1, b, x[i]);
  }
  *r0 = (kq_sums){qq0, qq0, yq0};
  *r1 = (kq_sums){qq1, qq1, yq1};
}

// Takes a try over where it explains more of sum(X X).
KQ_INLINE void kq_fixed_take(const kq_sums *sums, kq_signed_fit *fit) {
  kq_v sxq = kq_float(sums->yq), sqq = kq_float(sums->qq), s = sxq / sqq, gain = s * sxq;
  kq_i better = gain > fit->gain;
  fit->gain = better ? gain : fit->gain;
  fit->scale = better ? s : fit->scale;
  fit->sqq = better ? sqq : fit->sqq;
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
    kq_signed_fit best = {z, z, z};
    for (int k = 0; k < plan.tries; k += 2) {
      kq_sums r0, r1;
      kq_symmetric_sums2(
          x, n, half, kq_signed_factor(kq_all(plan.inverse[k])), kq_signed_factor(kq_all(plan.inverse[k + 1])),
          &r0, &r1);
      kq_fixed_take(&r0, &best);
      kq_fixed_take(&r1, &best);
    }
    if (kq_smallest(all * (1.0f - 3e-5f) - best.gain) < 0.0f) return 0;
    fit[g] = best.scale * kq_inverse(unit[g]);
    kq_store(scale + 8 * g, fit[g]);
    kq_store(cost + 8 * g, best.sqq);
  }

  // 2. Super-block scale.
  float d = kq_choose_signed_step(scale, cost, count, steps);
  if (d > 60000.0f || d < -60000.0f) return 0;

  // 3. Search over neighbouring integers, with the sums for the refit.
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  float sxu = 0.0f, suu = 0.0f;
  for (int g = 0; g < groups; g++) {
    const kq_h *x = tile + g * n / 2;
    kq_v first = kq_round(fit[g] * inverse), best = kq_all(__FLT_MAX__), chosen = z, sqq = z, sxq = z;
    for (int k = 0; k <= plan.reach; k++) {
      kq_v c[2] = {
          kq_clamp(first - (float)k, -steps, steps - 1.0f),
          kq_clamp(first + (float)(k + 1), -steps, steps - 1.0f),
      };
      kq_v s[2] = {c[0] * d * unit[g], c[1] * d * unit[g]};
      kq_sums r[2];
      kq_symmetric_sums2(
          x, n, half, kq_signed_factor(kq_inverse(s[0]) * (float)kq_fixed_one),
          kq_signed_factor(kq_inverse(s[1]) * (float)kq_fixed_one), &r[0], &r[1]);
      for (int h = 0; h < 2; h++) {
        kq_v qq = kq_float(r[h].qq), xq = kq_float(r[h].yq), error = s[h] * (s[h] * qq - 2.0f * xq);
        kq_i better = error < best;
        best = better ? error : best;
        chosen = better ? c[h] : chosen;
        sqq = better ? qq : sqq;
        sxq = better ? xq : sxq;
      }
    }
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
