// Exact arithmetic: rows decoded to F32, sixteen running sums. clinear.h states the order of additions.

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

// Lane j with j + 8, then + 4, + 2, + 1.
TK_INLINE float w_sum(f32x16 a) {
  f32x8 b = a.lo + a.hi;
  typedef float f32x4 __attribute__((ext_vector_type(4)));
  f32x4 c = b.lo + b.hi;
  return (c[0] + c[2]) + (c[1] + c[3]);
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

// Sixteen weights from element i of a row that needs no unpacking.
TK_INLINE f32x16 weights_at(const int format, const uint8_t *row, int64_t i) {
  switch (format) {
    case TK_F16: {
      u16x8 a, b;
      memcpy(&a, row + 2 * i, sizeof a);
      memcpy(&b, row + 2 * i + 16, sizeof b);
      f32x16 v;
      v.lo = v_f16_to_f32(a);
      v.hi = v_f16_to_f32(b);
      return v;
    }
    case TK_BF16: {
      u16x16 h;
      memcpy(&h, row + 2 * i, sizeof h);
      return (f32x16)(__builtin_convertvector(h, u32x16) << 16);
    }
    case TK_Q8_0: {
      const uint8_t *block = row + i / 32 * 34;
      i8x16 q;
      memcpy(&q, block + 2 + i % 32, sizeof q);
      return __builtin_convertvector(q, f32x16) * (f32x16)(half_at(block));
    }
    default: return w_load((const float *)(const void *)row + i);
  }
}

enum { EXACT_ROWS = 4, EXACT_TOKENS = 6, EXACT_PANEL = 16 };

// `rows` x `tokens` sums over one segment of `length` elements, into `out` or added to it. Rows are `pitch` bytes
// apart; tokens from `valid` on repeat the last valid one.
TK_INLINE void exact_tile(
    const int format, const int rows, const int tokens, const uint8_t *w, int64_t pitch, const float *x, int64_t width,
    int valid, int64_t length, int first, float *out, int64_t stride) {
  f32x16 sum[EXACT_ROWS][EXACT_TOKENS];
  const float *value[EXACT_TOKENS];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; ++t) {
    value[t] = x + (t < valid ? t : valid - 1) * width;
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) sum[r][t] = (f32x16)(0.0f);
  }
  int64_t i = 0;
  for (; i + 16 <= length; i += 16) {
    f32x16 weight[EXACT_ROWS];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) weight[r] = weights_at(format, w + r * pitch, i);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; ++t) {
      f32x16 v = w_load(value[t] + i);
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; ++r) sum[r][t] = w_madd(weight[r], v, sum[r][t]);
    }
  }
  if (i < length) {
    // Plain floats only: blocks are multiples of 16.
    float weight[EXACT_ROWS][16] = {{0}};
    for (int r = 0; r < rows; ++r) {
      decode_piece(format, w + r * pitch + stored_bytes(format, i), weight[r], length - i);
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; ++t) {
      float v[16] = {0};
      memcpy(v, value[t] + i, (size_t)(length - i) * sizeof(float));
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; ++r) sum[r][t] = w_madd(w_load(weight[r]), w_load(v), sum[r][t]);
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; ++t) {
    if (t >= valid) continue;
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) {
      float s = w_sum(sum[r][t]);
      out[t * stride + r] = first ? s : out[t * stride + r] + s;
    }
  }
}

