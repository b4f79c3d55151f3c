// Shared search of the k-quant encoders (q2_k, q3_k, q4_k, q5_k, q6_k). Include-only; no symbol leaves the
// file.
//
// A super-block is 256 weights in 8 sub-blocks of 32 or 16 sub-blocks of 16. The search works on a tile: lane
// j of vector i holds element i of sub-block j (two tiles when there are 16 sub-blocks). Every sum then runs
// along the vectors, lane by lane, never across lanes, so one source gives the same bits for any vector
// width, and all decisions are taken for eight sub-blocks at once.
//
// Every step minimises sum(w * (x - decoded)^2) with w = 1 or the importance:
//   1. real-valued fit: many inverse scales per sub-block, each with its closed-form least-squares fit;
//   2. super-block scales (f16) and integer sub-block scales that disturb those fits least;
//   3. exact search: neighbouring integer scales, weights rounded anew with the decoded scales;
//   4. least-squares refit of the super-block scales, kept when the exact error is smaller;
//   5. with importance and few distinct values, where only the rounding of the super-block scales is left: other divisors
//      for them, and scales that suit values evenly apart.
//
// Edge cases: sub-blocks of zeros cost nothing; f16 scales below 2^-24 are raised to 2^-24 instead of
// vanishing; scales above 65504 saturate; inputs are taken as at most 2^40 in magnitude. Importance is scaled
// to a largest value of 1 per super-block; a weight with less than 2^-30 of that is seen by the search as the
// smallest other weight of its sub-block, and gets its nearest code at the end. A super-block whose
// importance is all zeros (or below 2^-100) is encoded plainly.
#ifndef TINCTURE_KQUANT_INC_H
#define TINCTURE_KQUANT_INC_H

#include <stdint.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

#define KQ_INLINE static inline __attribute__((always_inline))

typedef float kq_v __attribute__((ext_vector_type(8)));
typedef int32_t kq_i __attribute__((ext_vector_type(8)));
typedef uint8_t kq_b __attribute__((ext_vector_type(8)));

enum { kq_length = 256, kq_vectors = 32 };

// One super-block, transposed: `x[g * n + i]` lane j = element i of sub-block 8g + j, each of n elements.
typedef struct kq_tile {
  kq_v x[kq_vectors];
  kq_v w[kq_vectors];
  // Set where some elements have no weight: then also each sub-block's extremes, those elements counted.
  int partial;
  kq_v low[2], high[2];
} kq_tile;

// What a search returns: decoded x = d * scale * q - dmin * min (affine) or d * scale * q (symmetric).
typedef struct kq_result {
  float d, dmin;       // exactly representable in f16
  float scale[16];     // integers
  float min[16];       // integers
} kq_result;

static const float kq_magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, ties to even

KQ_INLINE kq_v kq_all(float f) { return (kq_v)(f); }
KQ_INLINE kq_v kq_min(kq_v a, kq_v b) { return a < b ? a : b; }
KQ_INLINE kq_v kq_max(kq_v a, kq_v b) { return a > b ? a : b; }
KQ_INLINE kq_v kq_abs(kq_v a) { return (kq_v)((kq_i)a & 0x7fffffff); }
KQ_INLINE kq_v kq_round(kq_v a) { return (a + kq_magic) - kq_magic; }
KQ_INLINE kq_v kq_clamp(kq_v a, float low, float high) {
  return kq_max(kq_min(a, kq_all(high)), kq_all(low));
}
// 1 / a, or 0 where a is too small to matter: decoded scales start at 2^-24.
KQ_INLINE kq_v kq_inverse(kq_v a) { return kq_abs(a) > 0x1p-100f ? 1.0f / a : kq_all(0.0f); }

KQ_INLINE kq_v kq_load(const float *p) {
  kq_v v;
  memcpy(&v, p, sizeof v);
  return v;
}
KQ_INLINE void kq_store(float *p, kq_v v) { memcpy(p, &v, sizeof v); }

KQ_INLINE float kq_sum(kq_v v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
KQ_INLINE float kq_largest(kq_v v) {
  v = kq_max(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3));
  v = kq_max(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5));
  return v[0] > v[1] ? v[0] : v[1];
}
KQ_INLINE float kq_smallest(kq_v v) {
  v = kq_min(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3));
  v = kq_min(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5));
  return v[0] < v[1] ? v[0] : v[1];
}

// Rounds magnitudes to the nearest f16 value (ties to even): zero stays zero, anything else becomes at least
// 2^-24, and at most 65504.
KQ_INLINE kq_v kq_half_round(kq_v v) {
  v = kq_min(v, kq_all(65504.0f));
  kq_i u = (kq_i)v;
  kq_v normal = (kq_v)((u + 0xfff + ((u >> 13) & 1)) & ~0x1fff);
  kq_v subnormal = kq_max((v + 0.75f) - 0.75f, kq_all(0x1p-24f));
  kq_v r = v < 0x1p-14f ? subnormal : normal;
  return v > 0.0f ? r : kq_all(0.0f);
}

