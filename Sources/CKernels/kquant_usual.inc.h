// The scales that ggml would take for a super-block, as one more candidate. Part of kquant.inc.h, which says how the
// search works.
//
// Where hardly any error is left, or nearly all importance lies on a few weights, what decides is how the scales happen
// to be rounded: no search is then always ahead of another, and ours is never behind ggml's only because ggml's scales
// are among those it compares. Definition: ggml src/ggml-quants.c. Both solutions are compared by the error of what a
// decoder will read, in double precision.

typedef double kq_d __attribute__((ext_vector_type(8)));

static const float kq_usual_nothing = 1e-15f;  // magnitudes below count as none

// Adds the squared error of 8 decoded weights.
KQ_INLINE kq_d kq_error_add(kq_d sum, const float *x, const float *importance, kq_v decoded) {
  kq_d off = __builtin_convertvector(kq_load(x), kq_d) - __builtin_convertvector(decoded, kq_d);
  off = off * off;
  return sum + (importance ? off * __builtin_convertvector(kq_load(importance), kq_d) : off);
}

KQ_INLINE double kq_error_sum(kq_d v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

// Eight codes as floats.
KQ_INLINE kq_v kq_widen(const uint8_t *q) {
  kq_b b;
  memcpy(&b, q, sizeof b);
  return __builtin_convertvector(b, kq_v);
}

// The tile as it is, with the weights that lead ggml: the importance (x^2 where there is none), times
// sqrt(lead * mean(x^2) + x^2) where `lead` is above zero.
KQ_INLINE void kq_usual_fill(kq_tile *t, const float *x, const float *importance, int n, float lead) {
  kq_transpose(x, n, t->x);
  kq_v energy = kq_all(0.0f);
  for (int i = 0; i < kq_vectors; i++) {
    t->x[i] = kq_clamp(t->x[i], -0x1p40f, 0x1p40f);
    energy = energy + t->x[i] * t->x[i];
  }
  kq_v mean = kq_all(kq_sum(energy) * (lead / 256.0f));
  if (importance) kq_transpose(importance, n, t->w);
  for (int i = 0; i < kq_vectors; i++) {
    kq_v square = t->x[i] * t->x[i];
    if (!importance) t->w[i] = square;
    if (importance && lead > 0.0f) t->w[i] = t->w[i] * __builtin_elementwise_sqrt(mean + square);
  }
}

// Lane by lane the value of largest magnitude, the first of equal ones.
KQ_INLINE kq_v kq_first_largest(const kq_v *x, int n) {
  kq_v most = kq_all(0.0f), first = most;
  for (int i = 0; i < n; i++) {
    kq_i larger = kq_abs(x[i]) > most;
    most = larger ? kq_abs(x[i]) : most;
    first = larger ? x[i] : first;
  }
  return first;
}

// One of the tries of a signed fit: 0 is the plain scale, then from a little larger to a little smaller ones.
KQ_INLINE float kq_usual_step(int k) { return k == 0 ? 0.0f : 0.1f * (float)(k < 10 ? k - 10 : k - 9); }

// The least-squares scales of eight sub-blocks, the best of 19 tries, two of them side by side.
KQ_INLINE kq_v kq_usual_signed_fit(const kq_v *x, const kq_v *w, int n, float half) {
  const kq_wide_v low = kq_wide_all(-half), high = kq_wide_all(half - 1.0f);
  kq_v largest = kq_first_largest(x, n), scale = kq_all(0.0f), best = kq_all(-1.0f);
  kq_i nothing = kq_abs(largest) < kq_usual_nothing;
  largest = nothing ? kq_all(1.0f) : largest;
  for (int k = 0; k < 20; k += 2) {
    kq_wide_v sxq = kq_wide_all(0.0f), sqq = sxq;
    kq_wide_v inverse = kq_two(
        -(half + kq_usual_step(k)) / largest, -(half + kq_usual_step(k < 18 ? k + 1 : k)) / largest);
    for (int i = 0; i < n; i++) {
      kq_wide_v v = kq_two(x[i], x[i]), q = kq_wide_round(kq_wide_max(kq_wide_min(v * inverse, high), low));
      kq_wide_v p = kq_two(w[i], w[i]) * q;
      sxq = sxq + p * v;
      sqq = sqq + p * q;
    }
    for (int h = 0; h < 2; h++) {
      kq_v xq = h ? sxq.hi : sxq.lo, qq = h ? sqq.hi : sqq.lo;
      kq_i some = qq > 0.0f;
      kq_v s = xq / (some ? qq : kq_all(1.0f)), gain = s * xq;
      kq_i better = some & (gain > best);
      best = better ? gain : best;
      scale = better ? s : scale;
    }
  }
  return nothing ? kq_all(0.0f) : scale;
}

// A signed value as d can be stored.
KQ_INLINE float kq_storable(float d) {
  float size = kq_half_round(kq_all(d < 0.0f ? -d : d))[0];
  return d < 0.0f ? -size : size;
}

// Super-block scale and integer scales as a signed fit of the sub-blocks' scales, weighed by `cost` (q3_k).
KQ_INLINE void kq_usual_fitted_scales(const float *value, const float *cost, int count, float steps, kq_result *out) {
  float largest = 0.0f, best = -1.0f, d = 0.0f, chosen = 0.0f;
  for (int j = 0; j < count; j++) {
    float size = value[j] < 0.0f ? -value[j] : value[j];
    if (size > (largest < 0.0f ? -largest : largest)) largest = value[j];
  }
  if (largest < kq_usual_nothing && largest > -kq_usual_nothing) return;
  for (int k = 0; k < 24; k += 8) {
    float t[8];
    for (int i = 0; i < 8; i++) t[i] = steps + kq_usual_step(k + i < 19 ? k + i : 18);
    kq_v inverse = -kq_load(t) / largest, sxq = kq_all(0.0f), sqq = sxq;
    for (int j = 0; j < count; j++) {
      kq_v q = kq_clamp(kq_round(value[j] * inverse), -steps, steps - 1.0f), p = cost[j] * q;
      sxq = sxq + p * value[j];
      sqq = sqq + p * q;
    }
    for (int i = 0; i < 8; i++) {
      if (!(sqq[i] > 0.0f) || !(sxq[i] * (sxq[i] / sqq[i]) > best)) continue;
      d = sxq[i] / sqq[i];
      best = d * sxq[i];
      chosen = inverse[i];
    }
  }
  out->d = kq_storable(d);
  for (int j = 0; j < count; j++) out->scale[j] = kq_clamp(kq_round(kq_all(value[j] * chosen)), -steps, steps - 1.0f)[0];
}

// Super-block scale and integer scales so that the largest scale becomes -steps (q6_k).
KQ_INLINE void kq_usual_largest_scales(const float *value, int count, float steps, kq_result *out) {
  float largest = 0.0f;
  for (int j = 0; j < count; j++) {
    float size = value[j] < 0.0f ? -value[j] : value[j];
    if (size > (largest < 0.0f ? -largest : largest)) largest = value[j];
  }
  if (largest < kq_usual_nothing && largest > -kq_usual_nothing) return;
  float inverse = -steps / largest;
  out->d = kq_storable(1.0f / inverse);
  for (int j = 0; j < count; j++) out->scale[j] = kq_clamp(kq_round(kq_all(value[j] * inverse)), -steps, steps - 1.0f)[0];
}

// ggml's scales for a super-block of q3_k or q6_k.
KQ_INLINE void kq_usual_symmetric(
    const float *x, const float *importance, const kq_symmetric_plan plan, kq_result *out) {
  const int n = plan.n, groups = kq_vectors / n, fitted = plan.half == 4.0f;
  kq_tile t;
  float scale[16], cost[16];
  memset(out, 0, sizeof *out);
  kq_usual_fill(&t, x, importance, n, fitted ? 2.0f : 0.0f);
  for (int g = 0; g < groups; g++) {
    kq_v sum = kq_all(0.0f);
    for (int i = 0; i < n; i++) sum = sum + t.w[g * n + i];
    kq_store(cost + 8 * g, sum);
    kq_store(scale + 8 * g, kq_usual_signed_fit(t.x + g * n, t.w + g * n, n, plan.half));
  }
  if (fitted) {
    kq_usual_fitted_scales(scale, cost, 8 * groups, plan.steps, out);
  } else {
    kq_usual_largest_scales(scale, 8 * groups, plan.steps, out);
  }
}

// Codes of a super-block after a search.
KQ_INLINE void kq_symmetric_all_codes(const float *x, const kq_symmetric_plan plan, const kq_result *r, uint8_t *q) {
  for (int j = 0; j < kq_length / plan.n; j++) kq_symmetric_codes(x, j, plan.n, plan.half, r, q + plan.n * j);
}

// The error of a super-block as it will be decoded.
KQ_INLINE double kq_symmetric_decoded_error(
    const float *x, const float *importance, const kq_symmetric_plan plan, const kq_result *r, const uint8_t *q) {
  kq_d sum = (kq_d)(0.0);
  for (int i = 0; i < kq_length; i += 8) {
    kq_v decoded = kq_all(r->d * r->scale[i / plan.n]) * (kq_widen(q + i) - plan.half);
    sum = kq_error_add(sum, x + i, importance ? importance + i : NULL, decoded);
  }
  return kq_error_sum(sum);
}

// A solution with its codes and its error.
typedef struct kq_solution {
  kq_result r;
  uint8_t q[kq_length];
  double error;
} kq_solution;

// Completes `other` and takes it over where it is better.
KQ_INLINE void kq_symmetric_take_better(
    const float *x, const float *importance, const kq_symmetric_plan plan, kq_solution *other, kq_solution *best) {
  kq_symmetric_all_codes(x, plan, &other->r, other->q);
  other->error = kq_symmetric_decoded_error(x, importance, plan, &other->r, other->q);
  if (other->error < best->error) *best = *other;
}

// What the rounding of d to half precision and of the scales to integers does to a fit, for eight divisors of the
// largest scale: the energy of each sub-block times the square of its scale's relative error.
KQ_INLINE kq_v kq_divisor_error(const float *fit, const float *energy, int count, float steps, kq_v d) {
  kq_v inverse = kq_inverse(d), error = kq_all(0.0f);
  for (int j = 0; j < count; j++) {
    if (fit[j] == 0.0f) continue;
    kq_v off = 1.0f - d * kq_clamp(kq_round(fit[j] * inverse), -steps, steps - 1.0f) / fit[j];
    error = error + energy[j] * (off * off);
  }
  return error;
}

// All integer scales for one d.
static void kq_symmetric_all_scales(
    const kq_tile *t, const float *x, const float *importance, const kq_symmetric_plan plan, int weighted, float d,
    kq_solution *best) {
  const kq_v none[2] = {kq_all(0.0f), kq_all(0.0f)};
  kq_symmetric_plan all = plan;
  kq_solution other;
  if (best->error == 0.0) return;
  all.reach = (int)plan.steps;
  memset(&other.r, 0, sizeof other.r);
  kq_symmetric_settle(t, all, weighted, none, d, 0, &other.r);
  kq_symmetric_take_better(x, importance, plan, &other, best);
}

// Where little error is left: the divisors of the largest scale, and of that scale with codes `steps` smaller, that
// lose least; then all integer scales.
static void kq_symmetric_divide(
    const float *x, const float *importance, const kq_symmetric_plan plan, int weighted, kq_solution *best) {
  enum { settled = 8, longest = 128 };
  const int n = plan.n, groups = kq_vectors / n, count = 8 * groups;
  kq_tile t;
  float fit[16], energy[16], ds[longest], errors[longest], size = 0.0f;
  int tried = 0;
  if (kq_fill(&t, x, importance, n, weighted) == 0.0f) return;
  for (int g = 0; g < groups; g++) {
    // The real-valued scales that suit the codes best.
    kq_v inverse = kq_inverse(kq_load(best->r.scale + 8 * g) * best->r.d), sum = kq_all(0.0f), sxq = sum, sqq = sum;
    for (int i = g * n; i < g * n + n; i++) {
      kq_v q = kq_round(kq_clamp(t.x[i] * inverse, -plan.half, plan.half - 1.0f)), p = weighted ? t.w[i] * q : q;
      sum = sum + (weighted ? t.w[i] * t.x[i] : t.x[i]) * t.x[i];
      sxq = sxq + p * t.x[i];
      sqq = sqq + p * q;
    }
    kq_v s = sqq > 0.0f ? sxq / (sqq > 0.0f ? sqq : kq_all(1.0f)) : kq_all(0.0f), most = kq_abs(s);
    kq_store(fit + 8 * g, s);
    kq_store(energy + 8 * g, sum);
    size = kq_largest(most) > size ? kq_largest(most) : size;
  }
  kq_symmetric_all_scales(&t, x, importance, plan, weighted, best->r.d, best);
  const int ways = longest / (int)plan.steps;
  const float sign = best->r.d < 0.0f ? -1.0f : 1.0f;
  for (int way = 0; way < ways; way++) {
    const float larger = plan.half / (plan.half - (float)way);
    float wide[16];
    for (int j = 0; j < count; j++) wide[j] = larger * fit[j];
    for (float divisor = plan.steps; divisor >= 1.0f; divisor -= 8.0f, tried += 8) {
      const kq_v down = {0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f, 7.0f};
      kq_v d = sign * kq_half_round(larger * size / (divisor - down));
      kq_store(ds + tried, d);
      kq_store(errors + tried, kq_divisor_error(wide, energy, count, plan.steps, d));
    }
  }
  for (int k = 0; k < settled && best->error > 0.0; k++) {
    int least = 0;
    for (int i = 1; i < tried; i++) least = errors[i] < errors[least] ? i : least;
    if (errors[least] == __FLT_MAX__) return;
    const float larger = plan.half / (plan.half - (float)(least / (int)plan.steps));
    kq_solution other;
    kq_v wide[2];
    for (int g = 0; g < groups; g++) wide[g] = larger * kq_load(fit + 8 * g);
    memset(&other.r, 0, sizeof other.r);
    kq_symmetric_settle(&t, plan, weighted, wide, ds[least], 0, &other.r);
    kq_symmetric_take_better(x, importance, plan, &other, best);
    errors[least] = __FLT_MAX__;
  }
  kq_symmetric_all_scales(&t, x, importance, plan, weighted, best->r.d, best);
  kq_symmetric_all_scales(&t, x, importance, plan, weighted, -best->r.d, best);
}

// sum(w x x).
KQ_INLINE double kq_energy(const float *x, const float *importance) {
  kq_d sum = (kq_d)(0.0);
  for (int i = 0; i < kq_length; i += 8) {
    sum = kq_error_add(sum, x + i, importance ? importance + i : NULL, kq_all(0.0f));
  }
  return kq_error_sum(sum);
}

// The best of our scales and ggml's, with its codes: what q3_k and q6_k encode.
KQ_INLINE void kq_symmetric_best(
    const float *x, const float *importance, const kq_symmetric_plan plan, int weighted, kq_result *r, uint8_t *q) {
  kq_solution best, usual;
  int floats = kq_symmetric(x, importance, plan, weighted, &best.r);
  kq_symmetric_all_codes(x, plan, &best.r, best.q);
  if (floats) {
    best.error = kq_symmetric_decoded_error(x, importance, plan, &best.r, best.q);
    kq_usual_symmetric(x, importance, plan, &usual.r);
    kq_symmetric_take_better(x, importance, plan, &usual, &best);
    const double little = plan.half == 4.0f ? 1e-3 : 1e-5;
    if (best.error > 0.0 && best.error < little * kq_energy(x, importance)) {
      kq_symmetric_divide(x, importance, plan, weighted, &best);
    }
  }
  *r = best.r;
  memcpy(q, best.q, sizeof best.q);
}

// The scales and mins of eight sub-blocks, x ~ scale * q - min: the least weighted error of 37 tries, each of which starts
// from the min of the best before it.
static void kq_usual_affine_fit(
    const kq_v *x, const kq_v *w, int n, float top, kq_v *scale, kq_v *least) {
  const kq_v zero = kq_all(0.0f), one = kq_all(1.0f);
  kq_v low = x[0], high = x[0], sw = zero, sx = zero, error = zero;
  for (int i = 0; i < n; i++) {
    low = kq_min(low, x[i]);
    high = kq_max(high, x[i]);
    sw = sw + w[i];
    sx = sx + w[i] * x[i];
  }
  low = kq_min(low, zero);
  const kq_i constant = high <= low;
  kq_v range = constant ? one : high - low, s = range / top, m = low;
  for (int i = 0; i < n; i++) {
    kq_v r = s * kq_clamp(kq_round((x[i] - m) * (top / range)), 0.0f, top) + m - x[i];
    error = error + w[i] * (r * r);
  }
  for (int k = 0; k <= 36; k++) {
    kq_v inverse = (top - 0.9f + 0.05f * (float)k) / range, sq = zero, sqq = zero, sxq = zero, now = zero;
    for (int i = 0; i < n; i++) {
      kq_v q = kq_round(kq_clamp((x[i] - m) * inverse, 0.0f, top)), p = w[i] * q;
      sq = sq + p;
      sqq = sqq + p * q;
      sxq = sxq + p * x[i];
    }
    kq_v determinant = sw * sqq - sq * sq;
    kq_i usable = determinant > 0.0f;
    kq_v over = usable ? determinant : one, a = (sw * sxq - sx * sq) / over, b = (sqq * sx - sq * sxq) / over;
    kq_i bounded = b > 0.0f;
    a = (bounded & usable) ? sxq / (usable ? sqq : one) : a;
    b = bounded ? zero : b;
    for (int i = 0; i < n; i++) {
      kq_v r = a * kq_round(kq_clamp((x[i] - m) * inverse, 0.0f, top)) + b - x[i];
      now = now + w[i] * (r * r);
    }
    kq_i better = usable & (now < error);
    error = better ? now : error;
    s = better ? a : s;
    m = better ? b : m;
    range = (better & (high > m)) ? high - m : range;
  }
  *scale = constant ? zero : s;
  *least = -(constant ? low : m);
}

// The super-block scale and integers for values above zero: the best of nine divisors, then each integer in turn with
// the least-squares scale. Returns the scale.
KQ_INLINE float kq_usual_positive_scales(const float *value, const float *cost, int count, float steps, float *integer) {
  float largest = 0.0f, least = __FLT_MAX__, chosen = 0.0f, sxq = 0.0f, sqq = 0.0f;
  for (int j = 0; j < count; j++) {
    integer[j] = 0.0f;
    largest = value[j] > largest ? value[j] : largest;
  }
  if (largest < kq_usual_nothing) return 0.0f;
  const kq_v shift = {-0.4f, -0.3f, -0.2f, -0.1f, 0.1f, 0.2f, 0.3f, 0.4f};
  for (int way = 0; way < 2; way++) {
    kq_v inverse = (way == 0 ? kq_all(steps) : steps + shift) / largest, unit = 1.0f / inverse, error = kq_all(0.0f);
    for (int j = 0; j < count; j++) {
      kq_v r = value[j] - unit * kq_clamp(kq_round(value[j] * inverse), 0.0f, steps);
      error = error + cost[j] * (r * r);
    }
    for (int i = 0; i < 8; i++) {
      if (!(error[i] < least)) continue;
      least = error[i];
      chosen = inverse[i];
    }
  }
  for (int j = 0; j < count; j++) {
    integer[j] = kq_clamp(kq_round(kq_all(value[j] * chosen)), 0.0f, steps)[0];
    sxq += cost[j] * value[j] * integer[j];
    sqq += cost[j] * integer[j] * integer[j];
  }
  for (int round = 0, changed = 1; round < 5 && changed; round++) {
    changed = 0;
    for (int j = 0; j < count; j++) {
      float xq = sxq - cost[j] * value[j] * integer[j], qq = sqq - cost[j] * integer[j] * integer[j];
      if (!(xq > 0.0f && qq > 0.0f)) continue;
      float other = kq_clamp(kq_round(kq_all(value[j] * qq / xq)), 0.0f, steps)[0];
      if (other == integer[j]) continue;
      xq += cost[j] * value[j] * other;
      qq += cost[j] * other * other;
      if (!(xq * xq * sqq > sxq * sxq * qq)) continue;
      integer[j] = other;
      sxq = xq;
      sqq = qq;
      changed = 1;
    }
  }
  return sqq > 0.0f ? kq_half_round(kq_all(sxq / sqq))[0] : 0.0f;
}

// ggml's scales for a weighted super-block of q2_k, q4_k or q5_k.
KQ_INLINE void kq_usual_affine(
    const float *x, const float *importance, const kq_affine_plan plan, kq_result *out) {
  const int n = plan.n, groups = kq_vectors / n;
  kq_tile t;
  float scale[16], least[16], cost[16];
  memset(out, 0, sizeof *out);
  kq_usual_fill(&t, x, importance, n, plan.top == 3.0f ? 1.0f : 2.0f);
  for (int g = 0; g < groups; g++) {
    kq_v sum = kq_all(0.0f), s, m;
    for (int i = 0; i < n; i++) sum = sum + t.w[g * n + i];
    kq_usual_affine_fit(t.x + g * n, t.w + g * n, n, plan.top, &s, &m);
    kq_store(cost + 8 * g, sum);
    kq_store(scale + 8 * g, s);
    kq_store(least + 8 * g, m);
  }
  out->d = kq_usual_positive_scales(scale, cost, 8 * groups, plan.steps, out->scale);
  out->dmin = kq_usual_positive_scales(least, cost, 8 * groups, plan.steps, out->min);
}

// Completes `other` and takes it over where it is better.
KQ_INLINE void kq_affine_take_better(
    const float *x, const float *importance, const kq_affine_plan plan, kq_solution *other, kq_solution *best) {
  kq_d sum = (kq_d)(0.0);
  for (int j = 0; j < kq_length / plan.n; j++) {
    kq_v s = kq_all(other->r.d * other->r.scale[j]), m = kq_all(other->r.dmin * other->r.min[j]);
    kq_affine_codes(x, j, plan.n, plan.top, &other->r, other->q + plan.n * j);
    for (int i = plan.n * j; i < plan.n * (j + 1); i += 8) {
      sum = kq_error_add(sum, x + i, importance ? importance + i : NULL, s * kq_widen(other->q + i) - m);
    }
  }
  other->error = kq_error_sum(sum);
  if (other == best || other->error < best->error) *best = *other;
}

// The best of our scales and ggml's, with its codes: what q2_k, q4_k and q5_k encode.
KQ_INLINE void kq_affine_best(
    const float *x, const float *importance, const kq_affine_plan plan, int weighted, kq_result *r, uint8_t *q) {
  kq_solution best, usual;
  kq_affine(x, importance, plan, weighted, &best.r);
  if (weighted) {
    kq_affine_take_better(x, importance, plan, &best, &best);
    kq_usual_affine(x, importance, plan, &usual.r);
    kq_affine_take_better(x, importance, plan, &usual, &best);
  } else {
    for (int j = 0; j < kq_length / plan.n; j++) kq_affine_codes(x, j, plan.n, plan.top, &best.r, best.q + plan.n * j);
  }
  *r = best.r;
  memcpy(q, best.q, sizeof best.q);
}
