// Engine arithmetic of plain floats: F32, F16 and BF16 weights times rounded activations, summed in F32 as engines
// do. With few tokens lane j of 16 sums the elements j, j + 16 ... of a segment of 1024, then the lanes as a tree, then
// the segments; many tokens are multiplied as by an output head (linear_single.inc.h).

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

// Rows side by side; where one row keeps the units busy, reading the bytes in order is nearly twice as fast (Zen 3).
// FLOAT_AHEAD: bytes that prefetching runs ahead.
#if defined(TK_LINEAR_AVX2) && !defined(TK_LINEAR_AVX512)
enum { FLOAT_FEW = 1, FLOAT_AHEAD = 4096 };
#else
enum { FLOAT_FEW = 4, FLOAT_AHEAD = 4096 };
#endif

// `rows` sums over one segment of `length` elements, into `out` or added to it. Rows are `pitch` bytes apart.
TK_INLINE void float_rows(
    const int format, const int rows, const uint8_t *w, int64_t pitch, const float *x, int64_t length, int first,
    float *out) {
  f32x16 sum[FLOAT_FEW];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; ++r) sum[r] = (f32x16)(0.0f);
  int64_t i = 0;
  for (; i + 16 <= length; i += 16) {
    const f32x16 v = w_load(x + i);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) sum[r] = w_madd(weights_at(format, w + r * pitch, i), v, sum[r]);
  }
  if (i < length) {
    float v[16] = {0};
    memcpy(v, x + i, (size_t)(length - i) * sizeof(float));
    for (int r = 0; r < rows; ++r) {
      uint8_t weight[64] = {0};
      memcpy(weight, w + r * pitch + stored_bytes(format, i), (size_t)stored_bytes(format, length - i));
      sum[r] = w_madd(weights_at(format, weight, 0), w_load(v), sum[r]);
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; ++r) {
    const float s = w_sum(sum[r]);
    out[r] = first ? s : out[r] + s;
  }
}

// Few tokens, one after the other, weights read in place.
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
          float_rows(format, FLOAT_FEW, w, pitch, x, length, at == 0, to);
        } else {
          float_rows(format, 1, w, pitch, x, length, at == 0, to);
        }
      }
      r += few ? FLOAT_FEW : 1;
    }
  }
}

static void multiply_float(
    int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  if (in->count > 2) {
    single_decoded(0, TK_FUSED, format, weights, rows, in, out, stride);
    return;
  }
  switch (format) {
    case TK_F16: float_direct(TK_F16, weights, rows, in, out, stride); return;
    case TK_BF16: float_direct(TK_BF16, weights, rows, in, out, stride); return;
    default: float_direct(TK_F32, weights, rows, in, out, stride); return;
  }
}