// f16 bits of a value that is exactly representable.
KQ_INLINE void kq_put_half(uint8_t *out, float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  uint32_t sign = (u >> 16) & 0x8000, a = u & 0x7fffffff;
  float magnitude;
  memcpy(&magnitude, &a, 4);
  uint32_t h = a >= 0x38800000u ? (a >> 13) - (112u << 10) : (uint32_t)(magnitude * 0x1p24f);
  h |= sign;
  out[0] = (uint8_t)h;
  out[1] = (uint8_t)(h >> 8);
}

// Exact value of f16 bits; infinities stay, NaN becomes quiet.
KQ_INLINE float kq_get_half(const uint8_t *in) {
  uint32_t h = (uint32_t)in[0] | (uint32_t)in[1] << 8, sign = (h & 0x8000) << 16, a = h & 0x7fff, u;
  float f;
  if (a >= 0x7c00) {
    u = 0x7f800000u | (a & 0x3ff) << 13 | (a > 0x7c00 ? 0x400000u : 0);
  } else if (a >= 0x400) {
    u = (a << 13) + (112u << 23);
  } else {
    f = (float)(int32_t)a * 0x1p-24f;
    memcpy(&u, &f, 4);
  }
  u |= sign;
  memcpy(&f, &u, 4);
  return f;
}

KQ_INLINE void kq_transpose8(const float *p, int stride, kq_v *out) {
  kq_v r[8], s[8], t[8];
  for (int j = 0; j < 8; j++) r[j] = kq_load(p + j * stride);
  for (int j = 0; j < 4; j++) {
    s[2 * j] = __builtin_shufflevector(r[2 * j], r[2 * j + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    s[2 * j + 1] = __builtin_shufflevector(r[2 * j], r[2 * j + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int h = 0; h < 2; h++) {
    for (int k = 0; k < 2; k++) {
      t[4 * h + 2 * k] = __builtin_shufflevector(s[4 * h + k], s[4 * h + k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      t[4 * h + 2 * k + 1] =
          __builtin_shufflevector(s[4 * h + k], s[4 * h + k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int k = 0; k < 4; k++) {
    out[k] = __builtin_shufflevector(t[k], t[k + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    out[k + 4] = __builtin_shufflevector(t[k], t[k + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

KQ_INLINE void kq_transpose(const float *p, int n, kq_v *out) {
  for (int g = 0; g < kq_vectors / n; g++) {
    for (int i = 0; i < n; i += 8) kq_transpose8(p + 8 * n * g + i, n, out + g * n + i);
  }
}

// Fills the tile; returns the largest magnitude (at most 2^40).
KQ_INLINE float kq_fill(kq_tile *t, const float *x, const float *importance, int n, int weighted) {
  kq_transpose(x, n, t->x);
  kq_v m = kq_all(0.0f);
  for (int i = 0; i < kq_vectors; i++) m = kq_max(m, kq_abs(t->x[i]));
  float largest = kq_largest(m);
  t->partial = 0;
  if (largest > 0x1p40f) {
    for (int i = 0; i < kq_vectors; i++) t->x[i] = kq_clamp(t->x[i], -0x1p40f, 0x1p40f);
    largest = 0x1p40f;
  }
  if (weighted) {
    kq_transpose(importance, n, t->w);
    kq_v top = kq_all(0.0f);
    for (int i = 0; i < kq_vectors; i++) top = kq_max(top, t->w[i]);
    float most = kq_largest(top);
    if (most < 0x1p-100f) {
      for (int i = 0; i < kq_vectors; i++) t->w[i] = kq_all(1.0f);
    } else {
      kq_v unit = kq_all(1.0f / most), none = kq_all(0x1p-30f);
      m = kq_all(0.0f);
      for (int g = 0; g < kq_vectors / n; g++) {
        kq_v *v = t->x + g * n, *w = t->w + g * n, stand = kq_all(__FLT_MAX__), low = v[0], high = v[0];
        kq_v least = kq_all(1.0f);
        for (int i = 0; i < n; i++) {
          low = kq_min(low, v[i]);
          high = kq_max(high, v[i]);
          w[i] = w[i] * unit;
          least = kq_min(least, w[i]);
          stand = w[i] > none ? kq_min(stand, v[i]) : stand;
        }
        t->low[g] = low;
        t->high[g] = high;
        t->partial |= kq_smallest(least) <= none[0];
        stand = stand < __FLT_MAX__ ? stand : kq_all(0.0f);
        for (int i = 0; i < n; i++) {
          v[i] = w[i] > none ? v[i] : stand;
          w[i] = kq_max(w[i], none);
          m = kq_max(m, kq_abs(v[i]));
        }
      }
      largest = kq_largest(m);
    }
  }
  return largest;
}

// Quantizes one sub-block in natural order: q = clamp(round((x + offset) * inverse), low, high) - low, as
// bytes.
KQ_INLINE void kq_codes(
    const float *x, int n, float offset, float inverse, float low, float high, uint8_t *q) {
  for (int i = 0; i < n; i += 8) {
    kq_v l = kq_clamp((kq_load(x + i) + offset) * inverse, low, high) - low;
    kq_b b = __builtin_convertvector((kq_i)(l + kq_magic) & 0xff, kq_b);
    memcpy(q + i, &b, 8);
  }
}

#include "kquant_fixed.inc.h"
#include "kquant_affine.inc.h"
#include "kquant_symmetric.inc.h"
#include "kquant_usual.inc.h"

#endif
