// Norms, rotations, activations: included by each ops_*.c. See include/cops.h for what each one promises.

#include "cops.h"
#include "ops_vec.inc.h"
#include "ops_real.inc.h"
#define TO_FAR 10.4
#include "ops_activation.inc.h"
#undef TO_FAR

static void rms_norm(const float *x, const float *weight, float epsilon, float *out, int64_t n) {
  d16 sum = (d16)(0.0);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const d16 v = __builtin_convertvector(load16(x + i), d16);
    sum += v * v;
  }
  if (i < n) {
    const d16 v = __builtin_convertvector(load_part(x + i, n - i), d16);
    sum += v * v;
  }
  const float factor = (float)(1.0 / __builtin_sqrt(total16(sum) / (double)n + (double)epsilon));
  if (weight == 0) {
    for (i = 0; i < n; ++i) out[i] = x[i] * factor;
    return;
  }
  for (i = 0; i + 16 <= n; i += 16) store16(out + i, load16(x + i) * splat(factor) * load16(weight + i));
  for (; i < n; ++i) out[i] = x[i] * factor * weight[i];
}

static void layer_norm(
    const float *x, const float *weight, const float *bias, float epsilon, float *out, int64_t n) {
  d16 sum = (d16)(0.0);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) sum += __builtin_convertvector(load16(x + i), d16);
  if (i < n) sum += __builtin_convertvector(load_part(x + i, n - i), d16);
  const double mean = total16(sum) / (double)n;
  double squares = 0;
  d16 wide = (d16)(0.0);
  for (i = 0; i + 16 <= n; i += 16) {
    const d16 v = __builtin_convertvector(load16(x + i), d16) - (d16)(mean);
    wide += v * v;
  }
  for (; i < n; ++i) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
  const double factor = 1.0 / __builtin_sqrt((total16(wide) + squares) / (double)n + (double)epsilon);
  for (i = 0; i < n; ++i) {
    const float v = (float)(((double)x[i] - mean) * factor);
    out[i] = v * weight[i] + bias[i];
  }
}

static void add(float *x, const float *y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += y[i];
}

static void scale(float *x, float factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

static void rotate_split(float *x, const float *cosine, const float *sine, int64_t n) {
  const int64_t half = n / 2;
  float *restrict low = x, *restrict high = x + half;
  for (int64_t i = 0; i < half; ++i) {
    const float a = low[i], b = high[i];
    low[i] = a * cosine[i] - b * sine[i];
    high[i] = b * cosine[i] + a * sine[i];
  }
}

static void rotate_interleaved(float *x, const float *cosine, const float *sine, int64_t n) {
  for (int64_t i = 0; i < n / 2; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cosine[i] - b * sine[i];
    x[2 * i + 1] = b * cosine[i] + a * sine[i];
  }
}

TO_INLINE v16 activated(int activation, int half, v16 x) {
  switch (activation) {
  case TO_SILU: return silu(x);
  case TO_GELU: return gelu(x);
  default: break;
  }
  if (!half) return gelu_tanh(x);
  // ggml: a table over all F16 numbers, except beyond ±10.
  const v16 inside = half16(gelu_tanh(half16(x)));
  return select16(x <= splat(-10.0f), splat(0.0f), select16(x >= splat(10.0f), x, inside));
}

TO_INLINE void activate_all(int activation, int half, float *gate, const float *up, int64_t n) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    v16 y = activated(activation, half, load16(gate + i));
    if (up != 0) y *= load16(up + i);
    store16(gate + i, y);
  }
  if (i < n) {
    v16 y = activated(activation, half, load_part(gate + i, n - i));
    if (up != 0) y *= load_part(up + i, n - i);
    store_part(gate + i, y, n - i);
  }
}

static void activate(int activation, int half, float *gate, const float *up, int64_t n) {
  switch (activation) {
  case TO_SILU: activate_all(TO_SILU, 0, gate, up, n); break;
  case TO_GELU: activate_all(TO_GELU, 0, gate, up, n); break;
  default:
    if (half) {
      activate_all(TO_GELU_TANH, 1, gate, up, n);
    } else {
      activate_all(TO_GELU_TANH, 0, gate, up, n);
    }
  }
}

static void soft_cap(float *x, float cap, int64_t n) {
  const v16 inverse = splat(1.0f) / splat(cap);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store16(x + i, splat(cap) * tanh16(load16(x + i) * inverse));
  if (i < n) store_part(x + i, splat(cap) * tanh16(load_part(x + i, n - i) * inverse), n - i);
}

static void tanh_all(float *x, int64_t n) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store16(x + i, tanh16(load16(x + i)));
  if (i < n) store_part(x + i, tanh16(load_part(x + i, n - i)), n - i);
}

static void round_half(float *x, int64_t n) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store16(x + i, half16(load16(x + i)));
  if (i < n) store_part(x + i, half16(load_part(x + i, n - i)), n - i);
}

static int64_t best(const float *x, int64_t n) {
  // The greatest number by vectors; NaN is seen by its own comparison.
  v16 top = splat(-__builtin_inff());
  i16 odd = (i16)(0);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const v16 v = load16(x + i);
    odd |= v != v;
    top = max16(v, top);
  }
  float most = largest(top);
  int32_t flags[16], seen = 0;
  memcpy(flags, &odd, sizeof flags);
  for (int lane = 0; lane < 16; ++lane) seen |= flags[lane];
  for (; i < n; ++i) {
    seen |= x[i] != x[i];
    most = x[i] > most ? x[i] : most;
  }
  for (i = 0; i < n; ++i) {
    if (seen ? x[i] != x[i] : x[i] == most) return seen ? -1 - i : i;
  }
  return 0;
}

TO_INLINE int64_t clamp_to_block(int64_t position, int64_t start) {
  const int64_t inside = position - start;
  return inside < 0 ? 0 : inside > TO_KEY_BLOCK ? TO_KEY_BLOCK : inside;
}

TO_INLINE v16 rounded_weight(v16 x) { return x; }

TO_INLINE double total(v16 a) { return total16(__builtin_convertvector(a, d16)); }

TO_INLINE void scaled(const float *x, float factor, float *out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * factor;
}

#include "ops_attention.inc.h"

#pragma STDC FP_CONTRACT OFF
#define TO_DOUBLE 1
#include "ops_wide.inc.h"
#include "ops_attention.inc.h"
#undef TO_DOUBLE

const to_ops TO_TABLE = {
    .isa = TO_ISA_NAME,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .add = add,
    .scale = scale,
    .rotate_split = rotate_split,
    .rotate_interleaved = rotate_interleaved,
    .activate = activate,
    .soft_cap = soft_cap,
    .tanh = tanh_all,
    .round_half = round_half,
    .best = best,
    .attention = attention,
    .rms_norm_wide = rms_norm_wide,
    .layer_norm_wide = layer_norm_wide,
    .add_wide = add_wide,
    .add_float = add_float,
    .widen = widen,
    .narrow = narrow,
    .cut_wide = cut_wide,
    .rotate_wide = rotate_wide,
    .activate_wide = activate_wide,
    .soft_cap_wide = soft_cap_wide,
    .attention_wide = attention_wide,
};
