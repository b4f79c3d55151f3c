// Rows of any format decoded to F32, as the codecs decode them, and what the products load with.

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

// `length` quantized elements, a whole number of blocks: the values the codecs decode, to the bit. Code times scale
// has at most 24 bits, so it is exact, fused or not, and the one rounding left is the codecs' own.
TK_INLINE void decode_blocks(const int format, const uint8_t *in, float *out, int64_t length) {
  const int sub = sub_length(format), offset = code_offset(format);
  uint8_t codes[TK_SEGMENT];
  float scale[TK_SEGMENT / 16], add[TK_SEGMENT / 16];
  unpack(format, in, (int)length, codes, scale, add);
  for (int64_t s = 0; s < length / sub; ++s) {
    const f32x16 factor = (f32x16)(scale[s]);
    const f32x16 base = (f32x16)(has_addend(format) ? add[s] : -(float)offset * scale[s]);
#pragma clang loop unroll(full)
    for (int k = 0; k < sub; k += 16) {
      f32x16 x = w_madd(__builtin_convertvector(load16(codes + s * sub + k), f32x16), factor, base);
      memcpy(out + s * sub + k, &x, sizeof x);
    }
  }
}

#define TK_EACH_QUANT(use) \
  use(TK_Q4_0) use(TK_Q4_1) use(TK_Q5_0) use(TK_Q5_1) use(TK_Q8_0) use(TK_Q2_K) use(TK_Q3_K) use(TK_Q4_K) \
  use(TK_Q5_K) use(TK_Q6_K) use(TK_IQ4_NL) use(TK_IQ4_XS)

#define TK_DEFINE(format) \
  static void decode_##format(const uint8_t *in, float *out, int64_t length) { \
    decode_blocks(format, in, out, length); \
  }
TK_EACH_QUANT(TK_DEFINE)
#undef TK_DEFINE

// Decodes `length` elements, at most a segment.
static void decode_piece(int32_t format, const uint8_t *in, float *out, int64_t length) {
  switch (format) {
    case TK_F32: memcpy(out, in, (size_t)length * sizeof *out); return;
    case TK_F16: f16_to_f32(in, out, length); return;
    case TK_BF16: bf16_to_f32(in, out, length); return;
#define TK_CASE(format) \
  case format: decode_##format(in, out, length); return;
    TK_EACH_QUANT(TK_CASE)
#undef TK_CASE
  }
}
