// Exact arithmetic of an output head: weights decoded to F32 as everywhere, but products and sums in F32. Nothing is
// computed from logits, so this rounding (about 1e-14 of their energy) goes no further, and takes half the time of double.
//
// The order is that of linear_float.inc.h, with a fused multiply-add in every table: the same bits for one token as for
// many, and on every instruction set.

enum { SINGLE_PANEL = 32, SINGLE_GROUP = 64 };
#if defined(TK_LINEAR_AVX512)
enum { SINGLE_ROWS = 4, SINGLE_TOKENS = 6 };
#else
enum { SINGLE_ROWS = 2, SINGLE_TOKENS = 3 };
#endif

// `rows` x `tokens` sums over one segment, `length` a multiple of 16, added to `out`; tokens from `valid` on repeat the
// last valid one.
TK_INLINE void single_tile(
    const int rows, const int tokens, const float *w, const float *x, int64_t x_pitch, int valid, int64_t length,
    float *out) {
  f32x16 sum[SINGLE_ROWS][SINGLE_TOKENS];
  const float *value[SINGLE_TOKENS];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; ++t) {
    value[t] = x + (t < valid ? t : valid - 1) * x_pitch;
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) sum[r][t] = (f32x16)(0.0f);
  }
  for (int64_t i = 0; i < length; i += 16) {
    f32x16 weight[SINGLE_ROWS];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) weight[r] = w_load(w + r * TK_SEGMENT + i);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; ++t) {
      f32x16 v = w_load(value[t] + i);
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; ++r) sum[r][t] = __builtin_elementwise_fma(weight[r], v, sum[r][t]);
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; ++t) {
    if (t >= valid) continue;
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) out[t * SINGLE_PANEL + r] += w_sum(sum[r][t]);
  }
}

// The same for one token, which need not be multiplied as often as a tile has room for.
TK_INLINE void single_token(const int rows, const float *w, const float *x, int64_t length, float *out) {
  single_tile(rows, 1, w, x, 0, 1, length, out);
}

// All rows of a decoded panel with a group of tokens.
static __attribute__((noinline)) void single_panel(
    const float *panel, int rows, const float *x, int64_t x_pitch, int64_t count, int64_t length, float *sums) {
  for (int64_t t = 0; t < count; t += SINGLE_TOKENS) {
    const int valid = count - t < SINGLE_TOKENS ? (int)(count - t) : SINGLE_TOKENS;
    const float *from = x + t * x_pitch;
    float *to = sums + t * SINGLE_PANEL;
    int r = 0;
    for (; r + SINGLE_ROWS <= rows; r += SINGLE_ROWS) {
      const float *w = panel + r * TK_SEGMENT;
      if (valid == 1) {
        single_token(SINGLE_ROWS, w, from, length, to + r);
      } else {
        single_tile(SINGLE_ROWS, SINGLE_TOKENS, w, from, x_pitch, valid, length, to + r);
      }
    }
    for (; r < rows; ++r) single_tile(1, SINGLE_TOKENS, panel + r * TK_SEGMENT, from, x_pitch, valid, length, to + r);
  }
}

// Tokens as floats, each with zeros up to a multiple of 16.
static void single_inputs(const tk_inputs *in, int64_t first, int64_t count, int64_t at, int64_t length, float *out) {
  const int64_t x_pitch = tk_wide_pitch(in->width), pitch = (length + 15) / 16 * 16;
  for (int64_t t = 0; t < count; ++t) {
    const double *x = in->wide + (first + t) * x_pitch + at;
    for (int64_t i = 0; i < length; ++i) out[t * pitch + i] = (float)x[i];
    for (int64_t i = length; i < pitch; ++i) out[t * pitch + i] = 0;
  }
}

// One segment of a panel's rows with a group of tokens, whose floats `values` are.
static void single_segment(
    int32_t format, const uint8_t *weights, int64_t row_bytes, int rows, const float *values, int64_t pitch,
    int64_t count, int64_t length, float *panel, float *sums) {
  for (int k = 0; k < rows; ++k) {
    decode_piece(format, weights + k * row_bytes, panel + k * TK_SEGMENT, length);
    for (int64_t i = length; i < pitch; ++i) panel[k * TK_SEGMENT + i] = 0;
  }
  single_panel(panel, rows, values, pitch, count, pitch, sums);
}

// The sums of some rows begin at 0 with the first segment, `at` 0; the others add to what `out` holds.
static void multiply_single(
    int32_t format, const uint8_t *weights, int64_t rows, const tk_inputs *in, float *out, int64_t stride) {
  const int64_t row_bytes = stored_bytes(format, in->width);
  float panel[SINGLE_PANEL * TK_SEGMENT] __attribute__((aligned(64)));
  float values[SINGLE_GROUP * TK_SEGMENT] __attribute__((aligned(64)));
  float sums[SINGLE_GROUP * SINGLE_PANEL] __attribute__((aligned(64)));
  for (int64_t first = 0; first < in->count; first += SINGLE_GROUP) {
    const int64_t count = in->count - first < SINGLE_GROUP ? in->count - first : SINGLE_GROUP;
    for (int64_t at = 0; at < in->width; at += TK_SEGMENT) {
      const int64_t length = in->width - at < TK_SEGMENT ? in->width - at : TK_SEGMENT;
      single_inputs(in, first, count, at, length, values);
      for (int64_t r = 0; r < rows; r += SINGLE_PANEL) {
        const int group = rows - r < SINGLE_PANEL ? (int)(rows - r) : SINGLE_PANEL;
        float *to = out + first * stride + r;
        for (int64_t t = 0; t < count; ++t) {
          if (at == 0) memset(sums + t * SINGLE_PANEL, 0, SINGLE_PANEL * sizeof *sums);
          if (at > 0) memcpy(sums + t * SINGLE_PANEL, to + t * stride, (size_t)group * sizeof *sums);
        }
        single_segment(
            format, weights + r * row_bytes + stored_bytes(format, at), row_bytes, group, values, (length + 15) / 16 * 16,
            count, length, panel, sums);
        for (int64_t t = 0; t < count; ++t) {
          memcpy(to + t * stride, sums + t * SINGLE_PANEL, (size_t)group * sizeof *sums);
        }
      }
    }
  }
}