// All rows of a decoded panel with all tokens; the panel stays in the cache, activations pass once.
static __attribute__((noinline)) void exact_panel(
    const float *panel, int rows, const tk_inputs *in, int64_t at, int64_t length, float *out, int64_t stride) {
  const int64_t pitch = TK_SEGMENT * sizeof(float);
  for (int64_t t = 0; t < in->count; t += EXACT_TOKENS) {
    const int valid = in->count - t < EXACT_TOKENS ? (int)(in->count - t) : EXACT_TOKENS;
    const float *x = in->values + t * in->width + at;
    float *to = out + t * stride;
    int r = 0;
    for (; r + EXACT_ROWS <= rows; r += EXACT_ROWS) {
      const uint8_t *w = (const uint8_t *)(panel + r * TK_SEGMENT);
      exact_tile(
          TK_F32, EXACT_ROWS, EXACT_TOKENS, w, pitch, x, in->width, valid, length, at == 0, to + r, stride);
    }
    for (; r < rows; ++r) {
      const uint8_t *w = (const uint8_t *)(panel + r * TK_SEGMENT);
      exact_tile(TK_F32, 1, EXACT_TOKENS, w, pitch, x, in->width, valid, length, at == 0, to + r, stride);
    }
  }
}

// One token, weights read in place.
TK_INLINE void exact_direct(
    const int format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  const int64_t pitch = stored_bytes(format, in->width), width = in->width;
  for (int64_t t = 0; t < in->count; ++t) {
    for (int64_t r = 0; r < rows;) {
      const int four = rows - r >= EXACT_ROWS;
      for (int64_t at = 0; at < width; at += TK_SEGMENT) {
        const int64_t length = width - at < TK_SEGMENT ? width - at : TK_SEGMENT;
        const uint8_t *w = weights + r * pitch + stored_bytes(format, at);
        const float *x = in->values + t * width + at;
        float *to = out + t * stride + r;
        if (four) {
          exact_tile(format, EXACT_ROWS, 1, w, pitch, x, width, 1, length, at == 0, to, stride);
        } else {
          exact_tile(format, 1, 1, w, pitch, x, width, 1, length, at == 0, to, stride);
        }
      }
      r += four ? EXACT_ROWS : 1;
    }
  }
}

// Any format: panels of rows are decoded once and multiplied with all tokens.
static void exact_decoded(
    int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  const int64_t row_bytes = stored_bytes(format, in->width);
  float panel[EXACT_PANEL * TK_SEGMENT] __attribute__((aligned(64)));
  const int step = in->count < EXACT_TOKENS ? EXACT_ROWS : EXACT_PANEL;
  for (int64_t r = 0; r < rows; r += step) {
    const int group = rows - r < step ? (int)(rows - r) : step;
    for (int64_t at = 0; at < in->width; at += TK_SEGMENT) {
      const int64_t length = in->width - at < TK_SEGMENT ? in->width - at : TK_SEGMENT;
      for (int k = 0; k < group; ++k) {
        decode_piece(
            format, weights + (r + k) * row_bytes + stored_bytes(format, at), panel + k * TK_SEGMENT, length);
      }
      if (in->count == 1) {
        const uint8_t *w = (const uint8_t *)panel;
        const float *x = in->values + at;
        if (group == EXACT_ROWS) {
          exact_tile(
              TK_F32, EXACT_ROWS, 1, w, 4 * TK_SEGMENT, x, in->width, 1, length, at == 0, out + r, stride);
        } else {
          for (int k = 0; k < group; ++k) {
            exact_tile(
                TK_F32, 1, 1, w + k * 4 * TK_SEGMENT, 4 * TK_SEGMENT, x, in->width, 1, length, at == 0, out + r + k,
                stride);
          }
        }
      } else {
        exact_panel(panel, group, in, at, length, out + r, stride);
      }
    }
  }
}

static void multiply_exact(
    int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  if (in->count <= 2) {
    switch (format) {
      case TK_F32: exact_direct(TK_F32, weights, rows, in, out, stride); return;
      case TK_F16: exact_direct(TK_F16, weights, rows, in, out, stride); return;
      case TK_BF16: exact_direct(TK_BF16, weights, rows, in, out, stride); return;
      case TK_Q8_0: exact_direct(TK_Q8_0, weights, rows, in, out, stride); return;
      default: break;
    }
  }
  exact_decoded(format, weights, rows, in, out, stride);
}
