// What the products load and add with, and the formats there are.

typedef float f32x16 __attribute__((ext_vector_type(16)));
typedef int32_t i32x16 __attribute__((ext_vector_type(16)));
typedef uint32_t u32x16 __attribute__((ext_vector_type(16)));
typedef uint16_t u16x16 __attribute__((ext_vector_type(16)));
typedef int8_t i8x16 __attribute__((ext_vector_type(16)));

TK_INLINE f32x16 w_load(const float *p) {
  f32x16 v;
  memcpy(&v, p, sizeof v);
  return v;
}

#ifdef TK_LINEAR_FMA
#define TK_FUSED 1
#else
#define TK_FUSED 0
#endif

TK_INLINE f32x16 w_madd(f32x16 a, f32x16 b, f32x16 sum) {
#ifdef TK_LINEAR_FMA
  return __builtin_elementwise_fma(a, b, sum);
#else
  return a * b + sum;
#endif
}

// Bytes of `length` elements, a whole number of blocks.
TK_INLINE int64_t stored_bytes(int32_t format, int64_t length) {
  switch (format) {
    case TK_F32: return 4 * length;
    case TK_F16: case TK_BF16: return 2 * length;
    default: return length / block_length(format) * block_bytes(format);
  }
}

#define TK_EACH_QUANT(use) \
  use(TK_Q4_0) use(TK_Q4_1) use(TK_Q5_0) use(TK_Q5_1) use(TK_Q8_0) use(TK_Q2_K) use(TK_Q3_K) use(TK_Q4_K) \
  use(TK_Q5_K) use(TK_Q6_K) use(TK_IQ4_NL) use(TK_IQ4_XS)

#define TK_EACH_FORMAT(use) use(TK_F32) use(TK_F16) use(TK_BF16) TK_EACH_QUANT(use)
