// Exact arithmetic: rows decoded to F32, sixteen running sums. clinear.h states the order of additions.

typedef float f32x16 __attribute__((ext_vector_type(16)));

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

// Lane j with j + 8, then + 4, + 2, + 1.
TK_INLINE float w_sum(f32x16 a) {
  f32x8 b = a.lo + a.hi;
  typedef float f32x4 __attribute__((ext_vector_type(4)));
  f32x4 c = b.lo + b.hi;
  return (c[0] + c[2]) + (c[1] + c[3]);
}

// Decodes `length` elements of format `format`.
static void decode_piece(int32_t format, const uint8_t *in, float *out, int64_t length) {
  const tk_kernels *k = &TK_CODECS;
  const tk_codec *codec = NULL;
  switch (format) {
    case TK_F32: memcpy(out, in, (size_t)length * sizeof *out); return;
    case TK_F16: k->f16_to_f32(in, out, length); return;
    case TK_BF16: k->bf16_to_f32(in, out, length); return;
    case TK_Q4_0: codec = &k->q4_0; break;
    case TK_Q4_1: codec = &k->q4_1; break;
    case TK_Q5_0: codec = &k->q5_0; break;
    case TK_Q5_1: codec = &k->q5_1; break;
    case TK_Q8_0: codec = &k->q8_0; break;
    case TK_Q2_K: codec = &k->q2_k; break;
    case TK_Q3_K: codec = &k->q3_k; break;
    case TK_Q4_K: codec = &k->q4_k; break;
    case TK_Q5_K: codec = &k->q5_k; break;
    case TK_Q6_K: codec = &k->q6_k; break;
    case TK_IQ4_NL: codec = &k->iq4_nl; break;
    default: codec = &k->iq4_xs; break;
  }
  codec->decode(in, out, length);
}

// Bytes of `length` elements, a whole number of blocks.
TK_INLINE int64_t stored_bytes(int32_t format, int64_t length) {
  switch (format) {
    case TK_F32: return 4 * length;
    case TK_F16: case TK_BF16: return 2 * length;
    default: return length / block_length(format) * block_bytes(format);
  }
}

// ROWS x TOKENS sums over one segment of `length` elements; `w` rows are `pitch` floats apart.
TK_INLINE void exact_tile(
    const int rows, const int tokens, const float *w, int64_t pitch, const float *x, int64_t width, int64_t length,
    int first, float *out, int64_t stride) {
  f32x16 sum[4][6];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; ++r) {
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; ++t) sum[r][t] = (f32x16)(0.0f);
  }
  int64_t i = 0;
  for (; i + 16 <= length; i += 16) {
    f32x16 weight[4];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) weight[r] = w_load(w + r * pitch + i);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; ++t) {
      f32x16 value = w_load(x + t * width + i);
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; ++r) sum[r][t] = w_madd(weight[r], value, sum[r][t]);
    }
  }
  if (i < length) {
    size_t rest = (size_t)(length - i) * sizeof(float);
    float weight[4][16] = {{0}};
    for (int r = 0; r < rows; ++r) memcpy(weight[r], w + r * pitch + i, rest);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; ++t) {
      float value[16] = {0};
      memcpy(value, x + t * width + i, rest);
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; ++r) sum[r][t] = w_madd(w_load(weight[r]), w_load(value), sum[r][t]);
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; ++t) {
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) {
      float s = w_sum(sum[r][t]);
      out[t * stride + r] = first ? s : out[t * stride + r] + s;
    }
  }
}

static void exact_rows4(
    const float *w, int64_t pitch, const tk_inputs *in, int64_t at, int64_t length, float *out, int64_t stride) {
  const float *x = in->values + at;
  int64_t t = 0;
  for (; t + 4 <= in->count; t += 4) {
    exact_tile(4, 4, w, pitch, x + t * in->width, in->width, length, at == 0, out + t * stride, stride);
  }
  for (; t < in->count; ++t) {
    exact_tile(4, 1, w, pitch, x + t * in->width, in->width, length, at == 0, out + t * stride, stride);
  }
}

static void exact_rows1(
    const float *w, int64_t pitch, const tk_inputs *in, int64_t at, int64_t length, float *out, int64_t stride) {
  const float *x = in->values + at;
  int64_t t = 0;
  for (; t + 4 <= in->count; t += 4) {
    exact_tile(1, 4, w, pitch, x + t * in->width, in->width, length, at == 0, out + t * stride, stride);
  }
  for (; t < in->count; ++t) {
    exact_tile(1, 1, w, pitch, x + t * in->width, in->width, length, at == 0, out + t * stride, stride);
  }
}

static void multiply_exact(
    int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  const int64_t row_bytes = stored_bytes(format, in->width);
  float panel[4 * TK_SEGMENT];
  for (int64_t r = 0; r < rows; r += 4) {
    const int group = rows - r < 4 ? (int)(rows - r) : 4;
    for (int64_t at = 0; at < in->width; at += TK_SEGMENT) {
      const int64_t length = in->width - at < TK_SEGMENT ? in->width - at : TK_SEGMENT;
      for (int k = 0; k < group; ++k) {
        decode_piece(
            format, weights + (r + k) * row_bytes + stored_bytes(format, at), panel + k * TK_SEGMENT, length);
      }
      if (group == 4) {
        exact_rows4(panel, TK_SEGMENT, in, at, length, out + r, stride);
      } else {
        for (int k = 0; k < group; ++k) {
          exact_rows1(panel + k * TK_SEGMENT, TK_SEGMENT, in, at, length, out + r + k, stride);
        }
      }
    }
  }
}
