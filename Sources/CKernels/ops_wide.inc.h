// Exact arithmetic between the products: numbers are doubles. Included by each ops_*.c, with contraction off and sums in
// one order, so that all tables give the same bits.

TO_INLINE d8 d_splat(double x) { return (d8)(x); }

TO_INLINE d8 wide8(const float *p) {
  v8 v;
  memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, d8);
}

// The first n lanes, at most 8; the others are 0.
TO_INLINE d8 wide_part(const float *p, int64_t n) {
  if (n >= 8) return wide8(p);
  float lanes[8] = {0};
  memcpy(lanes, p, (size_t)n * sizeof(float));
  return wide8(lanes);
}

// The first n lanes of doubles, at most 8; the others are 0.
TO_INLINE d8 d_part(const double *p, int64_t n) {
  d8 v = d_splat(0.0);
  if (n >= 8) {
    memcpy(&v, p, sizeof v);
  } else {
    memcpy(&v, p, (size_t)n * sizeof *p);
  }
  return v;
}

TO_INLINE void d_store(double *p, d8 x, int64_t n) { memcpy(p, &x, (size_t)(n >= 8 ? 8 : n) * sizeof *p); }

// Rounded to `bits` bits, ties away from 0.
TO_INLINE d8 d_round(d8 x, const int bits) {
  const int64_t below = 1ll << (53 - bits);
  return (d8)(((i64x8)x + below / 2) & -below);
}

// Rounded to 29 bits: the product with any float is then exact in double.
TO_INLINE d8 d_cut(d8 x) { return d_round(x, 29); }

