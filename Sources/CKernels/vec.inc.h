// Vectors of eight lanes and the few operations the kernels are written in.
//
// The same source is compiled for every instruction set: eight floats are one register on AVX2, two on SSE2
// and NEON. Each lane is computed alone with one rounding per operation, so bytes do not depend on the
// instruction set. TK_AVX2 (set by isa_avx2.c) only chooses faster instructions with identical results.
#ifndef TINCTURE_VEC_INC_H
#define TINCTURE_VEC_INC_H

#include <stdint.h>
#include <string.h>

typedef float f32x8 __attribute__((ext_vector_type(8)));
typedef double f64x8 __attribute__((ext_vector_type(8)));
typedef int32_t i32x8 __attribute__((ext_vector_type(8)));
typedef uint32_t u32x8 __attribute__((ext_vector_type(8)));
typedef uint16_t u16x8 __attribute__((ext_vector_type(8)));
typedef uint8_t u8x8 __attribute__((ext_vector_type(8)));
typedef int8_t i8x8 __attribute__((ext_vector_type(8)));

#define TK_INLINE static inline __attribute__((always_inline, unused))

TK_INLINE f32x8 v_load(const float *p) {
  f32x8 v;
  memcpy(&v, p, sizeof v);
  return v;
}

TK_INLINE void v_store(float *p, f32x8 v) { memcpy(p, &v, sizeof v); }

TK_INLINE f32x8 v_splat(float x) { return (f32x8)(x); }

TK_INLINE i32x8 v_isplat(int32_t x) { return (i32x8)(x); }

// Lane by lane: where the mask is set a, else b.
TK_INLINE f32x8 v_select(i32x8 mask, f32x8 a, f32x8 b) { return mask ? a : b; }

TK_INLINE i32x8 v_iselect(i32x8 mask, i32x8 a, i32x8 b) { return mask ? a : b; }

// For finite lanes; of zeros of both signs either may be returned, the same on every instruction set.
TK_INLINE f32x8 v_min(f32x8 a, f32x8 b) { return a < b ? a : b; }

TK_INLINE f32x8 v_max(f32x8 a, f32x8 b) { return a > b ? a : b; }

TK_INLINE f32x8 v_abs(f32x8 a) { return (f32x8)((u32x8)a & (u32x8)(0x7fffffffu)); }

// Nearest integer, ties to even, of |x| < 2^22.
TK_INLINE f32x8 v_round(f32x8 x) { return (x + v_splat(12582912.0f)) - v_splat(12582912.0f); }

// The same as integers.
TK_INLINE i32x8 v_round_int(f32x8 x) {
  return (i32x8)(x + v_splat(12582912.0f)) - v_isplat(0x4b400000);
}

TK_INLINE f32x8 v_from_int(i32x8 a) { return __builtin_convertvector(a, f32x8); }

// Towards zero, of |x| < 2^31.
TK_INLINE i32x8 v_trunc_int(f32x8 x) { return __builtin_convertvector(x, i32x8); }

TK_INLINE float v_hmax(f32x8 a) {
  f32x8 b = v_max(a, __builtin_shufflevector(a, a, 4, 5, 6, 7, 0, 1, 2, 3));
  b = v_max(b, __builtin_shufflevector(b, b, 2, 3, 0, 1, 6, 7, 4, 5));
  b = v_max(b, __builtin_shufflevector(b, b, 1, 0, 3, 2, 5, 4, 7, 6));
  return b[0];
}

TK_INLINE float v_hmin(f32x8 a) {
  f32x8 b = v_min(a, __builtin_shufflevector(a, a, 4, 5, 6, 7, 0, 1, 2, 3));
  b = v_min(b, __builtin_shufflevector(b, b, 2, 3, 0, 1, 6, 7, 4, 5));
  b = v_min(b, __builtin_shufflevector(b, b, 1, 0, 3, 2, 5, 4, 7, 6));
  return b[0];
}

// ((a0 + a4) + (a2 + a6)) + ((a1 + a5) + (a3 + a7)): one fixed order.
TK_INLINE float v_hsum(f32x8 a) {
  f32x8 b = a + __builtin_shufflevector(a, a, 4, 5, 6, 7, 0, 1, 2, 3);
  b = b + __builtin_shufflevector(b, b, 2, 3, 0, 1, 6, 7, 4, 5);
  b = b + __builtin_shufflevector(b, b, 1, 0, 3, 2, 5, 4, 7, 6);
  return b[0];
}

// The index of the smallest lane, the first of equal ones.
TK_INLINE int v_argmin(f32x8 a) {
  int best = 0;
  for (int i = 1; i < 8; ++i) {
    if (a[i] < a[best]) best = i;
  }
  return best;
}

TK_INLINE float tk_from_bits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

TK_INLINE uint32_t tk_bits(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

TK_INLINE uint16_t tk_load16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

TK_INLINE void tk_store16(uint8_t *p, uint16_t v) {
  p[0] = (uint8_t)v;
  p[1] = (uint8_t)(v >> 8);
}

TK_INLINE uint32_t tk_load32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

TK_INLINE void tk_store32(uint8_t *p, uint32_t v) {
  p[0] = (uint8_t)v;
  p[1] = (uint8_t)(v >> 8);
  p[2] = (uint8_t)(v >> 16);
  p[3] = (uint8_t)(v >> 24);
}

#endif
