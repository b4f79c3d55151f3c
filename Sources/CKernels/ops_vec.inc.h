// Vectors of sixteen lanes and the elementary functions on them, for the ops_*.c files.
//
// One source for every instruction set: sixteen floats are one register on AVX-512, two on AVX2, four on
// SSE2 and NEON.
#ifndef TINCTURE_OPS_VEC_INC_H
#define TINCTURE_OPS_VEC_INC_H

#include <stdint.h>
#include <string.h>

typedef float v16 __attribute__((ext_vector_type(16)));
typedef int32_t i16 __attribute__((ext_vector_type(16)));
typedef uint32_t u16x __attribute__((ext_vector_type(16)));
typedef double d16 __attribute__((ext_vector_type(16)));
typedef float v8 __attribute__((ext_vector_type(8)));
typedef double d8 __attribute__((ext_vector_type(8)));
typedef int64_t i64x8 __attribute__((ext_vector_type(8)));

#define TO_INLINE static inline __attribute__((always_inline, unused))

TO_INLINE v16 load16(const float *p) {
  v16 v;
  memcpy(&v, p, sizeof v);
  return v;
}

TO_INLINE void store16(float *p, v16 v) { memcpy(p, &v, sizeof v); }

// The first n lanes, 0 < n < 16; the others are 0.
TO_INLINE v16 load_part(const float *p, int64_t n) {
  float lanes[16] = {0};
  memcpy(lanes, p, (size_t)n * sizeof(float));
  return load16(lanes);
}

TO_INLINE void store_part(float *p, v16 v, int64_t n) {
  float lanes[16];
  store16(lanes, v);
  memcpy(p, lanes, (size_t)n * sizeof(float));
}

TO_INLINE v16 splat(float x) { return (v16)(x); }

TO_INLINE v16 select16(i16 mask, v16 a, v16 b) { return mask ? a : b; }

TO_INLINE v16 max16(v16 a, v16 b) { return a > b ? a : b; }

TO_INLINE v16 abs16(v16 a) { return (v16)((u16x)a & 0x7fffffffu); }

TO_INLINE float largest(v16 a) {
  float lanes[16];
  store16(lanes, a);
  float best = lanes[0];
  for (int i = 1; i < 16; ++i) best = lanes[i] > best ? lanes[i] : best;
  return best;
}

// Sum of the lanes in double, one fixed order.
TO_INLINE double total16(d16 a) {
  double lanes[16];
  memcpy(lanes, &a, sizeof a);
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

// e^x within 2 ulp for x from -87 to 88; 0 below, infinity above 88.7. NaN stays NaN.
TO_INLINE v16 exp16(v16 x) {
  v16 clamped = x < -87.3f ? splat(-87.3f) : x;
  clamped = clamped > 88.8f ? splat(88.8f) : clamped;
  // x = k ln 2 + r; adding 1.5·2²³ rounds to the nearest integer.
  const v16 magic = splat(12582912.0f);
  const v16 shifted = clamped * splat(1.44269504f) + magic;
  const v16 k = shifted - magic;
  v16 r = clamped - k * splat(0.693359375f);
  r = r - k * splat(-2.12194440e-4f);
  v16 p = splat(1.39336637e-3f);
  p = p * r + splat(8.36323574e-3f);
  p = p * r + splat(4.16664630e-2f);
  p = p * r + splat(0.166665763f);
  p = p * r + splat(0.5f);
  p = p * (r * r) + r;
  p = p + splat(1.0f);
  // Times 2^k in two steps, so that neither factor overflows.
  const i16 whole = (i16)shifted - 0x4b400000;
  const i16 half = whole >> 1;
  v16 result = p * (v16)((half + 127) << 23);
  result = result * (v16)((whole - half + 127) << 23);
  result = select16(x < splat(-87.3f), splat(0.0f), result);
  return select16(x != x, x, result);
}

// tanh within 3 ulp: an odd polynomial near 0, exponentials beyond.
TO_INLINE v16 tanh16(v16 x) {
  const v16 a = abs16(x);
  const v16 z = x * x;
  v16 p = splat(2.21834122e-3f);
  p = p * z + splat(-8.27610027e-3f);
  p = p * z + splat(2.17475407e-2f);
  p = p * z + splat(-5.39565533e-2f);
  p = p * z + splat(0.133332923f);
  p = p * z + splat(-0.333333343f);
  const v16 near = x + x * (z * p);
  const v16 far = splat(1.0f) - splat(2.0f) / (exp16(a + a) + splat(1.0f));
  const v16 sign = (v16)((u16x)x & 0x80000000u);
  const v16 signed_far = (v16)((u16x)far | (u16x)sign);
  v16 result = select16(a < splat(0.625f), near, signed_far);
  return select16(x != x, x, result);
}

// Nearest F16 of each lane, ties to even, as a float.
TO_INLINE v16 half16(v16 x) {
  const u16x bits = (u16x)x;
  const u16x sign = bits & 0x80000000u;
  const v16 a = abs16(x);
  const u16x rounded = ((u16x)a + 0xfffu + (((u16x)a >> 13) & 1u)) & ~0x1fffu;
  // Below 2^-14 the steps are 2^-24, those of floats near 0.75.
  const v16 small = (a + splat(0.75f)) - splat(0.75f);
  v16 result = select16(a < splat(6.103515625e-5f), small, (v16)rounded);
  result = select16(a >= splat(65520.0f), splat(__builtin_inff()), result);
  result = (v16)((u16x)result | sign);
  return select16(x != x, x, result);
}

#endif