// Lane j with j + 4, then + 2, then + 1.
TO_INLINE double total_wide(d8 a) {
  double lanes[8];
  memcpy(lanes, &a, sizeof a);
  for (int width = 4; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

TO_INLINE double largest_wide(d8 a) {
  double best = a[0];
  for (int i = 1; i < 8; ++i) best = a[i] > best ? a[i] : best;
  return best;
}

TO_INLINE d8 d_fma(d8 a, d8 b, d8 sum) {
#ifdef TO_FMA
  return __builtin_elementwise_fma(a, b, sum);
#else
  return a * b + sum;
#endif
}

// e^x within 1e-14 of itself for x from -708 to 709; 0 below, infinity above. NaN stays NaN.
TO_INLINE d8 d_exp(d8 x) {
  d8 clamped = x < d_splat(-708.0) ? d_splat(-708.0) : x;
  clamped = clamped > d_splat(709.0) ? d_splat(709.0) : clamped;
  // x = k ln 2 + r; adding 1.5·2⁵² rounds to the nearest integer.
  const d8 magic = d_splat(0x1.8p52);
  const d8 shifted = clamped * d_splat(1.4426950408889634) + magic;
  const d8 k = shifted - magic;
  // ln 2 in two parts, the first with 32 zero bits at its end.
  d8 r = clamped - k * d_splat(0x1.62e42feep-1);
  r = r - k * d_splat(0x1.a39ef35793c76p-33);
  // Taylor's series: |r| ≤ ln 2 / 2, so the first term left out is below 1e-14.
  d8 p = d_splat(1.0 / 39916800);
  p = p * r + d_splat(1.0 / 3628800);
  p = p * r + d_splat(1.0 / 362880);
  p = p * r + d_splat(1.0 / 40320);
  p = p * r + d_splat(1.0 / 5040);
  p = p * r + d_splat(1.0 / 720);
  p = p * r + d_splat(1.0 / 120);
  p = p * r + d_splat(1.0 / 24);
  p = p * r + d_splat(1.0 / 6);
  p = p * r + d_splat(0.5);
  p = p * r + d_splat(1.0);
  p = p * r + d_splat(1.0);
  const i64x8 whole = (i64x8)shifted - (i64x8)magic;
  d8 result = p * (d8)((whole + 1023) << 52);
  result = x < d_splat(-708.0) ? d_splat(0.0) : result;
  result = x > d_splat(709.0) ? d_splat(__builtin_inf()) : result;
  return x != x ? x : result;
}

TO_INLINE d8 d_abs(d8 x) { return (d8)((i64x8)x & 0x7fffffffffffffffll); }

TO_INLINE d8 d_tanh(d8 x) {
  const d8 far = d_splat(1.0) - d_splat(2.0) / (d_exp(x + x) + d_splat(1.0));
  const d8 near = x - x * x * x * d_splat(1.0 / 3);
  return d_abs(x) < d_splat(1e-3) ? near : far;
}

static void rms_norm_wide(const double *x, const float *weight, float epsilon, int cut, double *out, int64_t n) {
  d8 sum = d_splat(0.0);
  for (int64_t i = 0; i < n; i += 8) {
    const d8 v = d_part(x + i, n - i);
    sum += v * v;
  }
  const d8 factor = d_splat(1.0 / __builtin_sqrt(total_wide(sum) / (double)n + (double)epsilon));
  for (int64_t i = 0; i < n; i += 8) {
    const d8 v = d_part(x + i, n - i) * factor * wide_part(weight + i, n - i);
    d_store(out + i, cut ? d_cut(v) : v, n - i);
  }
}

static void layer_norm_wide(
    const double *x, const float *weight, const float *bias, float epsilon, int cut, double *out, int64_t n) {
  d8 sum = d_splat(0.0);
  for (int64_t i = 0; i < n; i += 8) sum += d_part(x + i, n - i);
  const d8 mean = d_splat(total_wide(sum) / (double)n);
  d8 squares = d_splat(0.0);
  for (int64_t i = 0; i < n; i += 8) {
    d8 v = d_part(x + i, n - i) - mean;
    const i64x8 lane = {0, 1, 2, 3, 4, 5, 6, 7};
    v = lane < n - i ? v : d_splat(0.0);
    squares += v * v;
  }
  const d8 factor = d_splat(1.0 / __builtin_sqrt(total_wide(squares) / (double)n + (double)epsilon));
  for (int64_t i = 0; i < n; i += 8) {
    d8 v = (d_part(x + i, n - i) - mean) * factor;
    v = v * wide_part(weight + i, n - i) + wide_part(bias + i, n - i);
    d_store(out + i, cut ? d_cut(v) : v, n - i);
  }
}

static void add_wide(double *x, const double *y, int64_t n) {
  for (int64_t i = 0; i < n; i += 8) d_store(x + i, d_part(x + i, n - i) + d_part(y + i, n - i), n - i);
}

static void add_float(double *x, const float *y, int64_t n) {
  for (int64_t i = 0; i < n; i += 8) d_store(x + i, d_part(x + i, n - i) + wide_part(y + i, n - i), n - i);
}

static void widen(const float *x, double factor, double *out, int64_t n) {
  for (int64_t i = 0; i < n; i += 8) d_store(out + i, wide_part(x + i, n - i) * d_splat(factor), n - i);
}

static void narrow(const double *x, float *out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = (float)x[i];
}

static void cut_wide(double *x, int bits, int64_t n) {
  for (int64_t i = 0; i < n; i += 8) d_store(x + i, d_round(d_part(x + i, n - i), bits), n - i);
}

static void rotate_wide(double *x, const float *cosine, const float *sine, int interleaved, int64_t n) {
  const int64_t half = n / 2, step = interleaved ? 2 : 1, apart = interleaved ? 1 : half;
  for (int64_t i = 0; i < half; ++i) {
    double *a = x + step * i, *b = a + apart;
    const double turned = *a * (double)cosine[i] - *b * (double)sine[i];
    *b = *b * (double)cosine[i] + *a * (double)sine[i];
    *a = turned;
  }
}

#include "ops_real.inc.h"
#define TO_FAR 26.0
#include "ops_activation.inc.h"
#undef TO_FAR

TO_INLINE d8 d_activated(int activation, d8 x) {
  switch (activation) {
  case TO_SILU: return silu_wide(x);
  case TO_GELU: return gelu_wide(x);
  default: return gelu_tanh_wide(x);
  }
}

TO_INLINE void activate_wide_all(int activation, double *gate, const double *up, int64_t n) {
  for (int64_t i = 0; i < n; i += 8) {
    d8 x = d_activated(activation, d_part(gate + i, n - i));
    if (up != 0) x *= d_part(up + i, n - i);
    d_store(gate + i, d_cut(x), n - i);
  }
}

static void activate_wide(int activation, double *gate, const double *up, int64_t n) {
  switch (activation) {
  case TO_SILU: activate_wide_all(TO_SILU, gate, up, n); break;
  case TO_GELU: activate_wide_all(TO_GELU, gate, up, n); break;
  default: activate_wide_all(TO_GELU_TANH, gate, up, n);
  }
}

static void soft_cap_wide(float *x, float cap, int64_t n) {
  const d8 limit = d_splat((double)cap);
  for (int64_t i = 0; i < n; i += 8) {
    const v8 v = __builtin_convertvector(limit * d_tanh(wide_part(x + i, n - i) / limit), v8);
    memcpy(x + i, &v, (size_t)(n - i >= 8 ? 8 : n - i) * sizeof *x);
  }
}

TO_INLINE d8 rounded_weight_wide(d8 x) { return d_round(x, 26); }

TO_INLINE void scaled_wide(const double *x, double factor, double *out, int64_t n) {
  for (int64_t i = 0; i < n; i += 8) d_store(out + i, d_cut(d_part(x + i, 8) * d_splat(factor)), n - i);
}
