// Engine arithmetic of plain floats: F32, F16 and BF16 weights times rounded activations, summed in F32 as engines
// do. Lane j of 16 sums the elements j, j + 16 ... of a segment of 1024, then the lanes as a tree, then the segments.

// Lane j with j + 8, then + 4, + 2, + 1.
TK_INLINE float w_sum(f32x16 a) {
  f32x8 b = a.lo + a.hi;
  typedef float f32x4 __attribute__((ext_vector_type(4)));
  f32x4 c = b.lo + b.hi;
  return (c[0] + c[2]) + (c[1] + c[3]);
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
    default: return w_load((const float *)(const void *)row + i);
  }
}

// A register tile of rows by tokens: sixteen registers hold no more than 2 x 3. FLOAT_FEW rows side by side meet a single
// token; where one row keeps the units busy, reading the bytes in order is nearly twice as fast (Zen 3).
#if defined(TK_LINEAR_AVX2) && !defined(TK_LINEAR_AVX512)
enum { FLOAT_ROWS = 2, FLOAT_TOKENS = 3, FLOAT_FEW = 1 };
#else
enum { FLOAT_ROWS = 4, FLOAT_TOKENS = 6, FLOAT_FEW = 4 };
#endif
// FLOAT_AHEAD: bytes that prefetching runs ahead with a single token.
enum { FLOAT_MOST = 4, FLOAT_PANEL = 16, FLOAT_AHEAD = 4096 };

// `rows` x `tokens` sums over one segment of `length` elements, into `out` or added to it. Rows are `pitch` bytes
// apart; tokens from `valid` on repeat the last valid one.
TK_INLINE void float_tile(
    const int format, const int rows, const int tokens, const uint8_t *w, int64_t pitch, const float *x, int64_t width,
    int valid, int64_t length, int first, float *out, int64_t stride) {
  f32x16 sum[FLOAT_MOST][FLOAT_TOKENS];
  const float *value[FLOAT_TOKENS];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; ++t) {
    value[t] = x + (t < valid ? t : valid - 1) * width;
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) sum[r][t] = (f32x16)(0.0f);
  }
  int64_t i = 0;
  for (; i + 16 <= length; i += 16) {
    f32x16 weight[FLOAT_MOST];
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
    float weight[FLOAT_MOST][16] = {{0}};
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
static __attribute__((noinline)) void float_panel(
    const float *panel, int rows, const tk_inputs *in, int64_t at, int64_t length, float *out, int64_t stride) {
  const int64_t pitch = TK_SEGMENT * sizeof(float);
  for (int64_t t = 0; t < in->count; t += FLOAT_TOKENS) {
    const int valid = in->count - t < FLOAT_TOKENS ? (int)(in->count - t) : FLOAT_TOKENS;
    const float *x = in->values + t * in->width + at;
    float *to = out + t * stride;
    int r = 0;
    for (; r + FLOAT_ROWS <= rows; r += FLOAT_ROWS) {
      const uint8_t *w = (const uint8_t *)(panel + r * TK_SEGMENT);
      float_tile(
          TK_F32, FLOAT_ROWS, FLOAT_TOKENS, w, pitch, x, in->width, valid, length, at == 0, to + r, stride);
    }
    for (; r < rows; ++r) {
      const uint8_t *w = (const uint8_t *)(panel + r * TK_SEGMENT);
      float_tile(TK_F32, 1, FLOAT_TOKENS, w, pitch, x, in->width, valid, length, at == 0, to + r, stride);
    }
  }
}

// One token, weights read in place.
TK_INLINE void float_direct(
    const int format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  const int64_t pitch = stored_bytes(format, in->width), width = in->width;
  for (int64_t t = 0; t < in->count; ++t) {
    for (int64_t r = 0; r < rows;) {
      const int few = rows - r >= FLOAT_FEW;
      for (int64_t at = 0; at < width; at += TK_SEGMENT) {
        const int64_t length = width - at < TK_SEGMENT ? width - at : TK_SEGMENT;
        const uint8_t *w = weights + r * pitch + stored_bytes(format, at);
        const float *x = in->values + t * width + at;
        float *to = out + t * stride + r;
        if (few) {
          const int64_t bytes = FLOAT_FEW * stored_bytes(format, length);
          for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(w + FLOAT_AHEAD + b);
          float_tile(format, FLOAT_FEW, 1, w, pitch, x, width, 1, length, at == 0, to, stride);
        } else {
          float_tile(format, 1, 1, w, pitch, x, width, 1, length, at == 0, to, stride);
        }
      }
      r += few ? FLOAT_FEW : 1;
    }
  }
}

// Panels of rows are decoded once and multiplied with all tokens.
static void float_decoded(
    int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  const int64_t row_bytes = stored_bytes(format, in->width);
  float panel[FLOAT_PANEL * TK_SEGMENT] __attribute__((aligned(64)));
  for (int64_t r = 0; r < rows; r += FLOAT_PANEL) {
    const int group = rows - r < FLOAT_PANEL ? (int)(rows - r) : FLOAT_PANEL;
    for (int64_t at = 0; at < in->width; at += TK_SEGMENT) {
      const int64_t length = in->width - at < TK_SEGMENT ? in->width - at : TK_SEGMENT;
      for (int k = 0; k < group; ++k) {
        decode_piece(
            format, weights + (r + k) * row_bytes + stored_bytes(format, at), panel + k * TK_SEGMENT, length);
      }
      float_panel(panel, group, in, at, length, out + r, stride);
    }
  }
}

static void multiply_float(
    int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  if (in->count > 2) {
    float_decoded(format, weights, rows, in, out, stride);
    return;
  }
  switch (format) {
    case TK_F16: float_direct(TK_F16, weights, rows, in, out, stride); return;
    case TK_BF16: float_direct(TK_BF16, weights, rows, in, out, stride); return;
    default: float_direct(TK_F32, weights, rows, in, out, stride); return;
  }
}
